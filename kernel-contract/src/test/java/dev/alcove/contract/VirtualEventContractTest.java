// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract;

import dev.alcove.contract.MockIommuClient.Device;
import dev.alcove.contract.MockIommuClient.EventQueue;
import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;

import static dev.alcove.contract.Checks.fails;
import static dev.alcove.contract.Checks.ok;
import static dev.alcove.contract.MockIommuClient.EVENTS;
import static dev.alcove.contract.MockIommuClient.MOCK;
import static dev.alcove.contract.MockIommuClient.NEST_PARENT;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

/** Queues of events for the guests of virtual IOMMUs, with the mock IOMMU, whose event is the device's number. */
@Surface("domains")
final class VirtualEventContractTest {
    private static final int NUMBER = 0x99;
    private static final int LOST = 1;

    /** A virtual IOMMU, and the device of its guest. */
    private record Guest(long viommu, Device device) {
        /** @param attached whether the device is on the guest's first stage */
        static Guest of(MockIommuClient mock, boolean attached) {
            long ioas = ok(mock.iommufd.ioas());
            Device device = mock.device(0, ioas);
            long parent = ok(mock.iommufd.hwpt(NEST_PARENT, device.id(), ioas));
            long viommu = ok(mock.viommu(0, MOCK, device.id(), parent));
            ok(mock.vdevice(viommu, device.id(), NUMBER));
            if (attached) {
                ok(mock.replace(device, ok(mock.nested(device, viommu))));
            }
            return new Guest(viommu, device);
        }
    }

    /** Reads up to so many bytes: the words, or the errno alone. */
    private static int[] read(KernelUnderTest kernel, MockIommuClient mock, EventQueue queue, int room) {
        MemorySegment buffer = mock.iommufd.struct(Math.max(room, 8)).asSlice(0, room);
        long length = kernel.sys().read(queue.fd(), buffer);
        return Linux.isError(length)
                ? new int[] {(int) length}
                : Arrays.copyOf(buffer.asSlice(0, length).toArray(ValueLayout.JAVA_INT), (int) length / 4);
    }

    @EveryKernel
    void aQueueIsCheckedFromItsTypeToTheVirtualIommu(KernelUnderTest kernel) {
        try (MockIommuClient mock = new MockIommuClient(kernel)) {
            Guest guest = Guest.of(mock, false);
            fails(Errno.EOPNOTSUPP, mock.tryEventQueue(99, 0, 0));
            fails(Errno.EINVAL, mock.tryEventQueue(99, EVENTS, 0));
            fails(Errno.ENOENT, mock.tryEventQueue(guest.device.id(), EVENTS, 1));
            EventQueue queue = mock.eventQueue(guest.viommu, 1);
            fails(Errno.EEXIST, mock.tryEventQueue(guest.viommu, EVENTS, 1));
            mock.iommufd.closeFile(queue.fd());
            fails(Errno.EEXIST, mock.tryEventQueue(guest.viommu, EVENTS, 1));
            ok(mock.iommufd.destroy(queue.id()));
            mock.eventQueue(guest.viommu, 1);
        }
    }

    @EveryKernel
    void theFileKeepsTheQueueAndTheQueueTheVirtualIommu(KernelUnderTest kernel) {
        try (MockIommuClient mock = new MockIommuClient(kernel)) {
            long ioas = ok(mock.iommufd.ioas());
            Device device = mock.device(0, ioas);
            long parent = ok(mock.iommufd.hwpt(NEST_PARENT, device.id(), ioas));
            long viommu = ok(mock.viommu(0, MOCK, device.id(), parent));
            EventQueue queue = mock.eventQueue(viommu, 1);
            fails(Errno.EBUSY, mock.iommufd.destroy(viommu));
            fails(Errno.EBUSY, mock.iommufd.destroy(queue.id()));
            mock.iommufd.closeFile(queue.fd());
            ok(mock.iommufd.destroy(queue.id()));
            ok(mock.iommufd.destroy(viommu));
        }
    }

    @EveryKernel
    void anEventNeedsAQueueAndADeviceOfTheGuest(KernelUnderTest kernel) {
        try (MockIommuClient mock = new MockIommuClient(kernel)) {
            Guest guest = Guest.of(mock, false);
            fails(Errno.ENOENT, mock.report(guest.device));
            ok(mock.replace(guest.device, ok(mock.nested(guest.device, guest.viommu))));
            fails(Errno.EOPNOTSUPP, mock.report(guest.device));
            mock.eventQueue(guest.viommu, 1);
            ok(mock.report(guest.device));
        }
    }

