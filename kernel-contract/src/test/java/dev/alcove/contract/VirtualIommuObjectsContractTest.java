// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract;

import dev.alcove.contract.MockIommuClient.Device;
import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import dev.alcove.sys.UserMappings;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

import static dev.alcove.contract.Checks.fails;
import static dev.alcove.contract.Checks.ok;
import static dev.alcove.contract.MockIommuClient.APERTURE;
import static dev.alcove.contract.MockIommuClient.MOCK;
import static dev.alcove.contract.MockIommuClient.NEST_PARENT;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;

/** Virtual IOMMUs, virtual devices and hardware queues, with the mock IOMMU: who is refused why, and who outlives whom. */
@Surface("domains")
final class VirtualIommuObjectsContractTest {
    private static final int PAGE = Linux.PAGE_SIZE;

    /** A mock device on an address space, a page table to nest on, and a virtual IOMMU of it. */
    private record Guest(MockIommuClient mock, long ioas, Device device, long parent, long viommu) {
        static Guest of(MockIommuClient mock) {
            long ioas = ok(mock.iommufd.ioas());
            Device device = mock.device(0, ioas);
            long parent = ok(mock.iommufd.hwpt(NEST_PARENT, device.id(), ioas));
            return new Guest(mock, ioas, device, parent, ok(mock.viommu(0, MOCK, device.id(), parent)));
        }
    }

    @EveryKernel
    void aVirtualIommuIsCheckedFromTheDeviceToThePageTable(KernelUnderTest kernel) {
        try (MockIommuClient mock = new MockIommuClient(kernel)) {
            long ioas = ok(mock.iommufd.ioas());
            Device device = mock.device(0, ioas);
            long plain = ok(mock.iommufd.hwpt(0, device.id(), ioas));
            fails(Errno.EOPNOTSUPP, mock.viommu(1, MOCK, 99, 99));
            fails(Errno.ENOENT, mock.viommu(0, 0x7777, 99, 99));
            fails(Errno.EOPNOTSUPP, mock.viommu(0, 0x7777, device.id(), 99));
            fails(Errno.ENOENT, mock.viommu(0, MOCK, device.id(), 99));
            fails(Errno.ENOENT, mock.viommu(0, MOCK, device.id(), ioas));
            fails(Errno.EINVAL, mock.viommu(0, MOCK, device.id(), plain));
            fails(Errno.EINVAL, mock.viommu(0, MOCK, device.id(), device.hwpt()));
        }
    }

    @EveryKernel
    void aVirtualIommuKeepsItsPageTable(KernelUnderTest kernel) {
        try (MockIommuClient mock = new MockIommuClient(kernel)) {
            Guest guest = Guest.of(mock);
            fails(Errno.EBUSY, mock.iommufd.destroy(guest.parent));
            ok(mock.iommufd.destroy(guest.viommu));
            ok(mock.iommufd.destroy(guest.parent));
        }
    }

    @EveryKernel
    void dataOfAVirtualIommuIsLongEnoughAndNotTooLong(KernelUnderTest kernel) {
        try (MockIommuClient mock = new MockIommuClient(kernel)) {
            Guest guest = Guest.of(mock);
            MemorySegment data = mock.iommufd.user(64).fill((byte) 0);
            fails(Errno.EINVAL, mock.viommu(guest.device, guest.parent, data, 7));
            fails(Errno.EINVAL, mock.viommu(guest.device, guest.parent, data, 25));
            data.set(ValueLayout.JAVA_INT, 0, 0xbeef);
            ok(mock.viommu(guest.device, guest.parent, data, 8));
            assertEquals(0xbeef, data.get(ValueLayout.JAVA_INT, 4));
            assertEquals(0, data.get(ValueLayout.JAVA_LONG, 8));
        }
    }

    @EveryKernel
    void pagesOfAVirtualIommuCanBeMappedAsAWhole(KernelUnderTest kernel) {
        try (MockIommuClient mock = new MockIommuClient(kernel)) {
            Guest guest = Guest.of(mock);
            MemorySegment data = mock.iommufd.user(64).fill((byte) 0);
            data.set(ValueLayout.JAVA_INT, 0, 0xbeef);
            long viommu = ok(mock.viommu(guest.device, guest.parent, data, 24));
            long offset = data.get(ValueLayout.JAVA_LONG, 8);
            assertEquals(PAGE, offset);
            assertEquals(2 * PAGE, data.get(ValueLayout.JAVA_LONG, 16));
            long other = ok(mock.viommu(guest.device, guest.parent, data, 24));
            assertEquals(3 * PAGE, data.get(ValueLayout.JAVA_LONG, 8));
            fails(Errno.ENXIO, map(kernel, mock, PAGE, offset));
            fails(Errno.ENXIO, map(kernel, mock, 4 * PAGE, offset));
            fails(Errno.ENXIO, map(kernel, mock, 2 * PAGE, offset + PAGE));
            fails(Errno.ENXIO, map(kernel, mock, 2 * PAGE, 0));
            fails(Errno.ENXIO, map(kernel, mock, 2 * PAGE, 5 * PAGE));
            long address = ok(map(kernel, mock, 2 * PAGE, offset));
            assertEquals(0xbeef, UserMappings.segment(address, 4).get(ValueLayout.JAVA_INT, 0));
            fails(Errno.EBUSY, mock.iommufd.destroy(viommu));
            ok(kernel.sys().munmap(address, PAGE));
            fails(Errno.EBUSY, mock.iommufd.destroy(viommu));
            ok(kernel.sys().munmap(address + PAGE, PAGE));
            ok(mock.iommufd.destroy(viommu));
            fails(Errno.ENXIO, map(kernel, mock, 2 * PAGE, offset));
            ok(mock.iommufd.destroy(other));
        }
    }

