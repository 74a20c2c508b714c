// SPDX-License-Identifier: Apache-2.0
package dev.alcove.discard;

import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/**
 * A node of an immutable B+ tree of runs {@code [start, end)}, sorted, neither overlapping nor touching. All leaves have
 * the same depth. A change makes new nodes along one path (two for a long range) and shares all others, so that who has
 * a root has a picture of all runs at one moment, for free and without a lock.
 */
sealed interface RunTree extends RunRoot permits RunTree.Leaf, RunTree.Inner {
    /** Children of an inner node, at most. Wider ones are read faster and changed slower. */
    int WIDTH = 64;

    /** Runs of a leaf, at most: few, because most leaves are in no cache when they are needed. */
    int RUNS = 32;

    /** No runs. */
    Leaf EMPTY = new Leaf(new long[0], 0);

    @Override
    default RunTree tree() {
        return this;
    }

    /** Runs below this node. */
    int runs();

    /** Bytes in runs below this node. */
    long bytes();

    /** Entries of this node itself. */
    int width();

    /** Entries that this kind of node has at most. Below a quarter it is joined with a neighbour where both fit. */
    int most();

    /** The first start, of a node that is not empty. */
    long first();

    /**
     * This node with a range added or removed, where that changes one leaf only: another object for each change, this
     * one where nothing changes.
     *
     * @param next where the node behind this one starts
     * @return null where more than one leaf is concerned, or the leaf becomes too wide or too narrow
     */
    @Nullable RunTree edited(boolean add, long from, long to, long next);

    /** Runs. */
    final class Leaf implements RunTree {
        /** Start and end of one run after the other. Never changed. */
        private final long[] bounds;

        private final long bytes;

        private Leaf(long[] bounds, long bytes) {
            this.bounds = bounds;
            this.bytes = bytes;
        }

        /** A leaf of some bounds. */
        private static Leaf of(long[] bounds) {
            long bytes = 0;
            for (int i = 0; i < bounds.length; i += 2) {
                bytes += bounds[i + 1] - bounds[i];
            }
            return new Leaf(bounds, bytes);
        }

        /** The bounds without those in {@code [low, high)}, and with others in their place. */
        private long[] with(int low, int high, long[] put) {
            long[] changed = new long[bounds.length - (high - low) + put.length];
            System.arraycopy(bounds, 0, changed, 0, low);
            System.arraycopy(put, 0, changed, low, put.length);
            System.arraycopy(bounds, high, changed, low + put.length, bounds.length - high);
            return changed;
        }

        private Leaf join(Leaf right) {
            return new Leaf(with(bounds.length, bounds.length, right.bounds), bytes + right.bytes);
        }

        /** Where a run of this leaf starts. */
        long start(int run) {
            return bounds[2 * run];
        }

        /** Where a run of this leaf ends. */
        long end(int run) {
            return bounds[2 * run + 1];
        }

        @Override
        public int runs() {
            return bounds.length / 2;
        }

        @Override
        public long bytes() {
            return bytes;
        }

        @Override
        public int width() {
            return bounds.length / 2;
        }

        @Override
        public int most() {
            return RUNS;
        }

        @Override
        public long first() {
            return bounds[0];
        }

        /** The last run that starts at or before an offset, -1 when there is none. */
        int floor(long offset) {
            return (atMost(bounds, offset) - 1) >> 1;
        }

