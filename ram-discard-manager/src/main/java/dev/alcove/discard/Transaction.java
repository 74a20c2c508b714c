// SPDX-License-Identifier: Apache-2.0
package dev.alcove.discard;

import org.jspecify.annotations.Nullable;

/**
 * Tells listeners about runs, each only what lies in its section, and takes it all back where one does not comply. What
 * was told is not written down: the runs are walked backwards.
 *
 * <p>A listener may throw anything. A populate that throws counts as refused, because a discard of the same run takes
 * back whatever part of it was done. A discard that throws is made once more: if that works the listener certainly
 * uses nothing of the run, gets it back, and counts as having refused. Where neither works the outcome is unsafe.
 */
final class Transaction {
    private static final int EIO = 5;
    private static final int ENOMEM = 12;
    private static final Outcome.Unsafe LOST =
            new Outcome.Unsafe("telling the listeners of a RAM block ran out of memory or stack half way");

    private final boolean populate;
    private final Listening[] listeners;
    private final CommonRuns runs;
    private final long from;
    private final long to;

    /** A listener with its section, in the order of registration. */
    record Listening(RamDiscardListener listener, RamSection section) {}

    private Transaction(boolean populate, Listening[] listeners, CommonRuns runs, long from, long to) {
        this.populate = populate;
        this.listeners = listeners;
        this.runs = runs;
        this.from = from;
        this.to = to;
    }

    /**
     * Tells all listeners: populate in their order, discard in the reverse order.
     *
     * @param runs what is told of {@code [from, to)}; used here only
     */
    static Outcome tell(boolean populate, Listening[] listeners, CommonRuns runs, long from, long to) {
        try {
            return new Transaction(populate, listeners, runs, from, to).tell();
        } catch (RuntimeException | Error lost) {
            return lost instanceof VirtualMachineError ? LOST : new Outcome.Unsafe(String.valueOf(lost));
        }
    }

    /**
     * A listener uses nothing any more: one discard of its section, whatever of it is populated.
     *
     * @return refused: it uses what it used before. One that throws is asked once more, and gets nothing back
     */
    static Outcome leave(Listening listening) {
        RamSection section = listening.section();
        CommonRuns whole = CommonRuns.of().first(section.offset(), section.end());
        whole.next();
        return new Transaction(false, new Listening[0], whole, section.offset(), section.end())
                .discardSurely(listening.listener());
    }

    private Outcome tell() {
        for (int turn = 0; turn < listeners.length; turn++) {
            Listening told = inTurn(turn);
            runs.first(low(told), high(told));
            while (runs.next()) {
                Outcome outcome = ask(populate, told.listener());
                if (outcome instanceof Outcome.Unsafe) {
                    return outcome;
                }
                if (outcome instanceof Outcome.Refused refused) {
                    return undo(turn, refused);
                }
            }
        }
        return Outcome.done();
    }

    private Listening inTurn(int turn) {
        return listeners[populate ? turn : listeners.length - 1 - turn];
    }

    private long low(Listening told) {
        return Math.max(from, told.section().offset());
    }

    private long high(Listening told) {
        return Math.min(to, told.section().end());
    }

    /** Tells the opposite, in the reverse order. */
    private Outcome undo(int turn, Outcome.Refused cause) {
        // Who refuses to populate may have used a part of the run before it gave up: it is told as well.
        runs.back(populate);
        for (int back = turn; back >= 0; back--) {
            Listening told = inTurn(back);
            if (back < turn) {
                runs.last(low(told), high(told));
            }
            while (runs.previous()) {
                Outcome undone = populate ? discardSurely(told.listener()) : ask(true, told.listener());
                if (!undone.isDone()) {
                    return new Outcome.Unsafe(cause.reason() + "; and taking back what other listeners did failed: "
                            + reason(undone));
                }
            }
        }
        return cause;
    }

    /** One call; the answer says where nobody knows how much of it was done. */
    private Outcome ask(boolean toPopulate, RamDiscardListener listener) {
        try {
            return toPopulate
                    ? listener.populate(runs.start(), runs.size())
                    : listener.discard(runs.start(), runs.size());
        } catch (Throwable thrown) {
            return toPopulate ? thrown(true, thrown) : discardAgain(listener, thrown);
        }
    }

    /** The first discard has thrown; after another one that works, a populate gives back what was there before. */
    private Outcome discardAgain(RamDiscardListener listener, Throwable first) {
        Outcome.Refused refused = thrown(false, first);
        try {
            if (listener.discard(runs.start(), runs.size()).isDone()
                    && listener.populate(runs.start(), runs.size()).isDone()) {
                return refused;
            }
        } catch (Throwable second) {
            return new Outcome.Unsafe(refused.reason() + "; once more: " + describe(second));
        }
        return new Outcome.Unsafe(refused.reason());
    }

    /** A discard after which nothing has to be given back: only that it works in the end counts. */
    private Outcome discardSurely(RamDiscardListener listener) {
        try {
            return listener.discard(runs.start(), runs.size());
        } catch (Throwable first) {
            try {
                return listener.discard(runs.start(), runs.size());
            } catch (Throwable second) {
                return new Outcome.Unsafe(thrown(false, second).reason());
            }
        }
    }

    private Outcome.Refused thrown(boolean toPopulate, Throwable thrown) {
        int errno = thrown instanceof OutOfMemoryError ? ENOMEM : EIO;
        @Nullable String reason = null;
        try {
            reason = (toPopulate ? "populate" : "discard") + " of [0x" + Long.toHexString(runs.start()) + ", 0x"
                    + Long.toHexString(runs.start() + runs.size()) + ") threw " + thrown;
        } catch (RuntimeException | Error _) {
            // Below.
        }
        return new Outcome.Refused(errno, reason == null ? "a listener threw what cannot be printed" : reason);
    }

    private static String describe(Throwable thrown) {
        try {
            return thrown.toString();
        } catch (RuntimeException | Error _) {
            return "what cannot be printed";
        }
    }

    private static String reason(Outcome outcome) {
        return switch (outcome) {
            case Outcome.Refused refused -> refused.reason();
            case Outcome.Unsafe unsafe -> unsafe.reason();
            case Outcome.Done _ -> "nothing";
        };
    }
}
