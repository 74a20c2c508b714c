// SPDX-License-Identifier: Apache-2.0
package dev.alcove.cli;

import dev.alcove.images.TestVmImage;
import dev.alcove.memory.MemoryConfig;
import dev.alcove.sys.AlcoveException;
import dev.alcove.sys.Linux;
import dev.alcove.sys.Syscalls;
import dev.alcove.vfio.PciAddress;
import dev.alcove.vmm.Coco;
import dev.alcove.vmm.Machine;
import dev.alcove.vmm.MachineConfig;
import dev.alcove.vmm.VmOutcome;
import dev.alcove.vmm.loader.PvhImage;
import java.io.OutputStream;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

/** A start-up that fails at any of its steps leaves nothing behind. */
class StartUpFailureTest {
    private static MachineConfig config(PciAddress device, EmulatedHost host) {
        return new MachineConfig(
                PvhImage.parse(TestVmImage.find("hello").orElseThrow().elf()),
                MemoryConfig.of(32 << 20),
                2,
                Coco.SW_PROTECTED,
                List.of(device),
                MachineConfig.IommuMap.CUT,
                false,
                host.view(),
                "",
                OutputStream.nullOutputStream());
    }

    private static void limitFiles(Syscalls syscalls, int limit) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment limits = arena.allocate(16, 8);
            limits.set(ValueLayout.JAVA_LONG, 0, limit);
            limits.set(ValueLayout.JAVA_LONG, 8, 1 << 20);
            assertEquals(0, syscalls.prlimit(Linux.RLIMIT_NOFILE, limits, null));
        }
    }

    @Test
    void aLimitOfOpenFilesHalfWayThroughLeaksNothing() {
        DeviceRequest edu = new DeviceRequest.Edu();
        try (EmulatedHost host = EmulatedHost.create(Optional.of(edu))) {
            Syscalls syscalls = host.syscalls();
            MachineConfig config = config(edu.find(syscalls), host);
            int failures = 0;
            for (int limit = 3; limit < 64; limit++) {
                limitFiles(syscalls, limit);
                try (Machine _ = Machine.create(syscalls, config)) {
                    assertTrue(failures >= 5, "the limit was never met: " + failures);
                    return;
                } catch (AlcoveException e) {
                    failures++;
                    assertEquals(3, VmOutcome.of(e).status(), e.getMessage());
                    assertTrue(String.valueOf(e.getMessage()).contains("EMFILE"), "limit " + limit + ": " + e);
                    assertEquals(List.of(), host.leaks(), "limit " + limit);
                }
            }
            throw new AssertionError("64 files are not enough for a machine");
        }
    }
}
