// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract;

import dev.alcove.bindings.iommufd.iommu_ioas_alloc;
import dev.alcove.bindings.iommufd.iommu_ioas_map;
import dev.alcove.bindings.iommufd.iommu_ioas_unmap;
import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import java.lang.foreign.MemorySegment;

import static dev.alcove.contract.Checks.fails;
import static dev.alcove.contract.Checks.ok;
import static dev.alcove.contract.IommufdClient.ALL;
import static org.junit.jupiter.api.Assertions.assertEquals;

/** Ids of a context, what becomes of an object whose answer is lost, and the file itself. */
@Surface("iommufd dispatch")
final class IommufdObjectContractTest {
    private static final long PAGE = Linux.PAGE_SIZE;
    private static final long MIB = 1 << 20;

    @EveryKernel
    void idsStartAtOneAndGoUp(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            assertEquals(1, it.ioas());
            assertEquals(2, it.ioas());
            assertEquals(3, it.ioas());
        }
    }

    @EveryKernel
    void theLowestFreeIdIsNext(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            for (int id = 1; id <= 5; id++) {
                assertEquals(id, it.ioas());
            }
            ok(it.destroy(4));
            ok(it.destroy(2));
            assertEquals(2, it.ioas());
            assertEquals(4, it.ioas());
            assertEquals(6, it.ioas());
        }
    }

    @EveryKernel
    void allTypesShareTheIds(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            assertEquals(1, it.ioas());
            assertEquals(2, it.faultQueue().id());
            assertEquals(3, it.ioas());
        }
    }

    @EveryKernel
    void whatIsNotThereCannotBeDestroyed(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            fails(Errno.ENOENT, it.destroy(0));
            fails(Errno.ENOENT, it.destroy(1));
            fails(Errno.ENOENT, it.destroy(-1));
            long ioas = it.ioas();
            ok(it.destroy(ioas));
            fails(Errno.ENOENT, it.destroy(ioas));
        }
    }

    @EveryKernel
    void anIdOfAnotherTypeIsNone(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            long queue = it.faultQueue().id();
            long ioas = it.ioas();
            fails(Errno.ENOENT, it.map(queue, ALL, 0, PAGE, MIB));
            fails(Errno.ENOENT, it.unmap(queue, 0, -1));
            fails(Errno.ENOENT, it.allow(queue));
            fails(Errno.ENOENT, it.copy(ALL, queue, 0, ioas, 0, PAGE));
            fails(Errno.ENOENT, it.option(1, 1, queue, 0));
            fails(Errno.ENOENT, it.vfioIoas(1, queue));
            fails(Errno.ENOENT, it.hwpt(0, ioas, ioas));
        }
    }

    @EveryKernel
    void eachOpenHasItsOwnIds(KernelUnderTest kernel) {
        try (IommufdClient one = new IommufdClient(kernel);
                IommufdClient other = new IommufdClient(kernel)) {
            assertEquals(1, one.ioas());
            fails(Errno.ENOENT, other.destroy(1));
            assertEquals(1, other.ioas());
        }
    }

    @EveryKernel
    void aDuplicateIsTheSameContext(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            int copy = Checks.fd(kernel.sys().dup(it.fd));
            MemorySegment struct = it.struct(iommu_ioas_alloc.sizeof());
            ok(kernel.sys().ioctl(copy, 0x3b81, struct));
            ok(kernel.sys().close(copy));
            ok(it.destroy(iommu_ioas_alloc.out_ioas_id(struct)));
        }
    }

    @EveryKernel
    void anIoasWhoseIdIsLostIsGone(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            fails(Errno.EFAULT, it.callReadOnly(IommufdClient.IOAS_ALLOC, it.struct(12)));
            fails(Errno.ENOENT, it.destroy(1));
            assertEquals(1, it.ioas());
        }
    }

    @EveryKernel
    void aFaultQueueWhoseDescriptorIsLostIsGone(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            int before = Checks.fd(kernel.sys().dup(it.fd));
            ok(kernel.sys().close(before));
            fails(Errno.EFAULT, it.callReadOnly(IommufdClient.FAULT_QUEUE_ALLOC, it.struct(16)));
            assertEquals(1, it.ioas());
            int after = Checks.fd(kernel.sys().dup(it.fd));
            ok(kernel.sys().close(after));
            assertEquals(before, after, "the lowest free descriptor");
        }
    }

    @EveryKernel
    void aMappingWhoseIovaIsLostStays(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            long ioas = ok(it.ioas());
            MemorySegment struct = it.struct(iommu_ioas_map.sizeof());
            iommu_ioas_map.ioas_id(struct, (int) ioas);
            iommu_ioas_map.flags(struct, ALL);
            iommu_ioas_map.iova(struct, MIB);
            iommu_ioas_map.length(struct, PAGE);
            fails(Errno.EFAULT, it.callReadOnly(IommufdClient.MAP, struct));
            fails(Errno.EEXIST, it.callReadOnly(IommufdClient.MAP, struct));
            assertEquals(PAGE, it.unmap(ioas, MIB, PAGE));
        }
    }

    @EveryKernel
    void anUnmapWhoseLengthIsLostIsDone(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            long ioas = ok(it.ioas());
            ok(it.map(ioas, ALL, 0, PAGE, MIB));
            MemorySegment struct = it.struct(iommu_ioas_unmap.sizeof());
            iommu_ioas_unmap.ioas_id(struct, (int) ioas);
            iommu_ioas_unmap.iova(struct, MIB);
            iommu_ioas_unmap.length(struct, PAGE);
            fails(Errno.EFAULT, it.callReadOnly(IommufdClient.UNMAP, struct));
            fails(Errno.ENOENT, it.callReadOnly(IommufdClient.UNMAP, struct));
        }
    }

    @EveryKernel
    void theFileIsNeitherReadNorWritten(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            fails(Errno.EINVAL, kernel.sys().read(it.fd, it.struct(64)));
            fails(Errno.EINVAL, kernel.sys().write(it.fd, it.struct(64)));
            fails(Errno.EINVAL, kernel.sys().pread(it.fd, it.struct(64), 0));
            fails(Errno.EINVAL, kernel.sys().pwrite(it.fd, it.struct(64), 0));
            fails(Errno.ESPIPE, kernel.sys().lseek(it.fd, 0, Linux.SEEK_SET));
            fails(Errno.EINVAL, kernel.sys().ftruncate(it.fd, 0));
        }
    }

    private static long map(KernelUnderTest kernel, int protection, int flags, int file, long offset) {
        long answer = kernel.sys().mmap(0, PAGE, protection, flags, file, offset);
        kernel.needs("mmap of /dev/iommu", answer == -Errno.ENODEV ? answer : 0);
        return answer;
    }

    @EveryKernel
    void aMappingOfTheFileNeedsAnOffsetThatWasHandedOut(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            int both = Linux.PROT_READ | Linux.PROT_WRITE;
            fails(Errno.ENXIO, map(kernel, Linux.PROT_READ, Linux.MAP_SHARED, it.fd, 0));
            fails(Errno.ENXIO, map(kernel, both, Linux.MAP_SHARED, it.fd, 64 * PAGE));
        }
    }

    @EveryKernel
    void aMappingOfTheFileMustBeSharedAndWithoutCode(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            int code = Linux.PROT_READ | Linux.PROT_EXEC;
            fails(Errno.EINVAL, map(kernel, Linux.PROT_READ, Linux.MAP_PRIVATE, it.fd, 0));
            fails(Errno.EINVAL, map(kernel, code, Linux.MAP_PRIVATE, it.fd, 0));
            fails(Errno.EPERM, map(kernel, code, Linux.MAP_SHARED, it.fd, 0));
        }
    }

    @EveryKernel
    void aDescriptorForReadingIsNotSharedWhenMapped(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            int file = Checks.fd(kernel.sys().open("/dev/iommu", Linux.O_RDONLY | Linux.O_CLOEXEC, 0));
            long answer = kernel.sys().mmap(0, PAGE, Linux.PROT_READ, Linux.MAP_SHARED, file, 0);
            ok(kernel.sys().close(file));
            kernel.needs("mmap of /dev/iommu", answer == -Errno.ENODEV ? answer : 0);
            fails(Errno.EINVAL, answer);
            assertEquals(1, it.ioas());
        }
    }
}
