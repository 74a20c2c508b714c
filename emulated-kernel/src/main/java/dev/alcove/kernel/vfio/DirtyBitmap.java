// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.vfio;

import dev.alcove.kernel.task.Task;
import dev.alcove.sys.Errno;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/**
 * The pages of one mapping that devices may have written: a bit for each page of 4 KiB, in words of 64.
 *
 * <p>To hand it out it is shifted in place to where the user's bitmap has the mapping's first page. What is shifted out of
 * the mapping's own bits stays behind them, as in the kernel, and can be seen in the last word of a later answer.
 */
final class DirtyBitmap {
    /** Pages that a bitmap can have at most: 2^31-1. */
    static final long MOST_PAGES = Integer.MAX_VALUE;

    /** Bytes that a bitmap can have at most. */
    static final long MOST_BYTES = bytes(MOST_PAGES);

    private final long pages;
    private final long[] words;

    DirtyBitmap(long pages) {
        this.pages = pages;
        this.words = new long[(int) (bytes(pages) / Long.BYTES) + 1];
    }

    /** Bytes of whole words that so many bits take. */
    static long bytes(long bits) {
        return (bits + Long.SIZE - 1) / Long.SIZE * Long.BYTES;
    }

    void setAll() {
        set(true);
    }

    private void set(boolean on) {
        for (int word = 0; (long) word * Long.SIZE < pages; word++) {
            long left = pages - (long) word * Long.SIZE;
            long mask = left >= Long.SIZE ? -1 : (1L << left) - 1;
            words[word] = on ? words[word] | mask : words[word] & ~mask;
        }
    }

    /**
     * Writes the bits into a user's bitmap and clears them here.
     *
     * @param address of the user's bitmap
     * @param bit where the first page goes in it
     * @return 0 or {@code -EFAULT}
     */
    int moveTo(Task task, long address, long bit) {
        long at = address + bit / Long.SIZE * Long.BYTES;
        int shift = (int) (bit % Long.SIZE);
        if (shift != 0) {
            shiftLeft(shift);
            MemorySegment before = MemorySegment.ofArray(new byte[Long.BYTES]);
            if (task.memory().copyIn(at, before) != 0) {
                return -Errno.EFAULT;
            }
            words[0] |= before.get(ValueLayout.JAVA_LONG_UNALIGNED, 0);
        }
        MemorySegment out = MemorySegment.ofArray(words).asSlice(0, bytes(pages + shift));
        if (task.memory().copyOut(at, out) != 0) {
            return -Errno.EFAULT;
        }
        set(false);
        return 0;
    }

    private void shiftLeft(int shift) {
        for (int word = (int) (bytes(pages + shift) / Long.BYTES) - 1; word >= 0; word--) {
            long carry = word == 0 ? 0 : words[word - 1] >>> (Long.SIZE - shift);
            words[word] = (words[word] << shift) | carry;
        }
    }
}
