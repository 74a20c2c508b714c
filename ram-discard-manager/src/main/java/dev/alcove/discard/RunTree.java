// SPDX-License-Identifier: Apache-2.0
package dev.alcove.discard;

import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/**
 * A node of an immutable B+ tree of runs {@code [start, end)}, sorted, neither overlapping nor touching. All leaves have
 * the same depth. A change makes new nodes along one path (two for a long range) and shares all others, so that who has
 * a root has a picture of all runs at one moment, for free and without a lock.
 */
sealed interface RunTree permits RunTree.Leaf, RunTree.Inner {
    /** Entries of a node, at most. Wider ones are read faster and changed slower. */
    int WIDTH = 64;

    /** Below this a node is joined with a neighbour where both fit into one. */
    int NARROW = WIDTH / 4;

    /** No runs. */
    Leaf EMPTY = new Leaf(new long[0], 0);

    /** Runs below this node. */
    int runs();

    /** Bytes in runs below this node. */
    long bytes();

    /** Entries of this node itself. */
    int width();

    /** The first start, of a node that is not empty. */
    long first();

    /** Runs as pairs of start and end. */
    final class Leaf implements RunTree {
        /** Never changed. */
        private final long[] bounds;

        private final long bytes;

        private Leaf(long[] bounds, long bytes) {
            this.bounds = bounds;
            this.bytes = bytes;
        }

        private static Leaf of(long[] bounds) {
            long bytes = 0;
            for (int i = 0; i < bounds.length; i += 2) {
                bytes += bounds[i + 1] - bounds[i];
            }
            return new Leaf(bounds, bytes);
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
        public long first() {
            return bounds[0];
        }

        /** The last run that starts at or before an offset, -1 when there is none. */
        int floor(long offset) {
            int low = 0;
            int high = bounds.length / 2;
            while (low < high) {
                int middle = (low + high) >>> 1;
                if (bounds[2 * middle] <= offset) {
                    low = middle + 1;
                } else {
                    high = middle;
                }
            }
            return low - 1;
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
        public long first() {
            return firsts[0];
        }

        /** The last child that starts at or before an offset, 0 when there is none. */
        int child(long offset) {
            int low = 1;
            int high = firsts.length;
            while (low < high) {
                int middle = (low + high) >>> 1;
                if (firsts[middle] <= offset) {
                    low = middle + 1;
                } else {
                    high = middle;
                }
            }
            return low - 1;
        }
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
        long[] old = leaf.bounds;
        int head = 2 * (leaf.floor(from - 1) + 1);
        int tail = Math.max(head, 2 * (leaf.floor(last) + 1));
        int length = head + put.length + old.length - tail;
        long[] bounds = new long[length];
        System.arraycopy(old, 0, bounds, 0, head);
        System.arraycopy(put, 0, bounds, head, put.length);
        System.arraycopy(old, tail, bounds, head + put.length, old.length - tail);
        if (length == 0) {
            return new RunTree[0];
        }
        if (length <= 2 * WIDTH) {
            return new RunTree[] {Leaf.of(bounds)};
        }
        int half = length / 4 * 2;
        return new RunTree[] {
            Leaf.of(Arrays.copyOf(bounds, half)), Leaf.of(Arrays.copyOfRange(bounds, half, length))
        };
    }

    private static RunTree[] editInner(Inner inner, long from, long last, long[] put) {
        int head = inner.child(from);
        int tail = Math.max(head, inner.child(last));
        RunTree[] left = edit(inner.children[head], from, last, put);
        if (tail == head && left.length == 1 && left[0].width() >= Math.min(NARROW, inner.children[head].width())) {
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
        if (Math.min(left.width(), right.width()) >= NARROW || left.width() + right.width() > WIDTH) {
            return null;
        }
        if (left instanceof Leaf first && right instanceof Leaf second) {
            long[] bounds = Arrays.copyOf(first.bounds, first.bounds.length + second.bounds.length);
            System.arraycopy(second.bounds, 0, bounds, first.bounds.length, second.bounds.length);
            return Leaf.of(bounds);
        }
        RunTree[] one = ((Inner) left).children;
        RunTree[] two = ((Inner) right).children;
        RunTree[] both = Arrays.copyOf(one, one.length + two.length);
        System.arraycopy(two, 0, both, one.length, two.length);
        return Inner.of(both, 0, both.length);
    }

    /** Nodes above some children, of nearly the same width. */
    private static RunTree[] packed(RunTree[] children, int count) {
        int nodes = (count + WIDTH - 1) / WIDTH;
        RunTree[] packed = new RunTree[nodes];
        for (int i = 0; i < nodes; i++) {
            packed[i] = Inner.of(children, (int) ((long) count * i / nodes), (int) ((long) count * (i + 1) / nodes));
        }
        return packed;
    }
}
