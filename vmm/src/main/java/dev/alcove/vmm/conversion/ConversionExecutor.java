// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vmm.conversion;

import dev.alcove.discard.Outcome;
import dev.alcove.discard.PopulatedRanges;
import dev.alcove.discard.RamDiscardManager;
import dev.alcove.memory.MemoryBacking.Side;
import dev.alcove.memory.RamBlock;
import dev.alcove.sys.Errno;
import dev.alcove.sys.SyscallException;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * Does the steps of a slice in order; where one fails, undoes those before it in reverse order. The caller holds the
 * range. While a slice is worked on, no listener comes or goes at its block.
 *
 * <p>A step may throw anything, errors of the JVM included: it has done an unknown part of its work then, is undone as
 * well, and counts as refused. Undoing may be done twice, and is right whatever part of the step was done.
 */
final class ConversionExecutor {
    private final RamBlock[] blocks;
    private final @Nullable PopulatedRanges[] states;
    private final KvmAttributes attributes;
    private final ConversionCounters counters;
    private final Step.Order steps;

    ConversionExecutor(
            List<RamBlock> blocks, KvmAttributes attributes, ConversionCounters counters, Step.Order steps) {
        this.blocks = blocks.toArray(RamBlock[]::new);
        this.states = blocks.stream().map(block -> block.state().orElse(null)).toArray(PopulatedRanges[]::new);
        this.attributes = attributes;
        this.counters = counters;
        this.steps = steps;
    }

    /** All steps, or none; refused with EAGAIN, because the same may work later. */
    Outcome execute(Slice slice) {
        try (RamDiscardManager.Change _ = manager(slice).change()) {
            Step[] order = steps.of(slice.toPrivate);
            for (int step = 0; step < order.length; step++) {
                Outcome outcome;
                try {
                    outcome = perform(order[step], slice);
                } catch (RuntimeException | Error thrown) {
                    return undoThrown(slice, order, step, thrown);
                }
                if (outcome instanceof Outcome.Refused refused) {
                    return undo(slice, order, step, refused);
                } else if (!outcome.isDone()) {
                    return outcome;
                }
            }
            return Outcome.done();
        }
    }

    /** Takes slices back that were executed, the last first. Answers the cause, or unsafe. */
    Outcome undo(@Nullable Slice last, Outcome.Refused cause) {
        Outcome outcome = cause;
        for (Slice slice = last; slice != null && outcome instanceof Outcome.Refused; slice = slice.before) {
            try (RamDiscardManager.Change _ = manager(slice).change()) {
                Step[] order = steps.of(slice.toPrivate);
                outcome = undo(slice, order, order.length, cause);
            }
        }
        return outcome;
    }

    private Outcome undo(Slice slice, Step[] order, int done, Outcome.Refused cause) {
        for (int step = done - 1; step >= 0; step--) {
            Outcome undone;
            try {
                undone = undo(order[step], slice);
            } catch (RuntimeException | Error thrown) {
                undone = new Outcome.Unsafe(thrown.toString());
            }
            if (!undone.isDone()) {
                return new Outcome.Unsafe(
                        cause.reason() + "; and undoing " + order[step] + " of " + slice + ": " + undone);
            }
        }
        return new Outcome.Refused(Errno.EAGAIN, cause.reason());
    }

    /** Undoes the step that threw, too. */
    private Outcome undoThrown(Slice slice, Step[] order, int step, Throwable thrown) {
        Outcome.Refused cause = new Outcome.Refused(Errno.EIO, order[step] + " of " + slice + " threw " + thrown);
        if (order[step] != Step.DISCARD) {
            return undo(slice, order, step + 1, cause);
        }
        // Populating is right only for what was discarded. To discard again what was costs nothing.
        Outcome again;
        try {
            again = tell(slice, false);
        } catch (RuntimeException | Error second) {
            again = new Outcome.Unsafe(second.toString());
        }
        return again instanceof Outcome.Unsafe unsafe
                ? new Outcome.Unsafe(cause.reason() + "; once more: " + unsafe.reason())
                : undo(slice, order, again.isDone() ? step + 1 : step, cause);
    }

