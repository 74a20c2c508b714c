// SPDX-License-Identifier: Apache-2.0
package dev.alcove.cli;

import dev.alcove.images.TestVmImage;
import dev.alcove.memory.MemoryConfig;
import dev.alcove.vmm.Coco;
import dev.alcove.vmm.Machine;
import dev.alcove.vmm.MachineConfig;
import dev.alcove.vmm.RunReport;
import dev.alcove.vmm.loader.PvhImage;
import java.io.OutputStream;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

/** Machines with more memory than the host has: what starting them costs. On the emulated kernel, whose memory is sparse. */
@Timeout(120)
class LargeMachineTest {
    private static RunReport.Memory start(MemoryConfig memory, Coco coco, boolean edu, int[] mapIoctls) {
        Optional<DeviceRequest> device = edu ? Optional.of(new DeviceRequest.Edu()) : Optional.empty();
        try (EmulatedHost host = EmulatedHost.create(device, memory)) {
            RunReport.Memory report;
            MachineConfig config = new MachineConfig(
                    PvhImage.parse(TestVmImage.find("hello").orElseThrow().elf()),
                    memory,
                    1,
                    coco,
                    device.map(request -> request.find(host.syscalls())).stream().toList(),
                    MachineConfig.IommuMap.CUT,
                    false,
                    Optional.empty(),
                    "",
                    OutputStream.nullOutputStream());
            try (Machine machine = Machine.create(host.syscalls(), config)) {
                report = machine.memoryReport();
                mapIoctls[0] = (int) machine.iommuReport().mapIoctls();
                assertEquals(edu ? memory.bytes() : 0, machine.iommuReport().mappedBytes());
            }
            assertEquals(List.of(), host.leaks());
            return report;
        }
    }

    @Test
    void sharedMemoryOf64GibIsMappedWithFewIoctls() {
        int[] ioctls = new int[1];
        RunReport.Memory memory = start(MemoryConfig.of(64L << 30), Coco.NONE, true, ioctls);
        assertEquals(64L << 30, memory.pinned());
        assertTrue(ioctls[0] <= 64, ioctls[0] + " map ioctls");
    }

    @Test
    void aTebibyteOfPrivateMemoryCostsWhatIsTouched() {
        RunReport.Memory memory = start(MemoryConfig.of(1L << 40), Coco.SW_PROTECTED, false, new int[1]);
        assertEquals(memory.sharedBytes(), memory.residentShared());
        assertTrue(memory.sharedBytes() < 1 << 20, memory.toString());
        assertEquals((1L << 40) - memory.sharedBytes(), memory.privateBytes());
    }
}
