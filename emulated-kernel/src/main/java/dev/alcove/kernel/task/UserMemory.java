// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.task;

import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import java.lang.foreign.MemorySegment;

/**
 * The memory of a caller, as the kernel may touch it. Nothing here ever faults in the JVM: an address that is not
 * mapped, or is mapped without the right, is {@code -EFAULT}.
 */
public interface UserMemory {
    /**
     * copy_from_user.
     *
     * @param into receives {@code into.byteSize()} bytes
     * @return 0 or {@code -EFAULT}
     */
    int copyIn(long address, MemorySegment into);

    /** copy_to_user of all of {@code from}; 0 or {@code -EFAULT}. */
    int copyOut(long address, MemorySegment from);

    /**
     * check_zeroed_user, as copy_struct_from_user uses it for what the kernel does not know of a struct. It goes page by
     * page: what is not zero is found before what cannot be read behind it.
     *
     * @return 0, {@code -E2BIG} when a byte is not zero, {@code -EFAULT}
     */
    default int checkZeroed(long address, long length) {
        if (length <= 0) {
            return 0;
        }
        int longest = (int) Math.min(length, Linux.PAGE_SIZE);
        MemorySegment zeroes = MemorySegment.ofArray(new byte[longest]);
        MemorySegment buffer = MemorySegment.ofArray(new byte[longest]);
        for (long done = 0; done < length; ) {
            long at = address + done;
            long piece = Math.min(length - done, Linux.PAGE_SIZE - (at & Linux.PAGE_SIZE - 1));
            MemorySegment bytes = buffer.asSlice(0, piece);
            int error = copyIn(at, bytes);
            if (error != 0) {
                return error;
            }
            if (bytes.mismatch(zeroes.asSlice(0, piece)) >= 0) {
                return -Errno.E2BIG;
            }
            done += piece;
        }
        return 0;
    }
}