        /**
         * Bounds below the range and above it stay. An even number of bounds below it (at or below its end) says that
         * no run goes on there, an odd number that one does, or touches; so the parity tells whether the range's own
         * start (end) becomes a bound.
         */
        @Override
        public @Nullable RunTree edited(boolean add, long from, long to, long next) {
            if (to >= next) {
                return null;
            }
            int low = atMost(bounds, from - 1);
            int high = low;
            long more = 0;
            while (high < bounds.length && bounds[high] <= to) {
                more += (high & 1) == 0 ? bounds[high] : -bounds[high];
                high++;
            }
            boolean first = (low & 1) == 0 == add;
            boolean last = (high & 1) == 0 == add;
            int put = (first ? 1 : 0) + (last ? 1 : 0);
            if (put == high - low && (!first || bounds[low] == from) && (!last || bounds[high - 1] == to)) {
                return this;
            }
            int length = bounds.length - (high - low) + put;
            if (length > 2 * RUNS) {
                return null;
            }
            long[] changed = new long[length];
            System.arraycopy(bounds, 0, changed, 0, low);
            System.arraycopy(bounds, high, changed, low + put, bounds.length - high);
            if (first) {
                changed[low] = from;
                more += add ? -from : from;
            }
            if (last) {
                changed[low + put - 1] = to;
                more += add ? to : -to;
            }
            return new Leaf(changed, bytes + more);
        }
    }

    /** Nodes in order, none of them empty. */
    final class Inner implements RunTree {
        /** Never changed. */
        private final RunTree[] children;

        /** The first start of each child. */
        private final long[] firsts;

        private final int runs;
        private final long bytes;

        private Inner(RunTree[] children, long[] firsts, int runs, long bytes) {
            this.children = children;
            this.firsts = firsts;
            this.runs = runs;
            this.bytes = bytes;
        }

        private static Inner of(RunTree[] children, int from, int to) {
            long[] firsts = new long[to - from];
            int runs = 0;
            long bytes = 0;
            for (int i = from; i < to; i++) {
                firsts[i - from] = children[i].first();
                runs += children[i].runs();
                bytes += children[i].bytes();
            }
            return new Inner(Arrays.copyOfRange(children, from, to), firsts, runs, bytes);
        }

        /** The same with another child in the place of one: what a small change costs at each level. */
        private Inner with(int child, RunTree other) {
            RunTree[] changed = children.clone();
            RunTree old = changed[child];
            changed[child] = other;
            long[] starts = firsts;
            if (other.first() != starts[child]) {
                starts = firsts.clone();
                starts[child] = other.first();
            }
            return new Inner(changed, starts, runs - old.runs() + other.runs(), bytes - old.bytes() + other.bytes());
        }

        /** One of the children. */
        RunTree get(int child) {
            return children[child];
        }

        @Override
        public int runs() {
            return runs;
        }

        @Override
        public long bytes() {
            return bytes;
        }

        @Override
        public int width() {
            return children.length;
        }

        @Override
        public int most() {
            return WIDTH;
        }

        @Override
        public long first() {
            return firsts[0];
        }

        /** The last child that starts at or before an offset, 0 when there is none. */
        int child(long offset) {
            return Math.max(0, atMost(firsts, offset) - 1);
        }

        @Override
        public @Nullable RunTree edited(boolean add, long from, long to, long next) {
            int at = child(from);
            RunTree old = children[at];
            RunTree other = old.edited(add, from, to, at + 1 < firsts.length ? firsts[at + 1] : next);
            if (other == old) {
                return this;
            }
            return other == null || isNarrower(other, old) ? null : with(at, other);
        }
    }

    /** Whether a child has become so narrow that it is to be joined with a neighbour. */
    private static boolean isNarrower(RunTree child, RunTree before) {
        return child.width() < Math.min(child.most() / 4, before.width());
    }

    /**
     * How many of some ascending numbers are at or below a limit; none of them is negative. Looks at every eighth, and
     * then at eight: a processor gets all of them from memory at once, and has no branch to guess, where a binary
     * search waits for one after the other.
     */
    private static int atMost(long[] ascending, long limit) {
        int found = 0;
        for (int i = 7; i < ascending.length; i += 8) {
            found += (int) ((ascending[i] - limit - 1) >>> 63) << 3;
        }
        int end = Math.min(found + 8, ascending.length);
        for (int i = found; i < end; i++) {
            found += (int) ((ascending[i] - limit - 1) >>> 63);
        }
        return found;
    }

