// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.vfio;

import dev.alcove.kernel.task.Task;
import dev.alcove.sys.Errno;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import org.jspecify.annotations.Nullable;

/**
 * A struct argument of a VFIO ioctl, copied into the kernel: its first word is {@code argsz}, the size that the
 * caller believes in.
 */
final class UserStruct {
    private final Task task;
    private final long address;
    private final MemorySegment bytes;

    private UserStruct(Task task, long address, MemorySegment bytes) {
        this.task = task;
        this.address = address;
        this.bytes = bytes;
    }

    /** Copies the first {@code size} bytes in; null when the caller's memory does not allow it. */
    static @Nullable UserStruct copyIn(Task task, long address, int size) {
        MemorySegment bytes = MemorySegment.ofArray(new byte[size]);
        return task.memory().copyIn(address, bytes) < 0 ? null : new UserStruct(task, address, bytes);
    }

    /**
     * Copies a struct in of which the caller may know less, or more: what it does not know is zero, what the kernel does
     * not know must be ({@code copy_struct_from_user}).
     *
     * @param least bytes that the caller must know
     * @param size bytes that the kernel knows
     * @param error element 0 receives {@code -EFAULT -EINVAL -E2BIG} when the answer is null
     */
    static @Nullable UserStruct copyIn(Task task, long address, int least, int size, int[] error) {
        error[0] = -Errno.EFAULT;
        UserStruct argsz = copyIn(task, address, Integer.BYTES);
        if (argsz == null) {
            return null;
        }
        if (argsz.shorterThan(least)) {
            error[0] = -Errno.EINVAL;
            return null;
        }
        int known = (int) Math.min(size, Integer.toUnsignedLong(argsz.word(0)));
        MemorySegment bytes = MemorySegment.ofArray(new byte[size]);
        if (task.memory().copyIn(address, bytes.asSlice(0, known)) < 0) {
            return null;
        }
        UserStruct struct = new UserStruct(task, address, bytes);
        error[0] = struct.checkTail();
        return error[0] == 0 ? struct : null;
    }

    int word(int offset) {
        return bytes.get(ValueLayout.JAVA_INT_UNALIGNED, offset);
    }

    long quad(int offset) {
        return bytes.get(ValueLayout.JAVA_LONG_UNALIGNED, offset);
    }

    void setWord(int offset, int value) {
        bytes.set(ValueLayout.JAVA_INT_UNALIGNED, offset, value);
    }

    void setQuad(int offset, long value) {
        bytes.set(ValueLayout.JAVA_LONG_UNALIGNED, offset, value);
    }

    void clear() {
        bytes.fill((byte) 0);
    }

    /** Whether the caller's {@code argsz} is below the least size, 32 bits unsigned. */
    boolean shorterThan(int least) {
        return Integer.compareUnsigned(word(0), least) < 0;
    }

    /** Copies one word back; 0 or {@code -EFAULT}. */
    int copyOutWord(int offset) {
        return task.memory().copyOut(address + offset, bytes.asSlice(offset, Integer.BYTES));
    }

    /** Copies the struct back; 0 or {@code -EFAULT}. */
    int copyOut() {
        return task.memory().copyOut(address, bytes);
    }

    /**
     * Checks what lies behind the part that the kernel knows ({@code copy_struct_from_user}).
     *
     * @return 0, {@code -E2BIG} when it is not all zero, {@code -EFAULT}
     */
    private int checkTail() {
        long rest = Integer.toUnsignedLong(word(0)) - bytes.byteSize();
        if (rest <= 0) {
            return 0;
        }
        return task.memory().checkZeroed(address + bytes.byteSize(), rest);
    }
}