    @EveryKernel
    void aFirstStageOfAVirtualIommuIsForDevicesThatItKnows(KernelUnderTest kernel) {
        try (MockIommuClient mock = new MockIommuClient(kernel)) {
            Guest guest = Guest.of(mock, false);
            Device other = mock.device(0, ok(mock.iommufd.ioas()));
            long nested = ok(mock.nested(guest.device, guest.viommu));
            fails(Errno.ENOENT, mock.replace(other, nested));
            ok(mock.replace(guest.device, nested));
        }
    }

    @EveryKernel
    void eventsAreNumberedAndReadWhole(KernelUnderTest kernel) {
        try (MockIommuClient mock = new MockIommuClient(kernel)) {
            Guest guest = Guest.of(mock, true);
            EventQueue queue = mock.eventQueue(guest.viommu, 4);
            assertArrayEquals(new int[0], read(kernel, mock, queue, 8));
            assertArrayEquals(new int[] {-Errno.EINVAL}, read(kernel, mock, queue, 4));
            ok(mock.report(guest.device));
            ok(mock.report(guest.device));
            ok(mock.report(guest.device));
            assertArrayEquals(new int[] {-Errno.EINVAL}, read(kernel, mock, queue, 8));
            assertArrayEquals(new int[] {0, 0, NUMBER}, read(kernel, mock, queue, 12));
            assertArrayEquals(new int[] {0, 1, NUMBER}, read(kernel, mock, queue, 20));
            assertArrayEquals(new int[] {0, 2, NUMBER}, read(kernel, mock, queue, 64));
            assertArrayEquals(new int[0], read(kernel, mock, queue, 64));
        }
    }

    @EveryKernel
    void whatDoesNotFitIsLostAndItsLastNumberTold(KernelUnderTest kernel) {
        try (MockIommuClient mock = new MockIommuClient(kernel)) {
            Guest guest = Guest.of(mock, true);
            EventQueue queue = mock.eventQueue(guest.viommu, 1);
            for (int i = 0; i < 4; i++) {
                ok(mock.report(guest.device));
            }
            assertArrayEquals(new int[] {0, 0, NUMBER}, read(kernel, mock, queue, 12));
            assertArrayEquals(new int[] {LOST, 3}, read(kernel, mock, queue, 12));
            ok(mock.report(guest.device));
            assertArrayEquals(new int[] {0, 4, NUMBER}, read(kernel, mock, queue, 12));
        }
    }

    @EveryKernel
    void anEventThatFitsAgainTakesThePlaceOfTheLostOnes(KernelUnderTest kernel) {
        try (MockIommuClient mock = new MockIommuClient(kernel)) {
            Guest guest = Guest.of(mock, true);
            EventQueue queue = mock.eventQueue(guest.viommu, 1);
            ok(mock.report(guest.device));
            ok(mock.report(guest.device));
            assertArrayEquals(new int[] {0, 0, NUMBER}, read(kernel, mock, queue, 16));
            ok(mock.report(guest.device));
            assertArrayEquals(new int[] {0, 2, NUMBER}, read(kernel, mock, queue, 64));
            assertArrayEquals(new int[0], read(kernel, mock, queue, 64));
        }
    }

    @EveryKernel
    void aLostEventIsReadBehindTheOthersAtOnce(KernelUnderTest kernel) {
        try (MockIommuClient mock = new MockIommuClient(kernel)) {
            Guest guest = Guest.of(mock, true);
            EventQueue queue = mock.eventQueue(guest.viommu, 2);
            for (int i = 0; i < 3; i++) {
                ok(mock.report(guest.device));
            }
            assertArrayEquals(new int[] {0, 0, NUMBER, 0, 1, NUMBER, LOST, 2}, read(kernel, mock, queue, 36));
        }
    }

    @EveryKernel
    void theFileIsReadableWhenThereIsAnEventAndNeverWritable(KernelUnderTest kernel) {
        try (MockIommuClient mock = new MockIommuClient(kernel)) {
            Guest guest = Guest.of(mock, true);
            EventQueue queue = mock.eventQueue(guest.viommu, 1);
            assertEquals(0, mock.poll(queue.fd()));
            ok(mock.report(guest.device));
            assertEquals(Linux.POLLIN, mock.poll(queue.fd()));
            read(kernel, mock, queue, 12);
            assertEquals(0, mock.poll(queue.fd()));
            fails(Errno.EINVAL, kernel.sys().write(queue.fd(), mock.iommufd.struct(8)));
        }
    }

    @EveryKernel
    void aGuestThatLosesItsDeviceGetsNoEvents(KernelUnderTest kernel) {
        try (MockIommuClient mock = new MockIommuClient(kernel)) {
            Guest guest = Guest.of(mock, true);
            mock.eventQueue(guest.viommu, 1);
            ok(mock.report(guest.device));
            ok(mock.replace(guest.device, ok(mock.iommufd.ioas())));
            fails(Errno.ENOENT, mock.report(guest.device));
        }
    }
}
