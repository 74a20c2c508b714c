// SPDX-License-Identifier: Apache-2.0
package dev.alcove.discard;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.locks.ReentrantReadWriteLock;
import org.jspecify.annotations.Nullable;

/**
 * Who may use which part of one RAM block.
 *
 * <p>A part is populated where every source says so; without a source the whole block is. Listeners are told of
 * changes: populate in the order of their registration, discard in the reverse order. A change is a transaction: when
 * a listener refuses, those that were told before are told the opposite, in reverse order.
 *
 * <p>Locking. Sources and listeners change under the write lock; notifications and replays hold the read lock. A
 * change that takes several steps (listeners, then the source's own state) must hold {@link #change()} around all of
 * them, so that a listener registered meanwhile sees either the old state or the new one. Two changes of overlapping
 * ranges at the same time are for the caller to exclude; changes of disjoint ranges run side by side. Callbacks must
 * not call back into the manager.
 */
public final class RamDiscardManager {
    private final long size;
    private final ReentrantReadWriteLock lock = new ReentrantReadWriteLock();
    /** Protected by the lock. */
    private final List<RamDiscardSource> sources = new ArrayList<>();
    /** Protected by the lock; in the order of registration. */
    private final List<Registration> listeners = new ArrayList<>();

    private record Registration(RamDiscardListener listener, RamSection section) {}

    /** One call that a listener has answered, so that it can be undone. */
    private record Told(RamDiscardListener listener, long offset, long size) {}

    /** A hold on the manager: until it is closed, neither sources nor listeners come or go. */
    public interface Change extends AutoCloseable {
        @Override
        void close();
    }

    /**
     * A manager without sources: the whole block is populated.
     *
     * @param size of the block in bytes
     */
    public RamDiscardManager(long size) {
        if (size <= 0) {
            throw new IllegalArgumentException("block of " + size + " bytes");
        }
        this.size = size;
    }

    /** The size of the block in bytes. */
    public long size() {
        return size;
    }

    /** Starts a change of several steps on the calling thread; the same thread must close it. */
    public Change change() {
        lock.readLock().lock();
        return lock.readLock()::unlock;
    }

    /** The smallest piece that any source changes, in bytes; the size of the block where there is no source. */
    public long granularity() {
        try (Change _ = change()) {
            return sources.stream()
                    .mapToLong(RamDiscardSource::granularity)
                    .min()
                    .orElse(size);
        }
    }

    /** Whether any source may discard parts of the block. */
    public boolean hasSources() {
        try (Change _ = change()) {
            return !sources.isEmpty();
        }
    }

    /** Whether the whole range is populated. */
    public boolean isPopulated(long offset, long length) {
        check(offset, length);
        try (Change _ = change()) {
            return populatedHere(offset, null) && runEnd(offset, offset + length, true, null) == offset + length;
        }
    }

    /** Visits the maximal populated runs of a range. The visitor must not call back. */
    public void replayPopulated(long offset, long length, RangeVisitor visitor) {
        replay(offset, length, true, visitor);
    }

    /** Visits the maximal discarded runs of a range. The visitor must not call back. */
    public void replayDiscarded(long offset, long length, RangeVisitor visitor) {
        replay(offset, length, false, visitor);
    }

