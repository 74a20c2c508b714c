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
    /** Children of an inner node, at most. Wider ones are read faster and changed slower. */
    int WIDTH = 64;

    /** Runs of a leaf, at most: few, because most leaves are in no cache when they are needed. */
    int RUNS = 32;

    /** No runs. */
    Leaf EMPTY = new Leaf(new long[0], 0);

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

    /** Runs. */
    final class Leaf implements RunTree {
        /** All starts, then all ends, so that a search reads one piece of memory. Never changed. */
        private final long[] bounds;

        private final int width;
        private final long bytes;

        private Leaf(long[] bounds, long bytes) {
            this.bounds = bounds;
            this.width = bounds.length / 2;
            this.bytes = bytes;
        }

        /** A leaf of the runs in {@code [from, to)} of some. */
        private static Leaf of(long[] bounds, int from, int to) {
            int all = bounds.length / 2;
            int width = to - from;
            long[] own = bounds;
            if (width < all) {
                own = new long[2 * width];
                System.arraycopy(bounds, from, own, 0, width);
                System.arraycopy(bounds, all + from, own, width, width);
            }
            long bytes = 0;
            for (int i = 0; i < width; i++) {
                bytes += own[width + i] - own[i];
            }
            return new Leaf(own, bytes);
        }

        /** The runs of this leaf without those in {@code [head, tail)}, and with others in their place. */
        private long[] with(int head, int tail, long[] put) {
            int more = put.length / 2;
            int other = width - (tail - head) + more;
            long[] changed = new long[2 * other];
            System.arraycopy(bounds, 0, changed, 0, head);
            System.arraycopy(bounds, tail, changed, head + more, width - tail);
            System.arraycopy(bounds, width, changed, other, head);
            System.arraycopy(bounds, width + tail, changed, other + head + more, width - tail);
            for (int i = 0; i < more; i++) {
                changed[head + i] = put[2 * i];
                changed[other + head + i] = put[2 * i + 1];
            }
            return changed;
        }

        private Leaf join(Leaf right) {
            int both = width + right.width;
            long[] joined = new long[2 * both];
            System.arraycopy(bounds, 0, joined, 0, width);
            System.arraycopy(right.bounds, 0, joined, width, right.width);
            System.arraycopy(bounds, width, joined, both, width);
            System.arraycopy(right.bounds, right.width, joined, both + width, right.width);
            return new Leaf(joined, bytes + right.bytes);
        }

        /** Where a run of this leaf starts. */
        long start(int run) {
            return bounds[run];
        }

        /** Where a run of this leaf ends. */
        long end(int run) {
            return bounds[width + run];
        }

        @Override
        public int runs() {
            return width;
        }

        @Override
        public long bytes() {
            return bytes;
        }

        @Override
        public int width() {
            return width;
        }

        @Override
        public int most() {
            return RUNS;
        }

        @Override
        public long first() {
            return bounds[0];
        }

        /**
         * The last run that starts at or before an offset, -1 when there is none. Looks at every start: they are few,
         * and a processor reads them from memory at once, where a binary search waits for one after the other.
         */
        int floor(long offset) {
            int before = 0;
            for (int i = 0; i < width; i++) {
                before += bounds[i] <= offset ? 1 : 0;
            }
            return before - 1;
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
        int head = leaf.floor(from - 1) + 1;
        int tail = Math.max(head, leaf.floor(last) + 1);
        long[] bounds = leaf.with(head, tail, put);
        int width = bounds.length / 2;
        if (width == 0) {
            return new RunTree[0];
        }
        if (width <= RUNS) {
            return new RunTree[] {Leaf.of(bounds, 0, width)};
        }
        return new RunTree[] {Leaf.of(bounds, 0, width / 2), Leaf.of(bounds, width / 2, width)};
    }

    private static RunTree[] editInner(Inner inner, long from, long last, long[] put) {
        int head = inner.child(from);
        int tail = Math.max(head, inner.child(last));
        RunTree[] left = edit(inner.children[head], from, last, put);
        if (tail == head && left.length == 1 && left[0].width() >= Math.min(left[0].most() / 4, inner.children[head].width())) {
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
    private static RunTree[] packed(RunTree[] children, int count) {
        int nodes = (count + WIDTH - 1) / WIDTH;
        RunTree[] packed = new RunTree[nodes];
        for (int i = 0; i < nodes; i++) {
            packed[i] = Inner.of(children, (int) ((long) count * i / nodes), (int) ((long) count * (i + 1) / nodes));
        }
        return packed;
    }
}
