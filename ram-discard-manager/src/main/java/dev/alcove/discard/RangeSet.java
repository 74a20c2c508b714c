// SPDX-License-Identifier: Apache-2.0
package dev.alcove.discard;

import java.util.Arrays;
import java.util.concurrent.atomic.AtomicReferenceFieldUpdater;
import org.jspecify.annotations.Nullable;

/**
 * A set of bytes, kept as maximal runs {@code [start, end)} in ascending order.
 *
 * <p>With n runs in the set, every operation costs O(log n) and a constant for each run that it reports; none depends
 * on the number of bytes or pages. A run takes some 20 bytes.
 *
 * <p>Thread safe without a lock, and nobody ever waits: each call sees the set as it was at one moment, and each change
 * happens at one moment. A change that meets another one is worked out again.
 */
@SuppressWarnings("unused") // the padding
public final class RangeSet extends RangeSetRoot {
    /** How many runs the text shows. */
    private static final int SHOWN = 32;

    private static final long[] NOTHING = {};

    private static final AtomicReferenceFieldUpdater<RangeSetRoot, RunTree> ROOT =
            AtomicReferenceFieldUpdater.newUpdater(RangeSetRoot.class, RunTree.class, "root");

    /* Keep what is behind this object from the root. */
    private long p0;
    private long p1;
    private long p2;
    private long p3;
    private long p4;
    private long p5;
    private long p6;
    private long p7;
    private long p8;
    private long p9;
    private long p10;
    private long p11;
    private long p12;
    private long p13;

    /** The trees that this was made from; null where it was one, the root. */
    private final RunTree @Nullable [] origin;

    /** An empty set. */
    public RangeSet() {
        this(RunTree.EMPTY);
    }

    private RangeSet(RunTree root) {
        this(root, null);
    }

    private RangeSet(RunTree root, RunTree @Nullable [] origin) {
        super(root);
        this.origin = origin;
    }

    /** What several trees have that lie one behind the other. */
    static RangeSet joined(RunTree[] trees) {
        return new RangeSet(TreeJoin.of(trees), trees);
    }

    /** Adds a range; parts that are in the set stay in it. */
    public void add(long offset, long size) {
        long end = end(offset, size);
        RunTree before;
        RunTree after;
        do {
            before = root;
            after = added(before, offset, end);
        } while (after != before && !ROOT.compareAndSet(this, before, after));
    }

    /** A tree with a range more; the same where it has it. */
    static RunTree added(RunTree tree, long offset, long end) {
        RunTree after = tree.edited(true, offset, end, Long.MAX_VALUE);
        return after == null ? with(tree, offset, end) : after;
    }

    private static RunTree with(RunTree tree, long offset, long limit) {
        long start = offset;
        long end = limit;
        RunTree.Leaf at = leaf(tree, start);
        int run = at.floor(start);
        if (run >= 0 && at.end(run) >= start) {
            if (at.end(run) >= end) {
                return tree;
            }
            start = at.start(run);
        }
        if (run + 1 >= at.width() || at.start(run + 1) <= end) {
            at = leaf(tree, end);
            run = at.floor(end);
        }
        if (run >= 0) {
            end = Math.max(end, at.end(run));
        }
        return RunTree.replace(tree, start, limit, new long[] {start, end});
    }

    /** Takes a range out; parts that are not in the set stay out. */
    public void remove(long offset, long size) {
        long end = end(offset, size);
        RunTree before;
        RunTree after;
        do {
            before = root;
            after = removed(before, offset, end);
        } while (after != before && !ROOT.compareAndSet(this, before, after));
    }

    /** A tree without a range; the same where it has none of it. */
    static RunTree removed(RunTree tree, long offset, long end) {
        RunTree after = tree.edited(false, offset, end, Long.MAX_VALUE);
        return after == null ? without(tree, offset, end) : after;
    }

    private static RunTree without(RunTree tree, long offset, long end) {
        RunTree.Leaf at = leaf(tree, end - 1);
        int run = at.floor(end - 1);
        if (run < 0 || at.end(run) <= offset) {
            return tree;
        }
        long rest = at.end(run);
        long from = offset;
        boolean left = false;
        if (at.start(run) > offset) {
            at = leaf(tree, offset);
            run = at.floor(offset);
        }
        if (run >= 0 && at.start(run) < offset && at.end(run) > offset) {
            from = at.start(run);
            left = true;
        }
        long[] put;
        if (rest > end) {
            put = left ? new long[] {from, offset, end, rest} : new long[] {end, rest};
        } else {
            put = left ? new long[] {from, offset} : NOTHING;
        }
        return RunTree.replace(tree, from, end - 1, put);
    }

    /** Whether every byte of the range is in the set. */
    public boolean containsAll(long offset, long size) {
        return containsAll(root, offset, end(offset, size));
    }

    static boolean containsAll(RunTree tree, long offset, long end) {
        RunTree.Leaf leaf = leaf(tree, offset);
        int run = leaf.floor(offset);
        return run >= 0 && leaf.end(run) >= end;
    }

    /** Whether any byte of the range is in the set. */
    public boolean containsAny(long offset, long size) {
        return containsAny(root, offset, end(offset, size));
    }

    static boolean containsAny(RunTree tree, long offset, long end) {
        RunTree.Leaf leaf = leaf(tree, end - 1);
        int run = leaf.floor(end - 1);
        return run >= 0 && leaf.end(run) > offset;
    }

