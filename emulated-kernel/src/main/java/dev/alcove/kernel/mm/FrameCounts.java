// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.mm;

import java.util.concurrent.atomic.AtomicLongArray;
import java.util.concurrent.atomic.AtomicReferenceArray;
import org.jspecify.annotations.Nullable;

/**
 * References (low half) and pins (high half) of every frame, in one word so that "both are zero" is one decision.
 *
 * <p>What is stored is the distance from a frame with one reference and no pin, as every allocated frame starts: a
 * chunk in which nothing else ever happened needs no memory. Atomic words, no lock.
 */
final class FrameCounts {
    static final long REFERENCE = 1;
    static final long PIN = 1L << 32;

    private static final int CHUNK_SHIFT = 15;
    private static final int CHUNK = 1 << CHUNK_SHIFT;

    private final AtomicReferenceArray<@Nullable AtomicLongArray> chunks;

    FrameCounts(long frames) {
        chunks = new AtomicReferenceArray<>(Math.toIntExact((frames + CHUNK - 1) >> CHUNK_SHIFT));
    }

    /** Adds to a frame's word and answers the new one: references in the low half, pins in the high half. */
    long add(long pfn, long amount) {
        return chunk(pfn).addAndGet((int) pfn & CHUNK - 1, amount) + REFERENCE;
    }

    /** A frame's word. */
    long get(long pfn) {
        AtomicLongArray chunk = chunks.get((int) (pfn >> CHUNK_SHIFT));
        return chunk == null ? REFERENCE : chunk.get((int) pfn & CHUNK - 1) + REFERENCE;
    }

    /** Makes a freed frame ready for its next owner. */
    void reset(long pfn) {
        AtomicLongArray chunk = chunks.get((int) (pfn >> CHUNK_SHIFT));
        if (chunk != null) {
            chunk.set((int) pfn & CHUNK - 1, 0);
        }
    }

    /** The first frame in [pfn, end) that somebody besides its owner holds, or {@code end}. */
    long firstHeld(long pfn, long end) {
        long at = pfn;
        while (at < end) {
            AtomicLongArray chunk = chunks.get((int) (at >> CHUNK_SHIFT));
            long chunkEnd = Math.min(end, ((at >> CHUNK_SHIFT) + 1) << CHUNK_SHIFT);
            if (chunk != null) {
                for (; at < chunkEnd; at++) {
                    if (chunk.get((int) at & CHUNK - 1) != 0) {
                        return at;
                    }
                }
            }
            at = chunkEnd;
        }
        return end;
    }

    private AtomicLongArray chunk(long pfn) {
        int index = (int) (pfn >> CHUNK_SHIFT);
        AtomicLongArray chunk = chunks.get(index);
        if (chunk == null) {
            AtomicLongArray fresh = new AtomicLongArray(CHUNK);
            AtomicLongArray other = chunks.compareAndExchange(index, null, fresh);
            chunk = other == null ? fresh : other;
        }
        return chunk;
    }

    static int references(long word) {
        return (int) word;
    }

    static int pins(long word) {
        return (int) (word >>> 32);
    }
}
