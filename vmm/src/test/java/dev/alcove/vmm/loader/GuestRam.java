// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vmm.loader;

import java.lang.foreign.MemorySegment;

/** Guest memory of a loader test: an array. */
final class GuestRam implements PvhLoader.Memory {
    final MemorySegment bytes;

    GuestRam(int size) {
        bytes = MemorySegment.ofArray(new byte[size]);
        bytes.fill((byte) 0xa5);
    }

    @Override
    public MemorySegment shared(long gpa, long length) {
        return bytes.asSlice(gpa, length);
    }
}