    private void replay(long offset, long length, boolean populated, RangeVisitor visitor) {
        check(offset, length);
        try (Change _ = change()) {
            for (RamSection run : runs(offset, offset + length, populated, null)) {
                visitor.range(run.offset(), run.size());
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
        lock.writeLock().lock();
        try {
            if (sources.contains(source)) {
                throw new IllegalStateException("this source is there already");
            }
            List<RamSection> lost = new ArrayList<>();
            for (RamSection run : runs(0, size, true, null)) {
                forEachRun(source, run, false, lost);
            }
            Outcome outcome = tell(false, lost);
            if (outcome.isDone()) {
                sources.add(source);
            }
            return outcome;
        } finally {
            lock.writeLock().unlock();
        }
    }

    /**
     * Takes a source away. What only it had discarded is populated at the listeners.
     *
     * @return refused by a listener: the source stays
     * @throws IllegalStateException where the source is not there
     */
    public Outcome removeSource(RamDiscardSource source) {
        lock.writeLock().lock();
        try {
            if (!sources.contains(source)) {
                throw new IllegalStateException("this source is not there");
            }
            List<RamSection> won = new ArrayList<>();
            for (RamSection run : runs(0, size, true, source)) {
                forEachRun(source, run, false, won);
            }
            Outcome outcome = tell(true, won);
            if (outcome.isDone()) {
                sources.remove(source);
            }
            return outcome;
        } finally {
            lock.writeLock().unlock();
        }
    }

    /**
     * Registers a listener for a section of the block, and populates at once what is populated there.
     *
     * @return refused by the listener: it is not registered, and uses nothing
     * @throws IllegalStateException where the listener is registered already
     */
    public Outcome register(RamDiscardListener listener, RamSection section) {
        check(section.offset(), section.size());
        lock.writeLock().lock();
        try {
            if (find(listener) != null) {
                throw new IllegalStateException("this listener is registered already");
            }
            List<Told> told = new ArrayList<>();
            for (RamSection run : runs(section.offset(), section.end(), true, null)) {
                Outcome outcome = tell(true, listener, run, told);
                if (!outcome.isDone()) {
                    return outcome;
                }
            }
            listeners.add(new Registration(listener, section));
            return Outcome.done();
        } finally {
            lock.writeLock().unlock();
        }
    }

    /**
     * Discards what the listener uses and forgets it.
     *
     * @return anything but done: the listener stays registered
     * @throws IllegalStateException where the listener is not registered
     */
    public Outcome unregister(RamDiscardListener listener) {
        lock.writeLock().lock();
        try {
            Registration registration = find(listener);
            if (registration == null) {
                throw new IllegalStateException("this listener is not registered");
            }
            RamSection section = registration.section();
            List<Told> told = new ArrayList<>();
            for (RamSection run : runs(section.offset(), section.end(), true, null)) {
                Outcome outcome = tell(false, listener, run, told);
                if (!outcome.isDone()) {
                    return outcome;
                }
            }
            listeners.remove(registration);
            return Outcome.done();
        } finally {
            lock.writeLock().unlock();
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
        try (Change _ = change()) {
            if (!sources.contains(source)) {
                throw new IllegalStateException("this source is not there");
            }
            if (listeners.isEmpty()) {
                return Outcome.done();
            }
            return tell(populate, runs(offset, offset + length, true, source));
        }
    }

    /** Tells all listeners about runs, each only what lies in its section; or undoes it all. */
    private Outcome tell(boolean populate, List<RamSection> runs) {
        List<Told> told = new ArrayList<>();
        for (int index = 0; index < listeners.size(); index++) {
            Registration registration = listeners.get(populate ? index : listeners.size() - 1 - index);
            for (RamSection run : runs) {
                long from = Math.max(run.offset(), registration.section().offset());
                long to = Math.min(run.end(), registration.section().end());
                if (from < to) {
                    RamSection part = new RamSection(from, to - from);
                    Outcome outcome = tell(populate, registration.listener(), part, told);
                    if (!outcome.isDone()) {
                        return outcome;
                    }
                }
            }
        }
        return Outcome.done();
    }

    /** Tells one listener about one run; where it does not comply, everything told before is undone. */
    private static Outcome tell(boolean populate, RamDiscardListener listener, RamSection run, List<Told> told) {
        Outcome outcome = call(populate, listener, run.offset(), run.size());
        if (!(outcome instanceof Outcome.Refused refused)) {
            told.add(new Told(listener, run.offset(), run.size()));
            return outcome;
        }
        if (populate) {
            // A listener that refuses may have used a part of the range before it gave up: it is told as well.
            told.add(new Told(listener, run.offset(), run.size()));
        }
        for (Told before : told.reversed()) {
            Outcome undone = call(!populate, before.listener(), before.offset(), before.size());
            if (!undone.isDone()) {
                return new Outcome.Unsafe(refused.reason() + "; and taking back what other listeners did failed: "
                        + reason(undone));
            }
        }
        return refused;
    }

    /** A listener that throws has done an unknown part of its work. */
    private static Outcome call(boolean populate, RamDiscardListener listener, long offset, long length) {
        try {
            return populate ? listener.populate(offset, length) : listener.discard(offset, length);
        } catch (RuntimeException thrown) {
            return new Outcome.Unsafe((populate ? "populate" : "discard") + " of [0x" + Long.toHexString(offset)
                    + ", 0x" + Long.toHexString(offset + length) + ") threw " + thrown);
        }
    }

    private static String reason(Outcome outcome) {
        return switch (outcome) {
            case Outcome.Refused refused -> refused.reason();
            case Outcome.Unsafe unsafe -> unsafe.reason();
            case Outcome.Done done -> "nothing";
        };
    }

    /** The maximal runs of {@code [from, to)} that are populated (or not) as far as all sources but one say. */
    private List<RamSection> runs(long from, long to, boolean populated, @Nullable RamDiscardSource without) {
        List<RamSection> runs = new ArrayList<>();
        long position = from;
        while (position < to) {
            boolean here = populatedHere(position, without);
            long end = runEnd(position, to, here, without);
            if (here == populated) {
                runs.add(new RamSection(position, end - position));
            }
            position = end;
        }
        return runs;
    }

    private boolean populatedHere(long offset, @Nullable RamDiscardSource without) {
        for (RamDiscardSource source : sources) {
            if (source != without && !source.isPopulated(offset)) {
                return false;
            }
        }
        return true;
    }

    /** Where the common state of all sources changes next. */
    private long runEnd(long offset, long limit, boolean state, @Nullable RamDiscardSource without) {
        long end = offset;
        do {
            long step = state ? limit : end;
            for (RamDiscardSource source : sources) {
                if (source == without) {
                    continue;
                }
                if (state) {
                    step = Math.min(step, source.runEnd(end, limit));
                } else if (!source.isPopulated(end)) {
                    step = Math.max(step, source.runEnd(end, limit));
                }
            }
            end = step;
        } while (end < limit && populatedHere(end, without) == state);
        return end;
    }

    /** Collects the runs of one source that have a state. */
    private static void forEachRun(
            RamDiscardSource source, RamSection range, boolean populated, List<RamSection> found) {
        long position = range.offset();
        while (position < range.end()) {
            boolean here = source.isPopulated(position);
            long end = source.runEnd(position, range.end());
            while (end < range.end() && source.isPopulated(end) == here) {
                end = source.runEnd(end, range.end());
            }
            if (here == populated) {
                found.add(new RamSection(position, end - position));
            }
            position = end;
        }
    }

    private @Nullable Registration find(RamDiscardListener listener) {
        for (Registration registration : listeners) {
            if (registration.listener() == listener) {
                return registration;
            }
        }
        return null;
    }

    private void check(long offset, long length) {
        if (offset < 0 || length <= 0 || length > size - offset) {
            throw new IllegalArgumentException("offset 0x" + Long.toHexString(offset) + ", length 0x"
                    + Long.toHexString(length) + " in a block of 0x" + Long.toHexString(size) + " bytes");
        }
    }
}
