// SPDX-License-Identifier: Apache-2.0
package dev.alcove.discard;

import java.util.concurrent.atomic.AtomicReferenceArray;

/**
 * A change of several neighbouring regions of a {@link RegionSet} that happens in all of them at one moment, or a picture
 * of them all at one moment.
 *
 * <p>It puts a {@link Part} into each region, in ascending order, with the tree as it was and as it will be, and then says
 * once that it is done: from that moment on all parts stand for the new trees. Nobody waits for it: who only asks takes what
 * the part stands for, and who wants to change a region that has a part of an unfinished change finishes that first. As
 * all go from the lowest region to the highest, two that meet cannot wait for each other.
 */
final class Crossing {
    /** What it does to its range. */
    enum Kind {
        ADD,
        REMOVE,
        /** Nothing; the trees of that moment are kept for who asks. */
        PICTURE
    }

    private final RegionSet set;
    private final Kind kind;
    private final long from;
    private final long to;
    private final int first;
    private final AtomicReferenceArray<RunTree> trees;
    private volatile boolean done;

    /** A change of the range {@code [from, to)}, which nobody sees yet. */
    Crossing(RegionSet set, Kind kind, long from, long to) {
        this.set = set;
        this.kind = kind;
        this.from = from;
        this.to = to;
        this.first = set.region(from);
        this.trees = new AtomicReferenceArray<>(set.region(to - 1) - first + 1);
    }

    /** What a region has meanwhile. */
    static final class Part implements RunRoot {
        private final Crossing change;
        private final RunTree before;
        private final RunTree after;

        private Part(Crossing change, RunTree before, RunTree after) {
            this.change = change;
            this.before = before;
            this.after = after;
        }

        @Override
        public RunTree tree() {
            return change.done ? after : before;
        }

        /** Makes sure that the change has happened. */
        void finish() {
            if (!change.done) {
                change.run();
            }
        }
    }

    /** Makes it happen; by who wants it, and by whoever finds it in his way. */
    void run() {
        for (int i = 0; i < trees.length(); i++) {
            if (!install(i)) {
                return;
            }
        }
        done = true;
        for (int i = 0; i < trees.length(); i++) {
            if (set.root(first + i) instanceof Part part && part.change == this) {
                set.replace(first + i, part, part.after);
            }
        }
    }

    /** The trees of a picture, by region; after {@link #run}. */
    RunTree[] trees() {
        RunTree[] all = new RunTree[trees.length()];
        for (int i = 0; i < all.length; i++) {
            all[i] = trees.get(i);
        }
        return all;
    }

    /** False where somebody else has finished the change. */
    private boolean install(int index) {
        int region = first + index;
        while (true) {
            RunRoot root = set.root(region);
            // Looked at behind the root: a root that has followed this change's own part is never taken for an earlier one.
            if (done) {
                return false;
            }
            if (root instanceof Part part) {
                if (part.change == this) {
                    trees.set(index, part.before);
                    return true;
                }
                part.finish();
            }
            RunTree before = root.tree();
            if (set.replace(region, root, new Part(this, before, changed(before, region)))) {
                trees.set(index, before);
                return true;
            }
        }
    }

    private RunTree changed(RunTree tree, int region) {
        long low = Math.max(from, set.start(region));
        long high = Math.min(to, set.end(region));
        return switch (kind) {
            case ADD -> RangeSet.added(tree, low, high);
            case REMOVE -> RangeSet.removed(tree, low, high);
            case PICTURE -> tree;
        };
    }
}
