// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.gmem;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * Which frames of a guest, or with in-place conversion which pages of a guest_memfd, are private ({@code
 * KVM_MEMORY_ATTRIBUTE_PRIVATE}): a tree of bitmaps, as deep as the highest private frame asks for. A node whose frames
 * are all alike is none, or {@link #ALL}, where the change that made them so was one.
 *
 * <p>Locks: {@link #isPrivate} needs none. Whoever calls {@link #uniform} and {@link #set} holds the lock that guards the
 * attributes above (the machine's slots lock, or the file's): shared is enough for a range {@link #withinWord}, because
 * such a change is one atomic operation on one word, and nodes are only added by compare-and-set meanwhile. The monitor
 * excludes other changes from {@link #intervals}.
 */
public final class MemoryAttributes {
    /** Guest frames [first, end). */
    public record Interval(long first, long end) {}

    private static final VarHandle CHILD = MethodHandles.arrayElementVarHandle(Object[].class);
    private static final VarHandle WORD = MethodHandles.arrayElementVarHandle(long[].class);
    private static final VarHandle TOP;

    static {
        try {
            TOP = MethodHandles.lookup().findVarHandle(MemoryAttributes.class, "top", Top.class);
        } catch (ReflectiveOperationException e) {
            throw new ExceptionInInitializerError(e);
        }
    }

    /** In the place of a node all of whose frames are private. */
    private static final Object ALL = new Object();

    /** Children of a node, and frames of a leaf: 2 MiB of them. */
    private static final int SHIFT = 9;

    private static final int WIDTH = 1 << SHIFT;

    /** Of a word of a leaf. */
    private static final int WORD_SHIFT = 6;

    /** The highest node. */
    private static final class Top {
        /** Other such arrays, leaves ({@code long[]}), {@link #ALL} or null. */
        private final @Nullable Object[] children;

        /** Of a frame's number, for the child that it is in. */
        private final int shift;

        Top(@Nullable Object[] children, int shift) {
            this.children = children;
            this.shift = shift;
        }

        /** Frames that there is room for. */
        long frames() {
            return 1L << (shift + SHIFT);
        }
    }

    private volatile Top top = new Top(new Object[WIDTH], SHIFT);

    /** Whether a range lies within a word, so that changes of it and of other such ranges may run at the same time. */
    public static boolean withinWord(long first, long end) {
        return first >>> WORD_SHIFT == (end - 1) >>> WORD_SHIFT;
    }

    /** Whether a frame is private. */
    public boolean isPrivate(long gfn) {
        return (word(gfn) >>> gfn & 1) != 0;
    }

    /** The word that a frame is in. */
    private long word(long gfn) {
        Top root = top;
        int shift = root.shift;
        if (gfn >= root.frames()) {
            return 0;
        }
        Object node = CHILD.getAcquire(root.children, (int) (gfn >>> shift));
        while (node instanceof Object[] children) {
            shift -= SHIFT;
            node = CHILD.getAcquire(children, (int) (gfn >>> shift) & WIDTH - 1);
        }
        if (node instanceof long[] leaf) {
            return (long) WORD.getAcquire(leaf, (int) (gfn >>> WORD_SHIFT) & leaf.length - 1);
        }
        return node == ALL ? -1 : 0;
    }

    /** Whether all of [first, end) already is what is asked for. */
    public boolean uniform(long first, long end, boolean isPrivate) {
        if (withinWord(first, end)) {
            long mask = mask(first, end);
            return (word(first) & mask) == (isPrivate ? mask : 0);
        }
        Top root = top;
        long last = Math.min(end, root.frames());
        return (last == end || !isPrivate) && (first >= last || uniform(root.children, root.shift, first, last, isPrivate));
    }

    /** @param first and {@code end}, counted from the node's first frame */
    private static boolean uniform(@Nullable Object[] children, int shift, long first, long end, boolean isPrivate) {
        for (long at = first; at < end; ) {
            int index = (int) (at >>> shift);
            long start = (long) index << shift;
            long stop = Math.min(end, start + (1L << shift));
            Object child = CHILD.getAcquire(children, index);
            boolean same =
                    switch (child) {
                        case Object[] inner -> uniform(inner, shift - SHIFT, at - start, stop - start, isPrivate);
                        case long[] leaf -> uniform(leaf, (int) (at - start), (int) (stop - start), isPrivate);
                        case null, default -> (child == ALL) == isPrivate;
                    };
            if (!same) {
                return false;
            }
            at = stop;
        }
        return true;
    }

    private static boolean uniform(long[] leaf, int first, int end, boolean isPrivate) {
        for (int at = first; at < end; ) {
            int stop = Math.min(end, (at | 63) + 1);
            long mask = mask(at, stop);
            if ((leaf[at >>> WORD_SHIFT] & mask) != (isPrivate ? mask : 0)) {
                return false;
            }
            at = stop;
        }
        return true;
    }

    /** The bits of frames [first, end), which are in one word. */
    private static long mask(long first, long end) {
        return -1L << first & -1L >>> -end;
    }

    /** Makes [first, end) private or shared. */
    public void set(long first, long end, boolean isPrivate) {
        if (withinWord(first, end)) {
            change(leaf(first), (int) (first >>> WORD_SHIFT) & WIDTH / 64 - 1, mask(first, end), isPrivate);
        } else {
            setMany(first, end, isPrivate);
        }
    }

    private synchronized void setMany(long first, long end, boolean isPrivate) {
        Top root = isPrivate ? grown(end - 1) : top;
        long last = Math.min(end, root.frames());
        if (first < last) {
            set(root.children, root.shift, first, last, isPrivate);
        }
    }

    private static void set(@Nullable Object[] children, int shift, long first, long end, boolean isPrivate) {
        for (long at = first; at < end; ) {
            int index = (int) (at >>> shift);
            long start = (long) index << shift;
            long stop = Math.min(end, start + (1L << shift));
            if (stop - at == 1L << shift) {
                CHILD.setRelease(children, index, isPrivate ? ALL : null);
            } else {
                switch (child(children, index, shift)) {
                    case Object[] inner -> set(inner, shift - SHIFT, at - start, stop - start, isPrivate);
                    case long[] leaf -> {
                        for (int bit = (int) (at - start); bit < stop - start; bit = (bit | 63) + 1) {
                            int until = (int) Math.min(stop - start, (bit | 63) + 1);
                            change(leaf, bit >>> WORD_SHIFT, mask(bit, until), isPrivate);
                        }
                    }
                    default -> throw new AssertionError();
                }
            }
            at = stop;
        }
    }

    private static void change(long[] leaf, int word, long mask, boolean isPrivate) {
        if (isPrivate) {
            WORD.getAndBitwiseOr(leaf, word, mask);
        } else {
            WORD.getAndBitwiseAnd(leaf, word, ~mask);
        }
    }

    /** The leaf that a frame is in, made if there is none. */
    private long[] leaf(long gfn) {
        Top root = grown(gfn);
        int shift = root.shift;
        Object node = root.children;
        while (node instanceof Object[] children) {
            node = child(children, (int) (gfn >>> shift) & WIDTH - 1, shift);
            shift -= SHIFT;
        }
        return (long[]) node;
    }

    /** A child, made if there is none, with the frames as they are. */
    private static Object child(@Nullable Object[] children, int index, int shift) {
        Object child = CHILD.getAcquire(children, index);
        if (child instanceof Object[] || child instanceof long[]) {
            return child;
        }
        Object fresh;
        if (shift == SHIFT) {
            long[] leaf = new long[WIDTH / 64];
            Arrays.fill(leaf, child == ALL ? -1 : 0);
            fresh = leaf;
        } else {
            Object[] inner = new Object[WIDTH];
            Arrays.fill(inner, child);
            fresh = inner;
        }
        Object other = CHILD.compareAndExchange(children, index, child, fresh);
        return other == child ? fresh : other;
    }

    /** The tree with room for a frame. */
    private Top grown(long gfn) {
        while (true) {
            Top root = top;
            if (gfn < root.frames()) {
                return root;
            }
            Object[] children = new Object[WIDTH];
            children[0] = root.children;
            TOP.compareAndSet(this, root, new Top(children, root.shift + SHIFT));
        }
    }

    /** All private intervals, in order. */
    public synchronized List<Interval> intervals() {
        List<Interval> list = new ArrayList<>();
        Top root = top;
        collect(root.children, root.shift, 0, list);
        return list;
    }

    private static void collect(@Nullable Object[] children, int shift, long first, List<Interval> list) {
        for (int index = 0; index < WIDTH; index++) {
            long start = first + ((long) index << shift);
            switch (CHILD.getAcquire(children, index)) {
                case Object[] inner -> collect(inner, shift - SHIFT, start, list);
                case long[] leaf -> {
                    for (int word = 0; word < leaf.length; word++) {
                        collect((long) WORD.getAcquire(leaf, word), start + (long) word * 64, list);
                    }
                }
                case null -> {}
                default -> add(start, start + (1L << shift), list);
            }
        }
    }

    private static void collect(long bits, long first, List<Interval> list) {
        for (long left = bits; left != 0; ) {
            int from = Long.numberOfTrailingZeros(left);
            int to = from + Long.numberOfTrailingZeros(~(left >>> from));
            add(first + from, first + to, list);
            left = to == 64 ? 0 : left & -1L << to;
        }
    }

    private static void add(long first, long end, List<Interval> list) {
        if (!list.isEmpty() && list.getLast().end == first) {
            list.set(list.size() - 1, new Interval(list.getLast().first, end));
        } else {
            list.add(new Interval(first, end));
        }
    }
}
