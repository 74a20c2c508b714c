// SPDX-License-Identifier: Apache-2.0
package dev.alcove.discard;

import dev.alcove.discard.Transaction.Listening;

/**
 * Who may use which part of one RAM block.
 *
 * <p>A part is populated where every source says so; without a source the whole block is. Listeners are told of
 * changes: populate in the order of their registration, discard in the reverse order. A change is a transaction: when
 * a listener refuses, those that were told before are told the opposite, in reverse order.
 *
 * <p>Locking. Questions ({@link #isPopulated}, {@link #replayPopulated}, {@link #replayDiscarded}) take no lock and see
 * the sources as they were at one moment. Notifications of disjoint ranges run side by side; they wait only while a
 * source or listener comes or goes, or {@link #changeAlone()} is held. A change that takes several steps (listeners, then
 * the source's own state) must hold {@link #change()} around all of them, so that a listener registered meanwhile sees
 * either the old state or the new one. Two changes of overlapping ranges at the same time, also of different sources,
 * are for the caller to exclude. Callbacks may ask, but must not change the manager. All waiting is in
 * {@code ChangeGate}; the page docs/conversion.md has the order of the locks.
 */
public final class RamDiscardManager {
    private final long size;
    private final ChangeGate gate;
    /** Replaced by who is alone. */
    private volatile Parties parties;

    /** A hold on the manager: until it is closed, neither sources nor listeners come or go. */
    public interface Change extends AutoCloseable {
        /** Ends the change; by the thread that began it. */
        @Override
        void close();
    }

    /**
     * A manager without sources: the whole block is populated.
     *
     * @param size of the block in bytes
     */
    public RamDiscardManager(long size) {
        this(size, Waiting.PARK);
    }

    /**
     * As above, with another way to wait.
     *
     * @param waiting how a thread waits for the changes of others
     */
    public RamDiscardManager(long size, Waiting waiting) {
        if (size <= 0) {
            throw new IllegalArgumentException("block of " + size + " bytes");
        }
        this.size = size;
        this.gate = new ChangeGate(waiting);
        this.parties = Parties.none();
    }

    /** The size of the block in bytes. */
    public long size() {
        return size;
    }

    /**
     * Starts a change of several steps on the calling thread, side by side with others of disjoint ranges. The same
     * thread must close it.
     */
    public Change change() {
        return gate.enter();
    }

    /**
     * Starts a change of several steps that excludes all others of this block. The same thread must close it.
     *
     * @throws IllegalStateException the thread is in the middle of another change
     */
    public Change changeAlone() {
        return gate.enterAlone();
    }

    /** The smallest piece that any source changes, in bytes; the size of the block where there is no source. */
    public long granularity() {
        return parties.granularity(size);
    }

    /** Whether any source may discard parts of the block. */
    public boolean hasSources() {
        return parties.hasSources();
    }

    /** Whether the whole range is populated. */
    public boolean isPopulated(long offset, long length) {
        check(offset, length);
        for (RangeSet set : populated(offset, length)) {
            if (!set.containsAll(offset, length)) {
                return false;
            }
        }
        return true;
    }

    /** Visits the maximal populated runs of a range, as they were when the call began. */
    public void replayPopulated(long offset, long length, RangeVisitor visitor) {
        check(offset, length);
        CommonRuns runs = CommonRuns.of(populated(offset, length)).first(offset, offset + length);
        while (runs.next()) {
            visitor.range(runs.start(), runs.size());
        }
    }

    /** Visits the maximal discarded runs of a range, as they were when the call began. */
    public void replayDiscarded(long offset, long length, RangeVisitor visitor) {
        check(offset, length);
        CommonRuns runs = CommonRuns.of(populated(offset, length)).first(offset, offset + length);
        long position = offset;
        while (runs.next()) {
            if (runs.start() > position) {
                visitor.range(position, runs.start() - position);
            }
            position = runs.start() + runs.size();
        }
        if (position < offset + length) {
            visitor.range(position, offset + length - position);
        }
    }

    /** What the sources have populated of a range at one moment. Only a change of one of them near it makes it look again. */
    private RangeSet[] populated(long offset, long length) {
        while (true) {
            Parties present = parties;
            RangeSet[] sets = present.populated(offset, length);
            if (parties == present && (sets.length <= 1 || present.stillPopulated(sets, offset, length))) {
                return sets;
            }
        }
    }

