// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.kvm;

import java.lang.foreign.MemorySegment;

/** Kernel copies of user structs. */
final class UserCopy {
    private UserCopy() {}

    /** Zeroed memory, 8-byte aligned, on the heap: it costs nothing that has to be freed. */
    static MemorySegment struct(long bytes) {
        return MemorySegment.ofArray(new long[(int) ((bytes + 7) >>> 3)]).asSlice(0, bytes);
    }
}