    /** Whether a byte is in the set. */
    public boolean contains(long offset) {
        return contains(root, offset);
    }

    static boolean contains(RunTree tree, long offset) {
        RunTree.Leaf leaf = leaf(tree, offset);
        int run = leaf.floor(offset);
        return run >= 0 && leaf.end(run) > offset;
    }

    /**
     * Where the run of equal bytes (all in the set, or all out of it) that holds {@code offset} ends.
     *
     * @param limit the answer is never above this
     */
    public long runEnd(long offset, long limit) {
        return Math.min(limit, runEnd(root, offset, limit));
    }

    /** As {@link #runEnd(long, long)}; also above the limit where a run begins or ends there. */
    static long runEnd(RunTree tree, long offset, long limit) {
        RunTree node = tree;
        long next = limit;
        while (node instanceof RunTree.Inner inner) {
            int child = inner.child(offset);
            if (child + 1 < inner.width()) {
                next = inner.get(child + 1).first();
            }
            node = inner.get(child);
        }
        RunTree.Leaf leaf = (RunTree.Leaf) node;
        int run = leaf.floor(offset);
        if (run >= 0 && leaf.end(run) > offset) {
            return leaf.end(run);
        }
        return run + 1 < leaf.width() ? leaf.start(run + 1) : next;
    }

    /** Visits the parts of a range that are in the set, as they were when the call began. */
    public void forEach(long offset, long size, RangeVisitor visitor) {
        visit(root, offset, end(offset, size), visitor);
    }

    /** Visits the parts of a range that are not in the set, as they were when the call began. */
    public void forEachGap(long offset, long size, RangeVisitor visitor) {
        long end = end(offset, size);
        long[] position = {offset};
        visit(root, offset, end, (start, bytes) -> {
            if (start > position[0]) {
                visitor.range(position[0], start - position[0]);
            }
            position[0] = start + bytes;
        });
        if (position[0] < end) {
            visitor.range(position[0], end - position[0]);
        }
    }

    private static void visit(RunTree node, long from, long to, RangeVisitor visitor) {
        switch (node) {
            case RunTree.Inner inner -> {
                int last = inner.child(to - 1);
                for (int i = inner.child(from); i <= last; i++) {
                    visit(inner.get(i), from, to, visitor);
                }
            }
            case RunTree.Leaf leaf -> {
                for (int run = Math.max(0, leaf.floor(from)); run < leaf.width() && leaf.start(run) < to; run++) {
                    long start = Math.max(leaf.start(run), from);
                    long end = Math.min(leaf.end(run), to);
                    if (start < end) {
                        visitor.range(start, end - start);
                    }
                }
            }
        }
    }

    /** How many bytes are in the set. */
    public long bytes() {
        return root.bytes();
    }

    /** How many maximal runs the set has. */
    public int runCount() {
        return root.runs();
    }

    /** Whether no byte is in the set. */
    public boolean isEmpty() {
        return root.runs() == 0;
    }

    /** An independent copy; costs nothing. */
    public RangeSet copy() {
        return new RangeSet(root);
    }

    /** What is in this set and not in another, as a new set. */
    public RangeSet minus(RangeSet other) {
        RangeSet rest = copy();
        visit(other.root, 0, Long.MAX_VALUE, rest::remove);
        return rest;
    }

    /** What is in the set at this moment; another object after each change, even one that is taken back. */
    RunTree root() {
        return root;
    }

    /** The trees that a snapshot was made from: other objects after each change. */
    RunTree[] origin() {
        RunTree[] trees = origin;
        return trees == null ? new RunTree[] {root} : trees;
    }

    /** Whether two snapshots were made without a change in between. */
    boolean isOfTheSameMoment(RangeSet other) {
        return Arrays.equals(origin(), other.origin());
    }

    /** The leaf that holds the last run that starts at or before an offset, if there is such a run. */
    private static RunTree.Leaf leaf(RunTree tree, long offset) {
        RunTree node = tree;
        while (node instanceof RunTree.Inner inner) {
            node = inner.get(inner.child(offset));
        }
        return (RunTree.Leaf) node;
    }

    static long end(long offset, long size) {
        if (offset < 0 || size <= 0 || offset > Long.MAX_VALUE - size) {
            throw new IllegalArgumentException(
                    "not a range: offset 0x" + Long.toHexString(offset) + ", size 0x" + Long.toHexString(size));
        }
        return offset + size;
    }

    @Override
    public boolean equals(@Nullable Object other) {
        if (!(other instanceof RangeSet set)) {
            return false;
        }
        RunTree mine = root;
        RunTree theirs = set.root;
        return mine == theirs
                || (mine.runs() == theirs.runs()
                        && mine.bytes() == theirs.bytes()
                        && copy().minus(set).isEmpty());
    }

    @Override
    public int hashCode() {
        return Long.hashCode(root.bytes()) * 31 + root.runs();
    }

    @Override
    public String toString() {
        StringBuilder text = new StringBuilder("{");
        RunTree tree = root;
        int[] shown = {0};
        visit(tree, 0, Long.MAX_VALUE, (start, bytes) -> {
            if (shown[0]++ < SHOWN) {
                text.append(shown[0] > 1 ? " " : "")
                        .append("[0x")
                        .append(Long.toHexString(start))
                        .append(", 0x")
                        .append(Long.toHexString(start + bytes))
                        .append(')');
            }
        });
        return text.append(tree.runs() > SHOWN ? " ...}" : "}").toString();
    }
}
