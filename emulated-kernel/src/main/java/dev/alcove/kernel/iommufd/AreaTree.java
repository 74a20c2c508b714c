// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommufd;

import dev.alcove.kernel.iommufd.IntervalTree.Span;
import dev.alcove.kernel.locking.RegionLock;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * The areas of an I/O address space by IOVA, none over another, and the lock over them ({@code area_itree} and
 * {@code iova_rwsem}).
 *
 * <p>The lock is a {@link RegionLock}: who maps and unmaps small ranges in different regions goes side by side. Each of its
 * locks guards a tree of the areas that lie in its regions. Areas that reach over a region's end are in a tree of their own
 * that only changes, as they themselves do, while everything is held; so whoever holds anything can look at them. Every
 * method but {@link #lock()} is called under a hold of what it asks for.
 */
final class AreaTree implements Intervals<IopArea> {
    /** 16 MiB: eight of the largest requests that one conversion makes at once. */
    private static final int REGION_SHIFT = 24;

    private final RegionLock lock = new RegionLock(REGION_SHIFT);

    @SuppressWarnings({"unchecked", "rawtypes"})
    private final @Nullable IntervalTree<IopArea>[] regions = new IntervalTree[RegionLock.LOCKS];

    private final IntervalTree<IopArea> wide = new IntervalTree<>();

    RegionLock lock() {
        return lock;
    }

    /** Whether an area that reaches over a region's end overlaps a range. */
    boolean anyWide(long from, long to) {
        return wide.overlaps(from, to);
    }

    void insert(IopArea area) {
        area.node = treeOf(area).insert(area.iova, area.last, area);
    }

    /** Takes an area out that {@link #insert} put in; one that is not in, or no longer, does not matter. */
    void remove(IopArea area) {
        Span<IopArea> node = area.node;
        if (node != null) {
            treeOf(area).remove(node);
            area.node = null;
        }
    }

    private IntervalTree<IopArea> treeOf(IopArea area) {
        if (!lock.inOne(area.iova, area.last)) {
            return wide;
        }
        int region = lock.of(area.iova);
        IntervalTree<IopArea> tree = regions[region];
        if (tree == null) {
            tree = new IntervalTree<>();
            regions[region] = tree;
        }
        return tree;
    }

    @Override
    public @Nullable Span<IopArea> first(long from, long to) {
        boolean one = lock.inOne(from, to);
        Span<IopArea> near = firstIn(lock.of(from), from, one ? to : lock.lastOfRegion(from));
        Span<IopArea> first = before(near, wide.isEmpty() ? null : wide.first(from, to));
        if (one || near != null) {
            return first;
        }
        for (int region = 0; region < RegionLock.LOCKS; region++) {
            first = before(first, firstIn(region, from, to));
        }
        return first;
    }

    private @Nullable Span<IopArea> firstIn(int region, long from, long to) {
        IntervalTree<IopArea> tree = regions[region];
        return tree == null ? null : tree.first(from, to);
    }

    private static @Nullable Span<IopArea> before(@Nullable Span<IopArea> a, @Nullable Span<IopArea> b) {
        return a == null || (b != null && Long.compareUnsigned(b.first, a.first) < 0) ? b : a;
    }

    /** All areas, ascending. */
    List<IopArea> values() {
        List<IopArea> values = new ArrayList<>(wide.values());
        for (IntervalTree<IopArea> tree : regions) {
            if (tree != null) {
                values.addAll(tree.values());
            }
        }
        values.sort(Comparator.comparingLong(area -> area.iova + Long.MIN_VALUE));
        return values;
    }

    boolean isEmpty() {
        return values().isEmpty();
    }
}