    /** Takes away the runs that start in {@code [from, last]}, and adds others in their place; of a root. */
    static RunTree replace(RunTree root, long from, long last, long[] put) {
        RunTree[] nodes = edit(root, from, last, put);
        while (nodes.length > 1) {
            nodes = packed(nodes, nodes.length);
        }
        // Never the same object twice, so that who finds a root again knows that nothing has changed meanwhile.
        RunTree result = nodes.length == 0 ? new Leaf(new long[0], 0) : nodes[0];
        while (result instanceof Inner inner && inner.children.length == 1) {
            result = inner.children[0];
        }
        return result;
    }

    /**
     * As {@link #replace}, of any node.
     *
     * @return what takes the node's place: nodes of its height, none of them empty
     */
    private static RunTree[] edit(RunTree node, long from, long last, long[] put) {
        return switch (node) {
            case Leaf leaf -> editLeaf(leaf, from, last, put);
            case Inner inner -> editInner(inner, from, last, put);
        };
    }

    private static RunTree[] editLeaf(Leaf leaf, long from, long last, long[] put) {
        int head = leaf.floor(from - 1) + 1;
        int tail = Math.max(head, leaf.floor(last) + 1);
        long[] bounds = leaf.with(2 * head, 2 * tail, put);
        int runs = bounds.length / 2;
        if (runs == 0) {
            return new RunTree[0];
        }
        if (runs <= RUNS) {
            return new RunTree[] {Leaf.of(bounds)};
        }
        int half = runs / 2 * 2;
        return new RunTree[] {
            Leaf.of(Arrays.copyOf(bounds, half)), Leaf.of(Arrays.copyOfRange(bounds, half, bounds.length))
        };
    }

    private static RunTree[] editInner(Inner inner, long from, long last, long[] put) {
        int head = inner.child(from);
        int tail = Math.max(head, inner.child(last));
        RunTree[] left = edit(inner.children[head], from, last, put);
        if (tail == head && left.length == 1 && !isNarrower(left[0], inner.children[head])) {
            return new RunTree[] {inner.with(head, left[0])};
        }
        RunTree[] right = tail == head ? new RunTree[0] : edit(inner.children[tail], from, last, new long[0]);
        RunTree[] children = new RunTree[head + left.length + right.length + inner.children.length - tail - 1];
        System.arraycopy(inner.children, 0, children, 0, head);
        System.arraycopy(left, 0, children, head, left.length);
        System.arraycopy(right, 0, children, head + left.length, right.length);
        int rest = head + left.length + right.length;
        System.arraycopy(inner.children, tail + 1, children, rest, inner.children.length - tail - 1);
        return packed(children, joined(children, Math.max(0, head - 1), Math.min(children.length, rest + 1)));
    }

    /** Joins narrow ones among the children in {@code [from, to)} with their neighbours; answers how many are left. */
    private static int joined(RunTree[] children, int from, int to) {
        int kept = from;
        for (int i = from; i < children.length; i++) {
            RunTree joined = kept > from && i < to ? join(children[kept - 1], children[i]) : null;
            if (joined == null) {
                children[kept++] = children[i];
            } else {
                children[kept - 1] = joined;
            }
        }
        return kept;
    }

    /** Two neighbours as one node; null where they do not fit or are wide enough as they are. */
    private static @Nullable RunTree join(RunTree left, RunTree right) {
        int most = left.most();
        if (Math.min(left.width(), right.width()) >= most / 4 || left.width() + right.width() > most) {
            return null;
        }
        if (left instanceof Leaf first && right instanceof Leaf second) {
            return first.join(second);
        }
        RunTree[] one = ((Inner) left).children;
        RunTree[] two = ((Inner) right).children;
        RunTree[] both = Arrays.copyOf(one, one.length + two.length);
        System.arraycopy(two, 0, both, one.length, two.length);
        return Inner.of(both, 0, both.length);
    }

    /** Nodes above some children, of nearly the same width. */
    static RunTree[] packed(RunTree[] children, int count) {
        int nodes = (count + WIDTH - 1) / WIDTH;
        RunTree[] packed = new RunTree[nodes];
        for (int i = 0; i < nodes; i++) {
            packed[i] = Inner.of(children, (int) ((long) count * i / nodes), (int) ((long) count * (i + 1) / nodes));
        }
        return packed;
    }
}