    private static long map(KernelUnderTest kernel, MockIommuClient mock, long length, long offset) {
        int rights = Linux.PROT_READ | Linux.PROT_WRITE;
        return kernel.sys().mmap(0, length, rights, Linux.MAP_SHARED, mock.iommufd.fd, offset);
    }

    @EveryKernel
    void aVirtualDeviceIsCheckedFromTheVirtualIommuOn(KernelUnderTest kernel) {
        try (MockIommuClient mock = new MockIommuClient(kernel)) {
            Guest guest = Guest.of(mock);
            Device second = mock.device(0, guest.ioas);
            fails(Errno.ENOENT, mock.vdevice(guest.parent, guest.device.id(), 7));
            fails(Errno.ENOENT, mock.vdevice(guest.viommu, guest.device.object(), 7));
            ok(mock.vdevice(guest.viommu, guest.device.id(), 7));
            fails(Errno.EEXIST, mock.vdevice(guest.viommu, guest.device.id(), 8));
            fails(Errno.EEXIST, mock.vdevice(guest.viommu, second.id(), 7));
            ok(mock.vdevice(guest.viommu, second.id(), -1));
        }
    }

    @EveryKernel
    void aVirtualDeviceKeepsTheVirtualIommu(KernelUnderTest kernel) {
        try (MockIommuClient mock = new MockIommuClient(kernel)) {
            Guest guest = Guest.of(mock);
            long virtual = ok(mock.vdevice(guest.viommu, guest.device.id(), 7));
            fails(Errno.EBUSY, mock.iommufd.destroy(guest.viommu));
            ok(mock.iommufd.destroy(virtual));
            long again = ok(mock.vdevice(guest.viommu, guest.device.id(), 7));
            assertEquals(virtual, again);
            ok(mock.iommufd.destroy(again));
            ok(mock.iommufd.destroy(guest.viommu));
        }
    }

    @EveryKernel
    void theIdOfAVirtualDeviceStaysTakenWhenItsDeviceGoes(KernelUnderTest kernel) {
        try (MockIommuClient mock = new MockIommuClient(kernel)) {
            Guest guest = Guest.of(mock);
            long virtual = ok(mock.vdevice(guest.viommu, guest.device.id(), 7));
            ok(mock.iommufd.destroy(guest.device.object()));
            fails(Errno.ENOENT, mock.iommufd.destroy(virtual));
            fails(Errno.ENOENT, mock.iommufd.destroy(guest.device.id()));
            for (int i = 0; i < 5; i++) {
                assertNotEquals(virtual, ok(mock.iommufd.ioas()));
            }
            ok(mock.iommufd.destroy(guest.viommu));
        }
    }

    @EveryKernel
    void aTombstoneIsEnoughForTheAccountingToBeFixed(KernelUnderTest kernel) {
        try (MockIommuClient mock = new MockIommuClient(kernel)) {
            long ability = mock.iommufd.option(0, 0, 0, 0);
            kernel.needs("CAP_SYS_RESOURCE", ability);
            Guest guest = Guest.of(mock);
            ok(mock.vdevice(guest.viommu, guest.device.id(), 7));
            ok(mock.iommufd.destroy(guest.device.object()));
            ok(mock.iommufd.destroy(guest.viommu));
            ok(mock.iommufd.destroy(guest.parent));
            ok(mock.iommufd.destroy(guest.ioas));
            fails(Errno.EBUSY, mock.iommufd.option(0, 0, 0, 1));
        }
    }

    @EveryKernel
    void aHardwareQueueIsCheckedFromItsRangeToItsIndex(KernelUnderTest kernel) {
        try (MockIommuClient mock = new MockIommuClient(kernel)) {
            Guest guest = Guest.of(mock);
            long iova = APERTURE;
            fails(Errno.EINVAL, mock.hwQueue(99, 0x7777, 9, iova, 0));
            fails(Errno.ENOENT, mock.hwQueue(99, 0x7777, 9, iova, 1));
            fails(Errno.EOPNOTSUPP, mock.hwQueue(guest.viommu, 0x7777, 9, iova, 1));
            fails(Errno.ENOENT, mock.hwQueue(guest.viommu, MOCK, 9, iova, 1));
            fails(Errno.ERANGE, mock.hwQueue(guest.viommu, MOCK, 9, 0, -1));
            fails(Errno.ENOENT, mock.hwQueue(guest.viommu, MOCK, 9, iova, 1L << 32));
            ok(mock.iommufd.map(guest.ioas, IommufdClient.ALL, mock.iommufd.memory(1), PAGE, iova));
            fails(Errno.ENOENT, mock.hwQueue(guest.viommu, MOCK, 9, iova + PAGE - 1, 2));
            fails(Errno.EINVAL, mock.hwQueue(guest.viommu, MOCK, 2, iova, PAGE));
            fails(Errno.EINVAL, mock.hwQueue(guest.viommu, MOCK, -1, iova, PAGE));
            fails(Errno.EIO, mock.hwQueue(guest.viommu, MOCK, 1, iova, PAGE));
            ok(mock.hwQueue(guest.viommu, MOCK, 0, iova + 100, 1));
            fails(Errno.EEXIST, mock.hwQueue(guest.viommu, MOCK, 0, iova, PAGE));
        }
    }

