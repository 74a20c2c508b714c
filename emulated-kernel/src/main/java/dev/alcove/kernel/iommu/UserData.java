// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommu;

import dev.alcove.kernel.task.UserMemory;
import dev.alcove.sys.Errno;
import java.lang.foreign.MemorySegment;

/**
 * A struct in the caller's memory that only a driver knows ({@code struct iommu_user_data}).
 *
 * @param type which struct
 * @param address where
 * @param length its bytes, unsigned
 */
public record UserData(UserMemory memory, int type, long address, int length) {
    /**
     * Copies the struct in; what the caller does not give of it stays as it is.
     *
     * @param wanted the type that it must have
     * @param struct as long as the kernel knows it
     * @param least the bytes that the caller must give
     * @return 0; {@code -EINVAL} another type, too short, or too long; {@code -EFAULT}
     */
    public int copyIn(int wanted, MemorySegment struct, long least) {
        long given = Integer.toUnsignedLong(length);
        if (type != wanted || given < least || given > struct.byteSize()) {
            return -Errno.EINVAL;
        }
        return memory.copyIn(address, struct.asSlice(0, given));
    }

    /** Copies a struct back, no more of it than the caller has room for: 0, {@code -EINVAL}, {@code -EFAULT}. */
    public int copyOut(int wanted, MemorySegment struct, long least) {
        long given = Integer.toUnsignedLong(length);
        if (type != wanted || given < least) {
            return -Errno.EINVAL;
        }
        return memory.copyOut(address, struct.asSlice(0, Math.min(given, struct.byteSize())));
    }
}
