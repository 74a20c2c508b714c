// SPDX-License-Identifier: Apache-2.0
package dev.alcove.sys;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;

/** Turns addresses that {@link Syscalls#mmap} answered into segments. */
@SuppressWarnings("restricted") // addresses become memory here, and nowhere else above the seam
public final class UserMappings {
    private UserMappings() {}

    /**
     * A view of mapped memory. It stays valid as long as the mapping: an access after munmap ends the JVM, so the
     * owner of the mapping must own the segment too.
     *
     * @param address as answered by mmap
     * @param length bytes
     */
    public static MemorySegment segment(long address, long length) {
        return MemorySegment.ofAddress(address).reinterpret(length);
    }

    /**
     * A view of mapped memory that ends with an arena: an access after {@code owner.close()} is an
     * IllegalStateException. The owner of the mapping closes the arena first, then unmaps.
     *
     * @param address as answered by mmap
     * @param length bytes
     */
    public static MemorySegment segment(long address, long length, Arena owner) {
        return MemorySegment.ofAddress(address).reinterpret(length, owner, null);
    }
}
