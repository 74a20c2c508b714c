// SPDX-License-Identifier: Apache-2.0
package dev.alcove.discard;

import org.jspecify.annotations.Nullable;

/**
 * The maximal runs of a window that all of some sets have, one after the other, in either direction. Without a set that
 * is the whole window. No step makes an object, however many runs there are.
 *
 * <p>For one thread. The sets are pictures of one moment: nothing changes under it.
 */
final class CommonRuns {
    private static final RunCursor[] NONE = {};

    private final RunCursor[] cursors;
    private long from;
    private long to;
    /** Where the next step begins to look. */
    private long position;

    private boolean forwards = true;
    private long start;
    private long end;

    private CommonRuns(RunCursor[] cursors) {
        this.cursors = cursors;
    }

    /** What all of these sets have now. */
    static CommonRuns of(RangeSet... sets) {
        return of(sets, null);
    }

    /** What all of these sets have now, and another one has not. */
    static CommonRuns of(RangeSet[] sets, @Nullable RangeSet not) {
        int count = sets.length + (not == null ? 0 : 1);
        RunCursor[] cursors = count == 0 ? NONE : new RunCursor[count];
        for (int i = 0; i < sets.length; i++) {
            cursors[i] = new RunCursor(sets[i].root(), false);
        }
        if (not != null) {
            cursors[sets.length] = new RunCursor(not.root(), true);
        }
        return new CommonRuns(cursors);
    }

    /** Starts before the first run of a window, which may be empty. */
    CommonRuns first(long from, long to) {
        return window(from, to, true);
    }

    /** Starts behind the last run of a window, which may be empty. */
    CommonRuns last(long from, long to) {
        return window(from, to, false);
    }

    private CommonRuns window(long from, long to, boolean forwards) {
        this.from = from;
        this.to = to;
        turn(forwards ? from : to, forwards);
        return this;
    }

    /** Turns round, so that {@link #previous} finds the present run, or the one before it. */
    void back(boolean presentToo) {
        turn(presentToo ? end : start, false);
    }

    private void turn(long at, boolean forwards) {
        this.position = at;
        this.forwards = forwards;
        for (RunCursor cursor : cursors) {
            cursor.reset();
        }
    }

    /** The first byte of the present run. */
    long start() {
        return start;
    }

    /** Bytes of the present run. */
    long size() {
        return end - start;
    }

    /** Goes to the next run; false behind the last. */
    boolean next() {
        if (!forwards) {
            throw new IllegalStateException("it goes backwards");
        }
        while (position < to) {
            long low = position;
            long high = to;
            for (RunCursor cursor : cursors) {
                if (!cursor.forward(position)) {
                    position = to;
                    return false;
                }
                low = Math.max(low, cursor.start());
                high = Math.min(high, cursor.end());
            }
            if (low < high) {
                return run(low, high, high);
            }
            position = low;
        }
        return false;
    }

    /** Goes to the run before; false before the first. */
    boolean previous() {
        if (forwards) {
            throw new IllegalStateException("it goes forwards");
        }
        while (position > from) {
            long low = from;
            long high = position;
            for (RunCursor cursor : cursors) {
                if (!cursor.backward(position)) {
                    position = from;
                    return false;
                }
                low = Math.max(low, cursor.start());
                high = Math.min(high, cursor.end());
            }
            if (low < high) {
                return run(low, high, low);
            }
            position = high;
        }
        return false;
    }

    private boolean run(long low, long high, long next) {
        start = low;
        end = high;
        position = next;
        return true;
    }
}
