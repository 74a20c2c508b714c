// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vmm;

import dev.alcove.bindings.iommufd.iommufd;
import dev.alcove.discard.DiscardRules;
import dev.alcove.discard.DiscardRules.Rule;
import dev.alcove.discard.GpaRange;
import dev.alcove.discard.Outcome;
import dev.alcove.kernel.EmulatedKernel;
import dev.alcove.kernel.EmulatedProcess;
import dev.alcove.kernel.KernelProfile;
import dev.alcove.kvm.Kvm;
import dev.alcove.kvm.Vm;
import dev.alcove.memory.GuestMemory;
import dev.alcove.memory.RamLayout;
import dev.alcove.sys.BadInputException;
import dev.alcove.sys.Errno;
import dev.alcove.sys.FaultInjectingSyscalls;
import dev.alcove.sys.FaultInjectingSyscalls.Call;
import dev.alcove.sys.FaultInjectingSyscalls.Fault;
import dev.alcove.sys.HostSyscalls;
import dev.alcove.sys.MissingFeatureException;
import dev.alcove.sys.Syscalls;
import dev.alcove.vfio.PciAddress;
import dev.alcove.vfio.VfioDmaMapper;
import dev.alcove.vmm.bus.MmioBus;
import dev.alcove.vmm.device.Board;
import dev.alcove.vmm.device.DeviceWindow;
import dev.alcove.vmm.device.InterruptRoutes;
import dev.alcove.vmm.device.PciHost;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Proxy;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

/** Devices and who takes memory away; which address space a device gets. */
class AssignedDevicesTest {
    private static final PciAddress EDU = PciAddress.parse("0000:00:04.0");
    private static final long GIB = 1L << 30;

    private final EmulatedKernel kernel = new EmulatedKernel(KernelProfile.linux7_2(), new HostSyscalls());
    private final EmulatedProcess process = kernel.process();
    private final DiscardRules discards = new DiscardRules();

    AssignedDevicesTest() {
        kernel.vfioPci().addEdu(new dev.alcove.kernel.pci.PciAddress(0, 0, 4, 0), 28);
    }

    @AfterEach
    void nothingIsLeft() {
        process.close();
        assertEquals(List.of(), kernel.leaks());
        kernel.close();
    }

    private interface Use {
        void with(AssignedDevices devices);
    }

    /** A guest of 1 GiB whose memory can become private. */
    private void guest(Syscalls syscalls, MachineConfig.IommuMap how, Use use) {
        RamLayout layout = new RamLayout(List.of(GpaRange.of(0, GIB)));
        try (Kvm kvm = Kvm.open(syscalls);
                Vm vm = kvm.createVm(1)) {
            vm.splitIrqchip(InterruptRoutes.IOAPIC_PINS);
            try (GuestMemory memory = GuestMemory.create(vm, layout, true)) {
                Board board = new Board(
                        vm, new MmioBus(), new InterruptRoutes(vm), new DeviceWindow(layout), memory.addressSpace());
                try (AssignedDevices devices =
                        new AssignedDevices(syscalls, how, memory, board, new PciHost(), discards)) {
                    use.with(devices);
                }
            }
        }
    }

    @Test
    void aDeviceIsRefusedWhereMemoryGoesWithoutTelling() {
        guest(process, MachineConfig.IommuMap.AUTO, devices -> {
            assertTrue(discards.hold(Rule.REQUIRE, "the balloon").isDone());
            for (int attempt = 0; attempt < 2; attempt++) {
                MissingFeatureException refused = assertThrows(MissingFeatureException.class, () -> devices.add(EDU));
                String reason = String.valueOf(refused.getMessage());
                assertTrue(reason.contains("device " + EDU) && reason.contains("the balloon"), reason);
                assertEquals(List.of(), devices.list());
                assertEquals(0, kernel.memory().totalPins(), "nothing was mapped");
            }
            discards.release(Rule.REQUIRE, "the balloon");
            devices.add(EDU);
            assertEquals(List.of(EDU), devices.list());
        });
    }