    /**
     * Adds a source. What it has discarded and the others have not is discarded at the listeners.
     *
     * @return refused by a listener: the source is not added
     * @throws IllegalStateException where the source is there already
     */
    public Outcome addSource(RamDiscardSource source) {
        try (Change _ = changeAlone()) {
            Parties present = parties;
            if (present.has(source)) {
                throw new IllegalStateException("this source is there already");
            }
            CommonRuns lost = CommonRuns.of(present.populated(0, size), source.snapshot());
            Outcome outcome = Transaction.tell(false, present.listeners(), lost, 0, size);
            if (outcome.isDone()) {
                parties = present.with(source);
            }
            return outcome;
        }
    }

    /**
     * Takes a source away. What only it had discarded is populated at the listeners.
     *
     * @return refused by a listener: the source stays
     * @throws IllegalStateException where the source is not there
     */
    public Outcome removeSource(RamDiscardSource source) {
        try (Change _ = changeAlone()) {
            Parties present = parties;
            if (!present.has(source)) {
                throw new IllegalStateException("this source is not there");
            }
            Parties rest = present.without(source);
            CommonRuns won = CommonRuns.of(rest.populated(0, size), source.snapshot());
            Outcome outcome = Transaction.tell(true, rest.listeners(), won, 0, size);
            if (outcome.isDone()) {
                parties = rest;
            }
            return outcome;
        }
    }

    /**
     * Registers a listener for a section of the block, and populates at once what is populated there, run by run.
     *
     * @return refused by the listener: it is not registered, and uses nothing
     * @throws IllegalStateException where the listener is registered already
     */
    public Outcome register(RamDiscardListener listener, RamSection section) {
        check(section.offset(), section.size());
        try (Change _ = changeAlone()) {
            Parties present = parties;
            if (present.only(listener).length > 0) {
                throw new IllegalStateException("this listener is registered already");
            }
            Listening listening = new Listening(listener, section);
            CommonRuns runs = CommonRuns.of(present.populated(0, size));
            Outcome outcome = Transaction.tell(true, new Listening[] {listening}, runs, 0, size);
            if (outcome.isDone()) {
                parties = present.with(listening);
            }
            return outcome;
        }
    }

    /**
     * Discards what the listener uses, all of its section with one call, and forgets the listener.
     *
     * @return anything but done: the listener stays registered
     * @throws IllegalStateException where the listener is not registered
     */
    public Outcome unregister(RamDiscardListener listener) {
        try (Change _ = changeAlone()) {
            Parties present = parties;
            Listening[] one = present.only(listener);
            if (one.length == 0) {
                throw new IllegalStateException("this listener is not registered");
            }
            Outcome outcome = Transaction.leave(one[0]);
            if (outcome.isDone()) {
                parties = present.without(listener);
            }
            return outcome;
        }
    }

    /**
     * Forgets a listener without telling it: for one that refuses to discard what it uses, and whose use ends in another
     * way. No change of the block runs meanwhile, so that nobody relies on the listener before that end.
     *
     * @param end after which the listener uses nothing. It is forgotten whether this returns or throws
     * @throws IllegalStateException where the listener is not registered
     */
    public void forget(RamDiscardListener listener, Runnable end) {
        try (Change _ = changeAlone()) {
            Parties present = parties;
            if (present.only(listener).length == 0) {
                throw new IllegalStateException("this listener is not registered");
            }
            Parties rest = present.without(listener);
            try {
                end.run();
            } finally {
                parties = rest;
            }
        }
    }

    /**
     * A source populates a range that it had discarded: listeners get the runs of it that all other sources have
     * populated. The source's own state is not asked: it may change before or after.
     *
     * @return refused by a listener: no listener uses the range
     */
    public Outcome notifyPopulate(RamDiscardSource source, long offset, long length) {
        return notify(true, source, offset, length);
    }

    /**
     * A source is about to discard a range that it had populated; the counterpart of {@link #notifyPopulate}.
     *
     * @return refused by a listener: every listener uses the range as before
     */
    public Outcome notifyDiscard(RamDiscardSource source, long offset, long length) {
        return notify(false, source, offset, length);
    }

    private Outcome notify(boolean populate, RamDiscardSource source, long offset, long length) {
        check(offset, length);
        Change change = gate.enter();
        try {
            Parties present = parties;
            CommonRuns others = CommonRuns.of(present.populatedBut(source, offset, length));
            return Transaction.tell(populate, present.listeners(), others, offset, offset + length);
        } finally {
            change.close();
        }
    }

    private void check(long offset, long length) {
        if (offset < 0 || length <= 0 || length > size - offset) {
            throw new IllegalArgumentException("offset 0x" + Long.toHexString(offset) + ", length 0x"
                    + Long.toHexString(length) + " in a block of 0x" + Long.toHexString(size) + " bytes");
        }
    }
}
