// SPDX-License-Identifier: Apache-2.0
package dev.alcove.discard;

import dev.alcove.discard.Crossing.Kind;
import java.util.concurrent.atomic.AtomicReferenceArray;

/**
 * A set of bytes of one block, as {@link RangeSet}, for many threads that change it far from each other: each region of the
 * block, of {@value #LEAST_SHIFT} bits of the offset or more, has a tree of its own, on cache lines of its own. Runs are
 * maximal, whatever regions they reach over.
 *
 * <p>Thread safe without a lock, and nobody ever waits: each change happens at one moment, and each question is answered for
 * one moment, unless it says otherwise. What concerns one region is one compare and set, or reads one reference; what
 * concerns more is a {@link Crossing}, or reads all references and looks again whether they are the same.
 */
public final class RegionSet {
    /** The smallest region: 16 MiB. */
    private static final int LEAST_SHIFT = 24;

    /** A power of two: what costs something for each region stays small, whatever the block's size. */
    private static final int MOST_REGIONS = 256;

    /** In references: roots are two cache lines apart, which processors fetch in pairs; so is the first from what is before. */
    private static final int STRIDE = 32;

    /** So often a question looks whether all trees still are the same, before it makes them stand still for a moment. */
    private static final int LOOKS = 4;

    private final int shift;
    private final int last;
    /** Changed by compare and set only. */
    private final AtomicReferenceArray<RunRoot> roots;

    /**
     * An empty set.
     *
     * @param size bytes of the block, above 0
     */
    public RegionSet(long size) {
        this(size, Math.max(LEAST_SHIFT, Long.SIZE - Long.numberOfLeadingZeros((size - 1) / MOST_REGIONS)));
    }

    /** As above, with regions of {@code 1 << shift} bytes. */
    RegionSet(long size, int shift) {
        this.shift = shift;
        this.last = Math.toIntExact((size - 1) >>> shift);
        this.roots = new AtomicReferenceArray<>((last + 2) * STRIDE);
        for (int region = 0; region <= last; region++) {
            roots.setPlain(slot(region), RunTree.EMPTY);
        }
    }

    /** Adds a range of the block; parts that are in the set stay in it. */
    public void add(long offset, long size) {
        change(Kind.ADD, offset, RangeSet.end(offset, size));
    }

    /** Takes a range of the block out; parts that are not in the set stay out. */
    public void remove(long offset, long size) {
        change(Kind.REMOVE, offset, RangeSet.end(offset, size));
    }

    private void change(Kind kind, long offset, long end) {
        int region = region(offset);
        if (region != region(end - 1)) {
            new Crossing(this, kind, offset, end).run();
            return;
        }
        RunRoot root;
        RunTree before;
        RunTree after;
        do {
            root = settled(region);
            before = root.tree();
            after = kind == Kind.ADD ? RangeSet.added(before, offset, end) : RangeSet.removed(before, offset, end);
        } while (after != before && !replace(region, root, after));
    }

    /** Whether a byte is in the set. */
    public boolean contains(long offset) {
        return RangeSet.contains(tree(region(offset)), offset);
    }

    /** Whether every byte of the range is in the set. */
    public boolean containsAll(long offset, long size) {
        long end = RangeSet.end(offset, size);
        int region = region(offset);
        if (region == region(end - 1)) {
            return RangeSet.containsAll(tree(region), offset, end);
        }
        RunTree[] trees = picture(region, region(end - 1));
        return RangeSet.contains(trees[0], offset) && pieceEnd(offset, end, trees) == end;
    }

    /** Whether any byte of the range is in the set. */
    public boolean containsAny(long offset, long size) {
        long end = RangeSet.end(offset, size);
        int region = region(offset);
        if (region == region(end - 1)) {
            return RangeSet.containsAny(tree(region), offset, end);
        }
        for (RunTree tree : picture(region, region(end - 1))) {
            if (RangeSet.containsAny(tree, offset, end)) {
                return true;
            }
        }
        return false;
    }

