// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommufd;

import dev.alcove.kernel.task.Task;
import java.lang.foreign.MemorySegment;

/**
 * A native ioctl on its way through: the kernel's copy of the struct, as long as the kernel knows it.
 *
 * @param address of the caller's struct
 * @param userSize the length the caller gave
 */
public record Command(Task task, long address, int userSize, MemorySegment struct) {
    /**
     * Copies the caller's struct in ({@code copy_struct_from_user}): fields that it does not know are zero, fields that
     * the kernel does not know must be.
     *
     * @return 0, {@code -EFAULT}, or {@code -E2BIG}
     */
    long copyIn() {
        long length = Integer.toUnsignedLong(userSize);
        long more = Math.max(0, length - struct.byteSize());
        int error = task.memory().checkZeroed(address + struct.byteSize(), more);
        return error != 0 ? error : task.memory().copyIn(address, struct.asSlice(0, Math.min(struct.byteSize(), length)));
    }

    /** Copies the struct back, no more of it than the caller knows; 0 or {@code -EFAULT}. */
    public long respond() {
        long known = Math.min(struct.byteSize(), Integer.toUnsignedLong(userSize));
        return task.memory().copyOut(address, struct.asSlice(0, known));
    }

    /** Zeroed kernel memory in which every field of a struct is aligned. */
    public static MemorySegment zeroes(long size) {
        return MemorySegment.ofArray(new long[(int) ((size + 7) >>> 3)]).asSlice(0, size);
    }
}