    @EveryKernel
    void theMemoryOfAHardwareQueueMustBeReadable(KernelUnderTest kernel) {
        try (MockIommuClient mock = new MockIommuClient(kernel)) {
            Guest guest = Guest.of(mock);
            int writable = IommufdClient.FIXED | IommufdClient.WRITE;
            ok(mock.iommufd.map(guest.ioas, writable, mock.iommufd.memory(1), PAGE, APERTURE));
            fails(Errno.EPERM, mock.hwQueue(guest.viommu, MOCK, 0, APERTURE, PAGE));
        }
    }

    @EveryKernel
    void theMemoryOfAHardwareQueueIsOnePiece(KernelUnderTest kernel) {
        try (MockIommuClient mock = new MockIommuClient(kernel)) {
            Guest guest = Guest.of(mock);
            long page = mock.iommufd.memory(1);
            ok(mock.iommufd.map(guest.ioas, IommufdClient.ALL, page, PAGE, APERTURE));
            ok(mock.iommufd.map(guest.ioas, IommufdClient.ALL, page, PAGE, APERTURE + PAGE));
            fails(Errno.EFAULT, mock.hwQueue(guest.viommu, MOCK, 0, APERTURE, 2 * PAGE));
            fails(Errno.EFAULT, mock.hwQueue(guest.viommu, MOCK, 0, APERTURE + PAGE - 1, 2));
            ok(mock.hwQueue(guest.viommu, MOCK, 0, APERTURE + PAGE - 1, 1));
        }
    }

    @EveryKernel
    void theMemoryOfAHardwareQueueCannotBeUnmapped(KernelUnderTest kernel) {
        try (MockIommuClient mock = new MockIommuClient(kernel)) {
            Guest guest = Guest.of(mock);
            ok(mock.iommufd.map(guest.ioas, IommufdClient.ALL, mock.iommufd.memory(2), 2 * PAGE, APERTURE));
            long queue = ok(mock.hwQueue(guest.viommu, MOCK, 0, APERTURE, PAGE));
            fails(Errno.EBUSY, mock.iommufd.unmap(guest.ioas, APERTURE, 2 * PAGE));
            fails(Errno.EBUSY, mock.iommufd.unmap(guest.ioas, 0, -1));
            ok(mock.iommufd.destroy(queue));
            assertEquals(2 * PAGE, mock.iommufd.unmap(guest.ioas, APERTURE, 2 * PAGE));
        }
    }

    @EveryKernel
    void hardwareQueuesGoInTheReverseOrderAndBeforeTheVirtualIommu(KernelUnderTest kernel) {
        try (MockIommuClient mock = new MockIommuClient(kernel)) {
            Guest guest = Guest.of(mock);
            ok(mock.iommufd.map(guest.ioas, IommufdClient.ALL, mock.iommufd.memory(2), 2 * PAGE, APERTURE));
            long first = ok(mock.hwQueue(guest.viommu, MOCK, 0, APERTURE, PAGE));
            long second = ok(mock.hwQueue(guest.viommu, MOCK, 1, APERTURE + PAGE, PAGE));
            // The access that pins the memory has an id of its own.
            assertEquals(first + 2, second);
            fails(Errno.EBUSY, mock.iommufd.destroy(first + 1));
            fails(Errno.EBUSY, mock.iommufd.destroy(first));
            fails(Errno.EBUSY, mock.iommufd.destroy(guest.viommu));
            ok(mock.iommufd.destroy(second));
            ok(mock.iommufd.destroy(first));
            fails(Errno.ENOENT, mock.iommufd.destroy(first + 1));
            ok(mock.iommufd.destroy(guest.viommu));
        }
    }

    @EveryKernel
    void everythingGoesWithTheContext(KernelUnderTest kernel) {
        try (MockIommuClient mock = new MockIommuClient(kernel)) {
            Guest guest = Guest.of(mock);
            ok(mock.iommufd.map(guest.ioas, IommufdClient.ALL, mock.iommufd.memory(1), PAGE, APERTURE));
            ok(mock.hwQueue(guest.viommu, MOCK, 0, APERTURE, PAGE));
            ok(mock.vdevice(guest.viommu, guest.device.id(), 7));
            ok(mock.replace(guest.device, ok(mock.nested(guest.device, guest.viommu))));
        }
    }
}
