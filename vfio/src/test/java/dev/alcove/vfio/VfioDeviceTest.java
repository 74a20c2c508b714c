// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vfio;

import dev.alcove.bindings.vfio.vfio;
import dev.alcove.iommufd.Ioas;
import dev.alcove.iommufd.IommuFd;
import dev.alcove.kernel.EmulatedKernel;
import dev.alcove.kernel.EmulatedProcess;
import dev.alcove.kernel.KernelProfile;
import dev.alcove.sys.Errno;
import dev.alcove.sys.EventFd;
import dev.alcove.sys.HostSyscalls;
import dev.alcove.sys.SyscallException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

import static java.lang.foreign.ValueLayout.JAVA_INT;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

/** The client on the emulated kernel's edu device. */
class VfioDeviceTest {
    private static final PciAddress ADDRESS = PciAddress.parse("0000:00:04.0");
    private static final int EDU_VENDOR = 0x1234;
    private static final int EDU_DEVICE = 0x11e8;
    private static final int EDU_IDENTIFICATION = 0x010000ed;

    private EmulatedKernel kernel;
    private EmulatedProcess process;

    @BeforeEach
    void start() {
        kernel = new EmulatedKernel(KernelProfile.linux7_2(), new HostSyscalls());
        kernel.vfioPci().addEdu(new dev.alcove.kernel.pci.PciAddress(0, 0, 4, 0), 28);
        process = kernel.process();
    }

    @AfterEach
    void end() {
        assertEquals(0, process.openFiles(), "descriptors are left");
        process.close();
        assertEquals(List.of(), kernel.leaks());
        kernel.close();
    }

    private static void refused(int errno, Runnable call) {
        SyscallException thrown = assertThrows(SyscallException.class, call::run);
        assertEquals(Errno.name(errno), Errno.name(thrown.errno()), thrown.toString());
    }

    @Test
    void sysfsShowsTheDevice() {
        VfioDevices.Entry entry = VfioDevices.find(process, ADDRESS);
        assertEquals(List.of(entry), VfioDevices.list(process));
        assertEquals(EDU_VENDOR, entry.vendor());
        assertEquals(EDU_DEVICE, entry.device());
        assertEquals("vfio-pci", entry.driver());
        assertFalse(entry.group().isEmpty());
        assertEquals(List.of(ADDRESS), VfioDevices.group(process, entry.group()));
        assertTrue(entry.cdev().startsWith("/dev/vfio/devices/vfio"), entry.cdev());
    }

    @Test
    void nothingWorksBeforeTheBind() {
        try (VfioDevice device = VfioDevice.open(process, ADDRESS)) {
            refused(Errno.EINVAL, device::info);
            refused(Errno.EINVAL, () -> device.regionInfo(0));
        }
    }

    @Test
    void aDeviceIsBoundOnceAndAttached() {
        try (IommuFd iommu = IommuFd.open(process);
                Ioas ioas = iommu.ioasAlloc()) {
            try (VfioDevice device = VfioDevice.open(process, ADDRESS)) {
                assertTrue(device.bind(iommu) > 0);
                refused(Errno.EINVAL, () -> device.bind(iommu));
                refused(Errno.ENOENT, () -> device.attach(4711));
                assertTrue(device.attach(ioas) > 0);
                refused(Errno.EBUSY, ioas::close);
                device.detach();
                device.attach(ioas);
            }
        }
    }

    @Test
    void regionsAreReadWrittenAndMapped() {
        try (IommuFd iommu = IommuFd.open(process);
                VfioDevice device = VfioDevice.open(process, ADDRESS)) {
            device.bind(iommu);
            VfioDevice.Info info = device.info();
            assertTrue(info.pci() && info.regions() >= vfio.VFIO_PCI_NUM_REGIONS(), info.toString());
            VfioConfigSpace config = new VfioConfigSpace(device);
            assertEquals(EDU_VENDOR, config.read(VfioConfigSpace.VENDOR_ID, 2));
            assertEquals(EDU_DEVICE, config.read(VfioConfigSpace.DEVICE_ID, 2));
            assertTrue(config.capability(VfioConfigSpace.CAP_MSI).isPresent());
            assertTrue(config.capability(0x7f).isEmpty());
            config.write(VfioConfigSpace.COMMAND, 2, VfioConfigSpace.COMMAND_MEMORY);
            assertEquals(VfioConfigSpace.COMMAND_MEMORY, config.read(VfioConfigSpace.COMMAND, 2) & 7);

            VfioRegion bar = device.regionInfo(vfio.VFIO_PCI_BAR0_REGION_INDEX());
            assertEquals(1 << 20, bar.size());
            assertTrue(bar.readable() && bar.writable());
            assertEquals(0, device.regionInfo(vfio.VFIO_PCI_BAR1_REGION_INDEX()).size());
            refused(Errno.EINVAL, () -> device.regionInfo(1000));
            if (!bar.mappable().isEmpty()) {
                VfioRegion.Area area = bar.mappable().getFirst();
                try (VfioMapping mapping = device.mmapRegion(bar, area.offset(), area.size())) {
                    assertEquals(area.size(), mapping.size());
                }
            }
            try (Arena arena = Arena.ofConfined()) {
                MemorySegment word = arena.allocate(JAVA_INT);
                assertEquals(4, device.readRegion(bar, 0, word));
                assertEquals(EDU_IDENTIFICATION, word.get(JAVA_INT, 0));
            }
        }
    }

    @Test
    void interruptsReachAnEventfd() {
        int msi = vfio.VFIO_PCI_MSI_IRQ_INDEX();
        try (IommuFd iommu = IommuFd.open(process);
                EventFd eventfd = EventFd.create(process);
                VfioDevice device = VfioDevice.open(process, ADDRESS)) {
            device.bind(iommu);
            VfioIrq irq = device.irqInfo(msi);
            assertTrue(irq.count() >= 1 && irq.eventfd(), irq.toString());
            device.setTriggers(msi, 0, eventfd.fd());
            device.loopback(msi, 0, 1);
            assertEquals(1, eventfd.drain());
            device.disableIrqs(msi);
            assertEquals(0, eventfd.drain());
            refused(Errno.EINVAL, () -> device.setTriggers(1000, 0, eventfd.fd()));
            refused(Errno.EINVAL, () -> device.setTriggers(msi, irq.count(), eventfd.fd()));
        }
    }

    @Test
    void aDeviceThatCannotBeResetSaysSo() {
        try (IommuFd iommu = IommuFd.open(process);
                VfioDevice device = VfioDevice.open(process, ADDRESS)) {
            device.bind(iommu);
            assertFalse(device.info().resettable());
            refused(Errno.EINVAL, device::reset);
        }
    }
}
