// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.gmem;

import dev.alcove.kernel.task.Task;
import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import java.lang.foreign.MemorySegment;

import static java.lang.foreign.ValueLayout.JAVA_LONG_UNALIGNED;

/**
 * KVM_SET_MEMORY_ATTRIBUTES2 of a guest_memfd (the proposal "guest_memfd: In-place conversion"): the checks in the
 * series' order. No header has the struct yet:
 *
 * <pre>
 * struct kvm_memory_attributes2 { __u64 offset, size, attributes, flags, error_offset, reserved[11]; }
 * </pre>
 */
final class InPlaceConversion {
    /** _IOWR(KVMIO, 0xd2, struct kvm_memory_attributes2). */
    static final int SET_MEMORY_ATTRIBUTES2 = 0xc080_aed2;

    private static final int BYTES = 128;
    private static final int OFFSET = 0;
    private static final int SIZE = 8;
    private static final int ATTRIBUTES = 16;
    private static final int FLAGS = 24;
    private static final int ERROR_OFFSET = 32;
    private static final int RESERVED = 40;

    /** KVM_MEMORY_ATTRIBUTE_PRIVATE. */
    private static final long PRIVATE = 1 << 3;

    private InPlaceConversion() {}

    static long serve(GuestMemfd file, boolean ownerHasPrivateMemory, Task task, long argument) {
        MemorySegment struct = MemorySegment.ofArray(new long[BYTES / Long.BYTES]);
        if (task.memory().copyIn(argument, struct) != 0) {
            return -Errno.EFAULT;
        }
        long offset = struct.get(JAVA_LONG_UNALIGNED, OFFSET);
        long size = struct.get(JAVA_LONG_UNALIGNED, SIZE);
        long attributes = struct.get(JAVA_LONG_UNALIGNED, ATTRIBUTES);
        boolean reserved = false;
        for (int at = RESERVED; at < BYTES; at += Long.BYTES) {
            reserved |= struct.get(JAVA_LONG_UNALIGNED, at) != 0;
        }
        if (struct.get(JAVA_LONG_UNALIGNED, FLAGS) != 0
                || reserved
                || !ownerHasPrivateMemory
                || (attributes & ~PRIVATE) != 0
                || size == 0
                || Long.compareUnsigned(offset + size, offset) < 0
                || ((offset | size) & Linux.PAGE_SIZE - 1) != 0
                || Long.compareUnsigned(offset + size, file.size()) > 0) {
            return -Errno.EINVAL;
        }
        long answer = file.convert(
                offset >>> Linux.PAGE_SHIFT, (offset + size) >>> Linux.PAGE_SHIFT, attributes != 0);
        if (answer < 0) {
            return answer;
        }
        if (answer > 0) {
            struct.set(JAVA_LONG_UNALIGNED, ERROR_OFFSET, (answer - 1) << Linux.PAGE_SHIFT);
            return task.memory().copyOut(argument, struct) != 0 ? -Errno.EFAULT : -Errno.EAGAIN;
        }
        return 0;
    }
}
