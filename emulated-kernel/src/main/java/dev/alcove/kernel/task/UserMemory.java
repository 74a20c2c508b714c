// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.task;

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
}
