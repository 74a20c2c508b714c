// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommufd;

import dev.alcove.kernel.task.UserMemory;
import dev.alcove.sys.Linux;
import java.lang.foreign.MemorySegment;

/**
 * A bitmap in a user's memory, one bit for each page of a range of IOVAs ({@code struct iova_bitmap}). Bits are only ever
 * set. What cannot be written is passed over in silence, as in Linux: the bits are lost. Of one thread.
 */
final class IovaBitmap {
    private static final int BITS_OF_A_PAGE = Linux.PAGE_SIZE * Byte.SIZE;

    private final UserMemory memory;
    private final long iova;
    private final int pageShift;

    /** The first bit, counted from the start of the page of user memory that it is in. */
    private final long firstBit;

    /** The page of user memory where the bitmap begins. */
    private final long firstPage;

    /** The last page of user memory, counted from the first. */
    private final long lastPage;

    private final byte[] bytes = new byte[Linux.PAGE_SIZE];

    /** Which page of user memory is in {@link #bytes}, -1 for none. */
    private long loaded = -1;

    /** Whether any bit has been set. */
    private boolean touched;

    /**
     * @param length bytes of IOVA, from 1
     * @param pageSize bytes of IOVA for a bit; of a number that is no power of two the lowest bit counts
     * @param address any alignment
     */
    IovaBitmap(UserMemory memory, long iova, long length, long pageSize, long address) {
        this.memory = memory;
        this.iova = iova;
        this.pageShift = Long.numberOfTrailingZeros(pageSize);
        this.firstPage = address & -Linux.PAGE_SIZE;
        this.firstBit = (address - firstPage) * Byte.SIZE;
        long size = ((length - 1) >>> pageShift) / Byte.SIZE + 1;
        this.lastPage = (address - firstPage + size - 1) >>> Linux.PAGE_SHIFT;
    }

    /** Sets the bits of a range; also those behind the end of the bitmap, in its last page of user memory. */
    void set(long from, long length) {
        long bit = firstBit + ((from - iova) >>> pageShift);
        long last = firstBit + ((from + length - 1 - iova) >>> pageShift);
        if (length == 0 && (touched || bit % Byte.SIZE != 0)) {
            // Otherwise, as Linux has it, the range seems to end before the bitmap begins: all of it is set.
            return;
        }
        touched = true;
        while (bit <= last) {
            long page = bit / BITS_OF_A_PAGE;
            if (page > lastPage || !load(page)) {
                return;
            }
            long end = Math.min(last, page * BITS_OF_A_PAGE + BITS_OF_A_PAGE - 1);
            for (; bit <= end; bit++) {
                int at = (int) (bit % BITS_OF_A_PAGE);
                bytes[at / Byte.SIZE] |= (byte) (1 << (at % Byte.SIZE));
            }
        }
    }

    private boolean load(long page) {
        if (page == loaded) {
            return true;
        }
        flush();
        if (memory.copyIn(addressOf(page), MemorySegment.ofArray(bytes)) != 0) {
            return false;
        }
        loaded = page;
        return true;
    }

    /** Writes what is not written yet; {@link #set} may keep bits back. */
    void flush() {
        if (loaded >= 0) {
            int ignored = memory.copyOut(addressOf(loaded), MemorySegment.ofArray(bytes));
            loaded = -1;
        }
    }

    private long addressOf(long page) {
        return firstPage + page * Linux.PAGE_SIZE;
    }
}