    private Outcome perform(Step step, Slice slice) {
        return switch (step) {
            case DISCARD -> tell(slice, false);
            case POPULATE -> tell(slice, true);
            case ATTRIBUTES -> set(slice, slice.start(), slice.hull(), slice.toPrivate);
            case STATE -> record(slice, slice.start(), slice.hull(), slice.toPrivate);
        };
    }

    /** What was set for the hull goes back for the runs only: between them it was so before. */
    private Outcome undo(Step step, Slice slice) {
        return switch (step) {
            case DISCARD -> tell(slice, true);
            case POPULATE -> tell(slice, false);
            case ATTRIBUTES -> {
                Outcome outcome = Outcome.done();
                for (int run = 0; run < slice.runs() && outcome.isDone(); run++) {
                    outcome = set(slice, slice.offset(run), slice.size(run), !slice.toPrivate);
                }
                yield outcome;
            }
            case STATE -> {
                for (int run = 0; run < slice.runs(); run++) {
                    record(slice, slice.offset(run), slice.size(run), !slice.toPrivate);
                }
                yield Outcome.done();
            }
        };
    }

    /** Tells the listeners about each run; where one is refused, the opposite about those before it. */
    private Outcome tell(Slice slice, boolean populate) {
        for (int run = 0; run < slice.runs(); run++) {
            Outcome outcome = tell(slice, run, populate);
            if (outcome instanceof Outcome.Refused refused) {
                while (--run >= 0) {
                    Outcome undone = tell(slice, run, !populate);
                    if (!undone.isDone()) {
                        return new Outcome.Unsafe(refused.reason() + "; and telling the opposite: " + undone);
                    }
                }
                return refused;
            } else if (!outcome.isDone()) {
                return outcome;
            }
        }
        return Outcome.done();
    }

    private Outcome tell(Slice slice, int run, boolean populate) {
        RamDiscardManager manager = manager(slice);
        PopulatedRanges state = state(slice);
        return populate
                ? manager.notifyPopulate(state, slice.offset(run), slice.size(run))
                : manager.notifyDiscard(state, slice.offset(run), slice.size(run));
    }

    private Outcome set(Slice slice, long offset, long size, boolean toPrivate) {
        try {
            attributes.set(slice.block, offset, size, toPrivate);
            return Outcome.done();
        } catch (SyscallException refused) {
            return new Outcome.Refused(refused.errno(), String.valueOf(refused.getMessage()));
        }
    }

    private Outcome record(Slice slice, long offset, long size, boolean toPrivate) {
        if (toPrivate) {
            state(slice).discard(offset, size);
        } else {
            state(slice).populate(offset, size);
        }
        return Outcome.done();
    }

    /**
     * Gives the memory that the old side of a slice takes back to the host, with its contents. The conversion has
     * happened by now, and undoing it would cost the guest what other slices had there. A page that the kernel does not
     * free costs memory, but nobody can reach it: devices and guest use the other side.
     */
    void free(Slice slice) {
        RamBlock block = blocks[slice.block];
        if (!block.backing().leavesMemoryBehind()) {
            return;
        }
        try {
            block.backing().release(slice.toPrivate ? Side.SHARED : Side.PRIVATE, slice.start(), slice.hull());
        } catch (RuntimeException | Error _) {
            counters.notFreed(slice.bytes());
        }
    }

    private RamDiscardManager manager(Slice slice) {
        return blocks[slice.block].discards();
    }

    private PopulatedRanges state(Slice slice) {
        PopulatedRanges state = states[slice.block];
        if (state == null) {
            throw new IllegalStateException(slice + ": the block has no private side");
        }
        return state;
    }
}
