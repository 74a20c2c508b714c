// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommufd;

import dev.alcove.kernel.iommufd.IntervalTree.Span;
import java.util.HashMap;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * Which of an {@link IopPages} the kernel itself has pinned, and their frames. Guarded by the mutex of the pages.
 */
final class AccessPins {
    /** A range of pages, by their indexes. */
    private record Range(long first, long last) {}

    /** The users of one range. */
    private static final class Users {
        private final Span<Range> span;
        private int count = 1;

        Users(Span<Range> span) {
            this.span = span;
        }
    }

    private final IntervalTree<Range> tree = new IntervalTree<>();
    private final Map<Range, Users> users = new HashMap<>();
    private final Map<Long, Long> frames = new HashMap<>();

    /** Becomes another user of the very same range; whether there was one. */
    boolean join(long first, long last) {
        Users same = users.get(new Range(first, last));
        if (same == null) {
            return false;
        }
        same.count++;
        return true;
    }

    /** Adds a range that nobody has yet, whose frames are there. */
    void add(long first, long last) {
        Range range = new Range(first, last);
        users.put(range, new Users(tree.insert(first, last, range)));
    }

    /** Ends one use of a range; whether it was the last one. */
    boolean leave(long first, long last) {
        Range range = new Range(first, last);
        Users same = users.get(range);
        if (same == null) {
            throw new AssertionError("pages " + first + " to " + last + " are not pinned");
        }
        if (--same.count > 0) {
            return false;
        }
        tree.remove(same.span);
        users.remove(range);
        return true;
    }

    /** The range among those that overlap a given one which starts first; null when there is none. */
    @Nullable Span<?> first(long first, long last) {
        return tree.first(first, last);
    }

    /** Walks what nobody has pinned. */
    void holes(long first, long last, Intervals.Hole hole) {
        tree.holes(first, last, hole);
    }

    /** The frame of a page that is pinned. */
    long frame(long index) {
        Long frame = frames.get(index);
        if (frame == null) {
            throw new AssertionError("page " + index + " is not pinned");
        }
        return frame;
    }

    void put(long index, long frame) {
        frames.put(index, frame);
    }

    long remove(long index) {
        long frame = frame(index);
        frames.remove(index);
        return frame;
    }
}
