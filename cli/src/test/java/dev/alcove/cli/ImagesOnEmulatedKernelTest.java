// SPDX-License-Identifier: Apache-2.0
package dev.alcove.cli;

import dev.alcove.images.TestVmImage;
import dev.alcove.vmm.MachineConfig.IommuMap;
import dev.alcove.vmm.VmOutcome;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertTrue;

/** Real guest code on the whole stack: conversions, an IOMMU and a device, without any hardware. */
class ImagesOnEmulatedKernelTest {
    private static ImageRun succeeds(ImageRun.Plan plan) {
        ImageRun run = plan.run();
        String all = plan + ": " + run;
        assertInstanceOf(VmOutcome.GuestSuccess.class, run.outcome(), all);
        assertEquals(0, run.invariants().violations(), all);
        assertTrue(run.invariants().checks() > 0, all);
        assertEquals(List.of(), run.leaks(), all);
        return run;
    }

    @ParameterizedTest
    @ValueSource(strings = {"hello", "convert", "dma", "storm", "abuse"})
    void anImagePrintsWhatItPrintsInAConfidentialVm(String image) {
        ImageRun run = succeeds(ImageRun.Plan.of(image));
        assertEquals(TestVmImage.find(image).orElseThrow().confidentialOutput(), run.output());
    }

    @ParameterizedTest
    @ValueSource(strings = {"hello", "convert", "dma", "storm", "abuse"})
    void anImagePrintsWhatItPrintsInAnOrdinaryVm(String image) {
        ImageRun run = succeeds(ImageRun.Plan.of(image).plain());
        assertEquals(TestVmImage.find(image).orElseThrow().plainOutput(), run.output());
    }

    @ParameterizedTest
    @EnumSource(IommuMap.class)
    void theDeviceReachesSharedPagesAndNoPrivateOne(IommuMap map) {
        ImageRun run = succeeds(ImageRun.Plan.of("dma").map(map).checked());
        assertTrue(run.dma().blocked() > 0, run.toString());
        assertTrue(run.dma().completed() > 0, run.toString());
        assertTrue(run.conversions().toShared() > 0, run.toString());
        assertTrue(run.iommu().mapIoctls() > 0, run.toString());
        // The emulated kernel can cut, so that is what is taken where nothing else was asked for.
        assertEquals((map == IommuMap.AUTO ? IommuMap.CUT : map).label(), run.iommu().strategy());
    }

    @ParameterizedTest
    @CsvSource({"1,1,CUT", "2,1,PAGE", "3,2,CUT", "4,2,PAGE", "5,3,CUT"})
    void stormsLeaveTheBooksInOrder(long seed, int cpus, IommuMap map) {
        ImageRun run = succeeds(ImageRun.Plan.of("storm")
                .cpus(cpus)
                .map(map)
                .checked()
                .append("seed=" + seed));
        assertTrue(run.output().contains("storm: seed " + seed + ","), run.output());
        assertTrue(run.conversions().toPrivate() > 0, run.toString());
    }

    @Test
    void refusedConversionsAreCounted() {
        ImageRun run = succeeds(ImageRun.Plan.of("convert").append("pages=8"));
        assertTrue(run.conversions().failed() > 0, run.toString());
        assertTrue(run.output().contains("refused: shared over the end of RAM"), run.output());
    }
}
