// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.mm;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.util.concurrent.atomic.AtomicReferenceArray;
import org.jspecify.annotations.Nullable;

/**
 * References (low half) and pins (high half) of every frame, in one word so that "both are zero" is one decision.
 *
 * <p>What is stored is the distance from a frame with one reference and no pin, as every allocated frame starts: frames
 * to which nothing else ever happened need no memory. The words are in leaves of 64 frames, so that pages pinned here and
 * there in a large machine cost little beside the pages. Atomic words, no lock.
 */
final class FrameCounts {
    static final long REFERENCE = 1;
    static final long PIN = 1L << 32;

    private static final int LEAF_SHIFT = 6;
    private static final int LEAF = 1 << LEAF_SHIFT;
    private static final int NODE_SHIFT = 10;
    private static final int NODE = 1 << NODE_SHIFT;
    private static final int SUBTREE_SHIFT = LEAF_SHIFT + NODE_SHIFT;
    private static final VarHandle WORD = MethodHandles.arrayElementVarHandle(long[].class);

    private final AtomicReferenceArray<@Nullable AtomicReferenceArray<long @Nullable []>> nodes;

    FrameCounts(long frames) {
        nodes = new AtomicReferenceArray<>(Math.toIntExact((frames + (1L << SUBTREE_SHIFT) - 1) >> SUBTREE_SHIFT));
    }

    /** Adds to a frame's word and answers the new one: references in the low half, pins in the high half. */
    long add(long pfn, long amount) {
        long[] leaf = leaf(pfn);
        if (leaf == null) {
            leaf = newLeaf(pfn);
        }
        return (long) WORD.getAndAdd(leaf, word(pfn), amount) + amount + REFERENCE;
    }

    /** A frame's word. */
    long get(long pfn) {
        long[] leaf = leaf(pfn);
        return leaf == null ? REFERENCE : (long) WORD.getVolatile(leaf, word(pfn)) + REFERENCE;
    }

    /** Makes a freed frame ready for its next owner. */
    void reset(long pfn) {
        long[] leaf = leaf(pfn);
        if (leaf != null) {
            WORD.setVolatile(leaf, word(pfn), 0L);
        }
    }

    /** The first frame in [pfn, end) that somebody besides its owner holds, or {@code end}. */
    long firstHeld(long pfn, long end) {
        long at = pfn;
        while (at < end) {
            if (nodes.get(node(at)) == null) {
                at = ((at >> SUBTREE_SHIFT) + 1) << SUBTREE_SHIFT;
                continue;
            }
            long[] leaf = leaf(at);
            long leafEnd = ((at >> LEAF_SHIFT) + 1) << LEAF_SHIFT;
            if (leaf != null) {
                for (; at < Math.min(end, leafEnd); at++) {
                    if ((long) WORD.getVolatile(leaf, word(at)) != 0) {
                        return at;
                    }
                }
            }
            at = leafEnd;
        }
        return end;
    }

    private long @Nullable [] leaf(long pfn) {
        AtomicReferenceArray<long @Nullable []> node = nodes.get(node(pfn));
        return node == null ? null : node.get(leafOf(pfn));
    }

    private long[] newLeaf(long pfn) {
        AtomicReferenceArray<long @Nullable []> node = nodes.get(node(pfn));
        if (node == null) {
            AtomicReferenceArray<long @Nullable []> fresh = new AtomicReferenceArray<>(NODE);
            AtomicReferenceArray<long @Nullable []> other = nodes.compareAndExchange(node(pfn), null, fresh);
            node = other == null ? fresh : other;
        }
        long[] fresh = new long[LEAF];
        long[] other = node.compareAndExchange(leafOf(pfn), null, fresh);
        return other == null ? fresh : other;
    }

    private static int node(long pfn) {
        return (int) (pfn >> SUBTREE_SHIFT);
    }

    private static int leafOf(long pfn) {
        return (int) (pfn >> LEAF_SHIFT) & (NODE - 1);
    }

    private static int word(long pfn) {
        return (int) pfn & (LEAF - 1);
    }

    static int references(long word) {
        return (int) word;
    }

    static int pins(long word) {
        return (int) (word >>> 32);
    }
}
