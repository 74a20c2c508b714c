// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.vfio;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;

/** The chain of capabilities behind an info struct of VFIO ({@code vfio_info_cap_add}); each starts at a multiple of 8. */
final class InfoCapabilities {
    /** Bytes of the header: id and version of 16 bits, then where the next one is. */
    static final int HEADER = 8;

    private final int start;
    private byte[] bytes = {};
    private int last = -1;

    /** @param start where in the user's struct the chain begins */
    InfoCapabilities(int start) {
        this.start = start;
    }

    /**
     * Adds a capability of version 1.
     *
     * @param size with the header
     * @return its bytes, zero behind the header, to be filled before the next call
     */
    MemorySegment add(int id, int size) {
        int at = bytes.length;
        bytes = Arrays.copyOf(bytes, at + ((size + 7) & -8));
        MemorySegment all = MemorySegment.ofArray(bytes);
        if (last >= 0) {
            all.set(ValueLayout.JAVA_INT_UNALIGNED, last + 4L, start + at);
        }
        last = at;
        all.set(ValueLayout.JAVA_SHORT_UNALIGNED, at, (short) id);
        all.set(ValueLayout.JAVA_SHORT_UNALIGNED, at + 2L, (short) 1);
        return all.asSlice(at);
    }

    /** Bytes of the whole chain. */
    int size() {
        return bytes.length;
    }

    MemorySegment bytes() {
        return MemorySegment.ofArray(bytes);
    }
}
