// SPDX-License-Identifier: Apache-2.0
package dev.alcove.discard;

/**
 * Walks over the runs of one immutable tree, or over the gaps between them, in either direction. A step costs a
 * constant, a jump O(log n), and neither makes an object.
 *
 * <p>For one thread.
 */
final class RunCursor {
    private final RunTree root;
    private final boolean gaps;
    /** The way from the root down to the leaf, and which child it takes at each level. */
    private final RunTree.Inner[] path;

    private final int[] taken;
    private RunTree.Leaf leaf = RunTree.EMPTY;
    private int run;
    private long start;
    private long end;

    /**
     * A cursor over a tree.
     *
     * @param gaps whether it walks over what is not in the set
     */
    RunCursor(RunTree root, boolean gaps) {
        this.root = root;
        this.gaps = gaps;
        int depth = 0;
        for (RunTree node = root; node instanceof RunTree.Inner inner; node = inner.get(0)) {
            depth++;
        }
        this.path = new RunTree.Inner[depth];
        this.taken = new int[depth];
    }

    /** The first byte of the piece; of a gap, perhaps the offset that was asked for, if it is higher. */
    long start() {
        return start;
    }

    /** The first byte behind the piece; of a gap, perhaps the offset that was asked for, if it is lower. */
    long end() {
        return end;
    }

    /** Goes to the first piece that ends above an offset; false where there is none. Offsets ascend from call to call. */
    boolean forward(long offset) {
        if (!gaps) {
            return runAbove(offset);
        }
        if (!runAbove(offset)) {
            return gap(offset, Long.MAX_VALUE);
        }
        if (start > offset) {
            return gap(offset, start);
        }
        long from = end;
        return runAbove(from) ? gap(from, start) : from < Long.MAX_VALUE && gap(from, Long.MAX_VALUE);
    }

    /** Goes to the last piece that starts below an offset; false where there is none. Offsets descend from call to call. */
    boolean backward(long offset) {
        if (!gaps) {
            return runBelow(offset);
        }
        if (!runBelow(offset)) {
            return gap(0, offset);
        }
        if (end < offset) {
            return gap(end, offset);
        }
        long to = start;
        return runBelow(to) ? gap(end, to) : to > 0 && gap(0, to);
    }

    /** Forgets where it is: the next call may go in either direction. */
    void reset() {
        leaf = RunTree.EMPTY;
    }

    private boolean gap(long from, long to) {
        start = from;
        end = to;
        return true;
    }

    /** The first run that ends above an offset. */
    private boolean runAbove(long offset) {
        if (leaf.width() == 0) {
            descend(offset);
            if (run < 0) {
                run = 0;
            }
        }
        if (run < leaf.width() && leaf.end(run) > offset) {
            return here();
        }
        if (step() && leaf.end(run) > offset) {
            return here();
        }
        if (run >= leaf.width()) {
            return false;
        }
        descend(offset);
        return leaf.end(run) > offset ? here() : step() && here();
    }

    /** The last run that starts below an offset. */
    private boolean runBelow(long offset) {
        if (leaf.width() == 0) {
            descend(offset - 1);
        }
        if (run >= 0 && leaf.width() > 0 && leaf.start(run) < offset) {
            return here();
        }
        if (stepBack() && leaf.start(run) < offset) {
            return here();
        }
        if (run < 0 || leaf.width() == 0) {
            return false;
        }
        descend(offset - 1);
        return run >= 0 && here();
    }

    private boolean here() {
        start = leaf.start(run);
        end = leaf.end(run);
        return true;
    }

    /** To the last run that starts at or before an offset; run -1 of the first leaf where there is none. */
    private void descend(long offset) {
        RunTree node = root;
        int level = 0;
        while (node instanceof RunTree.Inner inner) {
            int child = inner.child(offset);
            path[level] = inner;
            taken[level++] = child;
            node = inner.get(child);
        }
        leaf = (RunTree.Leaf) node;
        run = leaf.floor(offset);
    }

    /** To the next run; behind the last one where there is none. */
    private boolean step() {
        if (++run < leaf.width()) {
            return true;
        }
        run = leaf.width();
        int level = path.length - 1;
        while (level >= 0 && taken[level] + 1 == path[level].width()) {
            level--;
        }
        if (level < 0) {
            return false;
        }
        taken[level]++;
        RunTree node = path[level].get(taken[level]);
        while (node instanceof RunTree.Inner inner) {
            path[++level] = inner;
            taken[level] = 0;
            node = inner.get(0);
        }
        leaf = (RunTree.Leaf) node;
        run = 0;
        return true;
    }

    /** To the run before; to -1 of the first leaf where there is none. */
    private boolean stepBack() {
        if (--run >= 0) {
            return true;
        }
        run = -1;
        int level = path.length - 1;
        while (level >= 0 && taken[level] == 0) {
            level--;
        }
        if (level < 0) {
            return false;
        }
        taken[level]--;
        RunTree node = path[level].get(taken[level]);
        while (node instanceof RunTree.Inner inner) {
            path[++level] = inner;
            taken[level] = inner.width() - 1;
            node = inner.get(taken[level]);
        }
        leaf = (RunTree.Leaf) node;
        run = leaf.width() - 1;
        return true;
    }
}
