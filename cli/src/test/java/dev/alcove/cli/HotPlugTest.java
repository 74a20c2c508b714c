// SPDX-License-Identifier: Apache-2.0
package dev.alcove.cli;

import dev.alcove.bindings.iommufd.iommufd;
import dev.alcove.bindings.vfio.vfio;
import dev.alcove.images.TestVmImage;
import dev.alcove.memory.MemoryConfig;
import dev.alcove.sys.BadInputException;
import dev.alcove.sys.Errno;
import dev.alcove.sys.FaultInjectingSyscalls;
import dev.alcove.vfio.PciAddress;
import dev.alcove.vmm.Coco;
import dev.alcove.vmm.Machine;
import dev.alcove.vmm.MachineConfig;
import dev.alcove.vmm.VmOutcome;
import dev.alcove.vmm.loader.PvhImage;
import java.io.OutputStream;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.Random;
import java.util.concurrent.CompletableFuture;
import java.util.function.Predicate;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

/**
 * Devices come and go at random while vCPUs convert memory: the invariants hold after each conversion, and nothing is
 * left at the end. Each is taken away at whatever moment of a conversion it is.
 */
class HotPlugTest {
    private static final Predicate<FaultInjectingSyscalls.Call> UNMAPS = FaultInjectingSyscalls.Call.ioctl(
                    iommufd.IOMMU_IOAS_UNMAP())
            .or(FaultInjectingSyscalls.Call.ioctl(vfio.VFIO_IOMMU_UNMAP_DMA()));
    private static final DeviceRequest.Nvme NVME =
            (DeviceRequest.Nvme) DeviceRequest.parse("nvme,size=1M");

    /** A device whose mappings the kernel does not give up is gone all the same, and the guest goes on converting. */
    @ParameterizedTest
    @Timeout(120)
    @CsvSource({"CUT, false", "PAGE, false", "REMAP, false", "CUT, true"})
    void aRemovalWhoseUnmapIsRefused(MachineConfig.IommuMap map, boolean plugAgain) throws Exception {
        try (EmulatedHost host = EmulatedHost.create(Optional.of(NVME), MemoryConfig.of(32 << 20))) {
            PciAddress nvme = NVME.find(host.syscalls());
            FaultInjectingSyscalls faults = new FaultInjectingSyscalls(host.syscalls());
            MachineConfig config = new MachineConfig(
                    PvhImage.parse(TestVmImage.find("convert").orElseThrow().elf()),
                    MemoryConfig.of(32 << 20),
                    1,
                    Coco.SW_PROTECTED,
                    List.of(nvme),
                    map,
                    true,
                    host.view(),
                    "",
                    OutputStream.nullOutputStream());
            try (Machine machine = Machine.create(faults, config)) {
                for (int nth = 1; nth <= 100; nth++) {
                    faults.failNth(UNMAPS, nth, Errno.ENOMEM);
                }
                machine.removeDevice(nvme);
                faults.clear();
                assertEquals(List.of(), machine.devices());
                if (plugAgain) {
                    machine.addDevice(nvme);
                }
                assertInstanceOf(VmOutcome.GuestSuccess.class, machine.run(Duration.ofSeconds(100)));
                assertTrue(machine.conversionReport().toPrivate() > 0);
                assertEquals(0, machine.invariantReport().violations());
            }
            assertEquals(List.of(), host.leaks());
        }
    }

    /** @param edu whether one device stays all the time, so that the others share its address space */
    @ParameterizedTest
    @Timeout(120)
    @CsvSource({"1, AUTO, true", "2, AUTO, false", "3, PAGE, false", "4, REMAP, true"})
    void devicesComeAndGoWhileMemoryIsConverted(long seed, MachineConfig.IommuMap map, boolean edu) throws Exception {
        Random random = new Random(seed);
        try (EmulatedHost host = EmulatedHost.create(Optional.of(NVME), MemoryConfig.of(32 << 20))) {
            PciAddress nvme = NVME.find(host.syscalls());
            PciAddress first = new DeviceRequest.Edu().find(host.syscalls());
            List<PciAddress> plugged = edu ? List.of(nvme) : List.of(first, nvme);
            MachineConfig config = new MachineConfig(
                    PvhImage.parse(TestVmImage.find("storm").orElseThrow().elf()),
                    MemoryConfig.of(32 << 20),
                    2,
                    Coco.SW_PROTECTED,
                    edu ? List.of(first) : List.of(),
                    map,
                    true,
                    host.view(),
                    "seed=" + seed + " cpus=2",
                    OutputStream.nullOutputStream());
            try (Machine machine = Machine.create(host.syscalls(), config)) {
                CompletableFuture<VmOutcome> end =
                        CompletableFuture.supplyAsync(() -> machine.run(Duration.ofSeconds(100)));
                List<PciAddress> present = new ArrayList<>();
                int changes = 0;
                while (!end.isDone() || changes < 8) {
                    PciAddress address = plugged.get(random.nextInt(plugged.size()));
                    if (present.remove(address)) {
                        machine.removeDevice(address);
                        assertThrows(BadInputException.class, () -> machine.removeDevice(address));
                    } else {
                        machine.addDevice(address);
                        present.add(address);
                        assertThrows(BadInputException.class, () -> machine.addDevice(address));
                    }
                    changes++;
                }
                String where = "seed " + seed + ", " + changes + " changes";
                if (edu) {
                    assertInstanceOf(VmOutcome.GuestSuccess.class, end.join(), where + ": " + end.join());
                }
                assertTrue(!(end.join() instanceof VmOutcome.InvariantViolated), where + ": " + end.join());
                assertEquals(0, machine.invariantReport().violations(), where);
                assertTrue(machine.iommuReport().mapIoctls() > 0, where);
            }
            assertEquals(List.of(), host.leaks());
        }
    }
}
