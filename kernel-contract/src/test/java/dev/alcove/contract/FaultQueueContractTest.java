// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract;

import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

import static dev.alcove.contract.Checks.fails;
import static dev.alcove.contract.Checks.ok;
import static org.junit.jupiter.api.Assertions.assertEquals;

/** IOMMU_FAULT_QUEUE_ALLOC and the file that it makes; no device here ever asks for a page. */
@Surface("domains")
final class FaultQueueContractTest {
    private static final int REQUEST = 40;
    private static final int RESPONSE = 8;

    @EveryKernel
    void theDescriptorIsClosedOnExecAndOpenForBoth(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            int file = it.faultQueue().fd();
            assertEquals(Linux.FD_CLOEXEC, kernel.sys().fcntl(file, Linux.F_GETFD, 0));
            assertEquals(Linux.O_RDWR, kernel.sys().fcntl(file, Linux.F_GETFL, 0));
        }
    }

    @EveryKernel
    void theDescriptorIsTheLowestFreeOne(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            int next = Checks.fd(kernel.sys().dup(it.fd));
            ok(kernel.sys().close(next));
            assertEquals(next, it.faultQueue().fd());
        }
    }

    @EveryKernel
    void theFileKeepsTheQueueBusy(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            IommufdClient.FaultQueue queue = it.faultQueue();
            fails(Errno.EBUSY, it.destroy(queue.id()));
            it.closeFile(queue.fd());
            ok(it.destroy(queue.id()));
            fails(Errno.ENOENT, it.destroy(queue.id()));
        }
    }

    @EveryKernel
    void theFileOutlivesTheDescriptorOfItsContext(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            IommufdClient.FaultQueue queue = it.faultQueue();
            it.closeContext();
            assertEquals(0, kernel.sys().read(queue.fd(), it.struct(REQUEST)));
            it.closeFile(queue.fd());
        }
    }

    @EveryKernel
    void readsAreOfWholeRequests(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            int file = it.faultQueue().fd();
            fails(Errno.ESPIPE, kernel.sys().read(file, it.struct(REQUEST + 1)));
            fails(Errno.ESPIPE, kernel.sys().read(file, it.struct(REQUEST - 1)));
            fails(Errno.ESPIPE, kernel.sys().read(file, it.struct(8)));
        }
    }

    @EveryKernel
    void anEmptyQueueReadsAsNothingAtOnce(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            int file = it.faultQueue().fd();
            assertEquals(0, kernel.sys().read(file, it.struct(REQUEST)));
            assertEquals(0, kernel.sys().read(file, it.struct(3 * REQUEST)));
            assertEquals(0, kernel.sys().read(file, it.struct(8).asSlice(0, 0)));
        }
    }

    @EveryKernel
    void writesAreOfWholeResponses(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            int file = it.faultQueue().fd();
            fails(Errno.ESPIPE, kernel.sys().write(file, it.struct(RESPONSE + 1)));
            fails(Errno.ESPIPE, kernel.sys().write(file, it.struct(RESPONSE).asSlice(0, 4)));
            assertEquals(0, kernel.sys().write(file, it.struct(RESPONSE).asSlice(0, 0)));
        }
    }

    @EveryKernel
    void responsesAreToRequests(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            int file = it.faultQueue().fd();
            MemorySegment response = it.struct(RESPONSE).fill((byte) 0);
            fails(Errno.EINVAL, kernel.sys().write(file, response));
            response.set(ValueLayout.JAVA_INT, 4, 7);
            fails(Errno.EINVAL, kernel.sys().write(file, response));
        }
    }

    @EveryKernel
    void thereIsNoPosition(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            int file = it.faultQueue().fd();
            fails(Errno.ESPIPE, kernel.sys().lseek(file, 0, Linux.SEEK_SET));
            fails(Errno.ESPIPE, kernel.sys().pread(file, it.struct(REQUEST), 0));
            fails(Errno.ESPIPE, kernel.sys().pwrite(file, it.struct(RESPONSE), 0));
        }
    }

    @EveryKernel
    void itTakesResponsesAtAnyTimeAndHasNoRequests(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            MemorySegment poll = it.struct(8);
            poll.set(ValueLayout.JAVA_INT, 0, it.faultQueue().fd());
            poll.set(ValueLayout.JAVA_SHORT, 4, (short) (Linux.POLLIN | Linux.POLLOUT));
            assertEquals(1, kernel.sys().poll(poll, 0));
            assertEquals(Linux.POLLOUT, poll.get(ValueLayout.JAVA_SHORT, 6));
            poll.set(ValueLayout.JAVA_SHORT, 4, (short) Linux.POLLIN);
            assertEquals(0, kernel.sys().poll(poll, 0));
        }
    }

    @EveryKernel
    void itHasNeitherIoctlsNorMemory(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            int file = it.faultQueue().fd();
            fails(Errno.ENOTTY, kernel.sys().ioctl(file, 0x3b81, it.struct(12)));
            fails(Errno.ENODEV, kernel.sys().mmap(0, 4096, Linux.PROT_READ, Linux.MAP_SHARED, file, 0));
        }
    }

    @EveryKernel
    void aQueueIsNotTheContext(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            int device = it.openDevice();
            MemorySegment bind = it.struct(16);
            bind.set(ValueLayout.JAVA_INT, 8, it.faultQueue().fd());
            fails(Errno.EBADFD, kernel.sys().ioctl(device, 0x3b76, bind));
        }
    }
}