    /** While the guest has a device nobody may take memory away without telling, and afterwards somebody may. */
    @ParameterizedTest
    @EnumSource(value = MachineConfig.IommuMap.class, names = {"CUT", "REMAP"})
    void aDeviceKeepsOthersFromTakingMemoryAway(MachineConfig.IommuMap how) {
        assertTrue(discards.hold(Rule.COORDINATED_REQUIRE, "private memory").isDone());
        guest(process, how, devices -> {
            devices.add(EDU);
            assertThrows(BadInputException.class, () -> devices.add(EDU));
            Outcome.Refused refused =
                    assertInstanceOf(Outcome.Refused.class, discards.hold(Rule.REQUIRE, "the balloon"));
            assertEquals(Errno.EBUSY, refused.errno());
            assertTrue(refused.reason().contains("device " + EDU), refused.reason());
            assertTrue(discards.isDisabled());
            devices.remove(EDU);
            assertTrue(discards.hold(Rule.REQUIRE, "the balloon").isDone());
            assertThrows(MissingFeatureException.class, () -> devices.add(EDU));
            discards.release(Rule.REQUIRE, "the balloon");
            devices.add(EDU);
        });
        assertTrue(discards.hold(Rule.REQUIRE, "the balloon").isDone(), "the devices are closed");
    }

    /** A device that cannot be had gives its claim back. */
    @Test
    void aDeviceThatIsNotThereClaimsNothing() {
        guest(process, MachineConfig.IommuMap.AUTO, devices -> {
            assertThrows(MissingFeatureException.class, () -> devices.add(PciAddress.parse("0000:00:1f.7")));
            assertTrue(discards.hold(Rule.REQUIRE, "the balloon").isDone());
        });
    }

    /** The kernel pins the memfd's own pages, not what this process has mapped; where it cannot, what is mapped. */
    @ParameterizedTest
    @CsvSource({"7.2, false, 1, 0", "7.2, true, 1, 1", "6.12, false, 0, 1"})
    void memoryOfAFileIsMappedByItsFile(String release, boolean invalid, long files, long addresses) {
        KernelProfile profile = release.equals("7.2") ? KernelProfile.linux7_2() : KernelProfile.linux6_12();
        try (EmulatedKernel other = new EmulatedKernel(profile, new HostSyscalls());
                EmulatedProcess its = other.process()) {
            other.vfioPci().addEdu(new dev.alcove.kernel.pci.PciAddress(0, 0, 4, 0), 28);
            FaultInjectingSyscalls counting = new FaultInjectingSyscalls(its);
            guest(counting, MachineConfig.IommuMap.CUT, devices -> {
                // The first one asks whether the kernel knows it.
                Fault byFile = counting.failNth(
                        Call.ioctl(iommufd.IOMMU_IOAS_MAP_FILE()), invalid ? 2 : 0, Errno.EINVAL);
                Fault byAddress = counting.failNth(Call.ioctl(iommufd.IOMMU_IOAS_MAP()), 0, 0);
                devices.add(EDU);
                assertEquals(files + 1, byFile.seen());
                assertEquals(addresses, byAddress.seen());
                assertEquals(GIB, devices.report().mappedBytes());
            });
        }
    }

    @Test
    void anOlderKernelsContainerForetellsItsLimit() {
        guest(process, MachineConfig.IommuMap.AUTO, devices -> {
            devices.add(EDU);
            assertEquals(List.of(), forecasts(devices), "iommufd has no limit");
        });
        guest(withoutIommufd(), MachineConfig.IommuMap.REMAP, devices -> {
            devices.add(EDU);
            List<String> forecasts = forecasts(devices);
            assertEquals(1, forecasts.size(), forecasts.toString());
            assertTrue(forecasts.getFirst().contains("takes 65535 mappings"), forecasts.toString());
            assertTrue(forecasts.getFirst().contains("dma_entry_limit=131072"), forecasts.toString());
        });
    }

    private static List<String> forecasts(AssignedDevices devices) {
        return devices.<List<String>>call(mappers ->
                mappers.stream().map(VfioDmaMapper::forecast).flatMap(each -> each.stream()).toList());
    }

    /** As on a kernel that has the older interface only. */
    private Syscalls withoutIommufd() {
        return (Syscalls) Proxy.newProxyInstance(
                Syscalls.class.getClassLoader(), new Class<?>[] {Syscalls.class}, (_, method, arguments) -> {
                    if (method.getName().equals("open")
                            && (arguments[0].equals("/dev/iommu") || arguments[0].toString().contains("vfio-dev"))) {
                        return -Errno.ENOENT;
                    }
                    try {
                        return method.invoke(process, arguments);
                    } catch (InvocationTargetException e) {
                        throw e.getCause();
                    }
                });
    }
}