    /**
     * Where the run of equal bytes (all in the set, or all out of it) that holds {@code offset} ends.
     *
     * @param limit the answer is never above this
     */
    public long runEnd(long offset, long limit) {
        int region = region(offset);
        long border = end(region);
        long end = RangeSet.runEnd(tree(region), offset, Math.min(limit, border));
        return end < border || end >= limit
                ? Math.min(end, limit)
                : pieceEnd(offset, limit, picture(region, region(limit - 1)));
    }

    /** As {@link #runEnd}, by trees of the regions from that of the offset on. */
    private long pieceEnd(long offset, long limit, RunTree[] trees) {
        boolean inside = RangeSet.contains(trees[0], offset);
        int region = region(offset);
        long position = offset;
        for (RunTree tree : trees) {
            if (RangeSet.contains(tree, position) != inside) {
                return position;
            }
            long border = Math.min(limit, end(region++));
            position = Math.min(border, RangeSet.runEnd(tree, position, border));
            if (position < border) {
                return position;
            }
        }
        return position;
    }

    /** How many bytes are in the set. */
    public long bytes() {
        long bytes = 0;
        for (RunTree tree : picture(0, last)) {
            bytes += tree.bytes();
        }
        return bytes;
    }

    /** How many maximal runs the set has; where it changes meanwhile in several regions, perhaps at no single moment. */
    public int runCount() {
        int runs = 0;
        RunTree before = RunTree.EMPTY;
        for (int region = 0; region <= last; region++) {
            RunTree tree = tree(region);
            long start = start(region);
            runs += tree.runs();
            if (tree.runs() > 0 && tree.first() == start && start > 0 && RangeSet.contains(before, start - 1)) {
                runs--;
            }
            before = tree;
        }
        return runs;
    }

    /** All that is in the set, as an independent copy; costs something for each region. */
    public RangeSet snapshot() {
        return RangeSet.joined(picture(0, last));
    }

    /** The same of a range; what the copy has elsewhere is chance. */
    public RangeSet snapshot(long offset, long size) {
        return RangeSet.joined(picture(region(offset), region(RangeSet.end(offset, size) - 1)));
    }

    /** Whether a snapshot of a range still is what is in the set there: nothing has changed, and changed back, near it. */
    public boolean isStill(RangeSet snapshot, long offset, long size) {
        int from = region(offset);
        RunTree[] trees = snapshot.origin();
        boolean same = trees.length == region(RangeSet.end(offset, size) - 1) - from + 1;
        for (int i = 0; same && i < trees.length; i++) {
            same = tree(from + i) == trees[i];
        }
        return same;
    }

    /** The trees of some regions, all at one moment. */
    private RunTree[] picture(int from, int to) {
        RunTree[] trees = new RunTree[to - from + 1];
        for (int i = 0; i < trees.length; i++) {
            trees[i] = tree(from + i);
        }
        boolean same = trees.length == 1;
        for (int look = 0; !same && look < LOOKS; look++) {
            same = true;
            for (int i = 0; i < trees.length; i++) {
                RunTree now = tree(from + i);
                same &= now == trees[i];
                trees[i] = now;
            }
        }
        if (same) {
            return trees;
        }
        Crossing still = new Crossing(this, Kind.PICTURE, start(from), start(to) + 1);
        still.run();
        return still.trees();
    }

    private RunTree tree(int region) {
        return root(region).tree();
    }

    /** What a region has, with no change on its way. */
    private RunRoot settled(int region) {
        RunRoot root = root(region);
        if (root instanceof Crossing.Part part) {
            part.finish();
        }
        return root;
    }

    /** What a region has. */
    RunRoot root(int region) {
        return roots.get(slot(region));
    }

    /** Replaces what a region has; false where it has something else. */
    boolean replace(int region, RunRoot before, RunRoot after) {
        return roots.compareAndSet(slot(region), before, after);
    }

    /** The number of the region of an offset; of the last one behind the block. */
    int region(long offset) {
        return (int) Math.min(offset >>> shift, last);
    }

    /** The first byte of a region. */
    long start(int region) {
        return (long) region << shift;
    }

    /** The first byte behind a region; the last one has no end. */
    long end(int region) {
        return region == last ? Long.MAX_VALUE : (region + 1L) << shift;
    }

    private static int slot(int region) {
        return (region + 1) * STRIDE;
    }
}
