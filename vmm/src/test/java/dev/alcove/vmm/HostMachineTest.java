// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vmm;

import dev.alcove.images.TestVmImage;
import dev.alcove.kvm.Kvm;
import dev.alcove.memory.MemoryConfig;
import dev.alcove.sys.AlcoveException;
import dev.alcove.sys.HostSyscalls;
import dev.alcove.sys.MissingFeatureException;
import dev.alcove.vmm.loader.PvhImage;
import java.io.ByteArrayOutputStream;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

/** Machines on the host's own KVM. */
class HostMachineTest {
    private final HostSyscalls host = new HostSyscalls();
    private final ByteArrayOutputStream console = new ByteArrayOutputStream();

    @BeforeEach
    void needsKvm() {
        String reason = "";
        try (Kvm system = Kvm.open(host)) {
            assertEquals(12, system.apiVersion());
        } catch (AlcoveException e) {
            reason = String.valueOf(e.getMessage());
        }
        assumeTrue(reason.isEmpty(), "no KVM here: " + reason);
    }

    private MachineConfig config(String image, int cpus, Coco coco) {
        return new MachineConfig(
                PvhImage.parse(TestVmImage.find(image).orElseThrow().elf()),
                MemoryConfig.of(64 << 20),
                cpus,
                coco,
                List.of(),
                MachineConfig.IommuMap.CUT,
                false,
                Optional.empty(),
                "cpus=" + cpus,
                console);
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 2})
    void helloRuns(int cpus) {
        try (Machine machine = Machine.create(host, config("hello", cpus, Coco.NONE))) {
            assertInstanceOf(VmOutcome.GuestSuccess.class, machine.run(Duration.ofSeconds(60)));
        }
        assertEquals("Hello from a test VM\n", console.toString(StandardCharsets.US_ASCII));
    }

    @Test
    void aGuestThatDoesNotEndIsStopped() {
        // Without a device to drive, storm keeps the vCPU busy for much longer than this.
        try (Machine machine = Machine.create(host, config("storm", 2, Coco.NONE))) {
            VmOutcome outcome = machine.run(Duration.ofMillis(50));
            assertInstanceOf(VmOutcome.TimedOut.class, outcome);
            assertEquals(5, outcome.status());
        }
    }

    @Test
    void privateMemoryIsRefusedWhereKvmHasNone() {
        try (Kvm system = Kvm.open(host)) {
            assumeTrue(!system.hasVmType(1), "this KVM has software protected VMs");
        }
        var error = assertThrows(
                MissingFeatureException.class, () -> Machine.create(host, config("convert", 1, Coco.SW_PROTECTED)));
        assertEquals(3, VmOutcome.of(error).status());
    }
}
