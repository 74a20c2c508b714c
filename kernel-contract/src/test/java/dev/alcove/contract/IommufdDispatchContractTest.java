// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract;

import dev.alcove.bindings.iommufd.iommu_destroy;
import dev.alcove.bindings.iommufd.iommu_ioas_alloc;
import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import dev.alcove.sys.UserMappings;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

import static dev.alcove.contract.Checks.fails;
import static dev.alcove.contract.Checks.ok;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

/** The rules that every ioctl of /dev/iommu follows: lengths, reserved fields, ids. */
@Surface("iommufd dispatch")
final class IommufdDispatchContractTest {
    /** Number, least size; each is refused one byte short. */
    private static final int[][] LEAST = {
        {0x80, 8}, {0x81, 12}, {0x82, 24}, {0x83, 40}, {0x84, 32}, {0x85, 40}, {0x86, 24}, {0x87, 24}, {0x88, 12},
        {0x89, 24}, {0x8a, 32}, {0x8b, 16}, {0x8c, 48}, {0x8d, 32}, {0x8e, 16}
    };

    /** Number, offset of a field of 32 bits that must be 0, and the struct's size. */
    private static final int[][] RESERVED = {
        {0x81, 4, 12}, {0x82, 12, 24}, {0x84, 12, 32}, {0x85, 12, 40}, {0x89, 20, 48}, {0x8c, 12, 48}, {0x8d, 28, 32},
        {0x8e, 4, 16}
    };

    @EveryKernel
    void unknownNumbersAreNoIoctls(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            MemorySegment struct = it.struct(64);
            fails(Errno.ENOTTY, it.call(0x9f, struct));
            fails(Errno.ENOTTY, it.call(0xff, struct));
            fails(Errno.ENOTTY, it.call(0x00, struct));
            fails(Errno.ENOTTY, kernel.sys().ioctl(it.fd, 0x3c81, struct));
            fails(Errno.ENOTTY, kernel.sys().ioctl(it.fd, 0x400c_3b81, struct));
            fails(Errno.ENOTTY, kernel.sys().ioctl(it.fd, 0x3b75, struct));
            fails(Errno.EFAULT, kernel.sys().ioctl(it.fd, 0x3b81, 0L));
        }
    }

    @EveryKernel
    void lengthsAreChecked(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            for (int[] row : LEAST) {
                MemorySegment struct = it.struct(256);
                iommu_destroy.size(struct, row[1] - 1);
                fails(Errno.EINVAL, it.call(row[0], struct));
                struct.set(ValueLayout.JAVA_BYTE, 200, (byte) 1);
                iommu_destroy.size(struct, 256);
                fails(Errno.E2BIG, it.call(row[0], struct));
            }
            MemorySegment long1 = it.struct(256);
            ok(it.call(0x81, long1));
            assertEquals(1, iommu_ioas_alloc.out_ioas_id(long1), "a longer struct with zeroes is fine");
        }
    }

    @EveryKernel
    void reservedFieldsMustBeZero(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            for (int[] row : RESERVED) {
                MemorySegment struct = it.struct(row[2]);
                struct.set(ValueLayout.JAVA_INT, row[1], 0x40);
                fails(Errno.EOPNOTSUPP, it.call(row[0], struct));
            }
        }
    }

    @EveryKernel
    void idsAreShortAndUsedAgain(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            assertEquals(1, it.ioas());
            assertEquals(2, it.ioas());
            assertEquals(3, it.ioas());
            fails(Errno.ENOENT, it.destroy(0));
            fails(Errno.ENOENT, it.destroy(4));
            fails(Errno.ENOENT, it.destroy(-1));
            ok(it.destroy(2));
            fails(Errno.ENOENT, it.destroy(2));
            long next = it.ioas();
            assertTrue(next == 2 || next == 4, "the next id is " + next);
        }
    }

    @EveryKernel
    void aResponseThatCannotBeWrittenTakesTheObjectBack(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            long page = it.memory(2);
            MemorySegment start = UserMappings.segment(page, 2L * Linux.PAGE_SIZE);
            iommu_destroy.size(start, 12);
            long readOnly = ok(kernel.sys()
                    .mmap(0, Linux.PAGE_SIZE, Linux.PROT_READ, Linux.MAP_PRIVATE | Linux.MAP_ANONYMOUS, -1, 0));
            fails(Errno.EINVAL, kernel.sys().ioctl(it.fd, 0x3b81, readOnly));
            kernel.sys().munmap(readOnly, Linux.PAGE_SIZE);
            int file = Checks.fd(kernel.sys().memfdCreate("request", Linux.MFD_CLOEXEC));
            ok(kernel.sys().ftruncate(file, Linux.PAGE_SIZE));
            assertEquals(4, kernel.sys().pwrite(file, start.asSlice(0, 4), 0));
            long fixed = ok(kernel.sys().mmap(0, Linux.PAGE_SIZE, Linux.PROT_READ, Linux.MAP_SHARED, file, 0));
            fails(Errno.EFAULT, kernel.sys().ioctl(it.fd, 0x3b81, fixed));
            assertEquals(1, it.ioas(), "the object of the failed call is gone");
            kernel.sys().munmap(fixed, Linux.PAGE_SIZE);
            kernel.sys().close(file);
        }
    }

    @EveryKernel
    void theFileCanNeitherBeReadNorMapped(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            fails(Errno.EINVAL, kernel.sys().read(it.fd, it.struct(64)));
            long shared = kernel.sys().mmap(0, Linux.PAGE_SIZE, Linux.PROT_READ, Linux.MAP_SHARED, it.fd, 0);
            kernel.needs("mmap of /dev/iommu", shared == -Errno.ENODEV ? shared : 0);
            fails(Errno.ENXIO, shared);
            fails(
                    Errno.EINVAL,
                    kernel.sys().mmap(0, Linux.PAGE_SIZE, Linux.PROT_READ, Linux.MAP_PRIVATE, it.fd, 0));
        }
    }
}
