// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vmm.conversion;

import dev.alcove.discard.GpaRange;
import dev.alcove.discard.Outcome;
import dev.alcove.discard.PopulatedRanges;
import dev.alcove.discard.RamDiscardManager;
import dev.alcove.memory.RamBlock;
import dev.alcove.sys.Errno;
import dev.alcove.sys.SyscallException;
import java.util.ArrayList;
import java.util.List;

/** Does the steps of a plan in order; where one fails, undoes those before it in reverse order. */
final class ConversionExecutor {
    private final List<RamBlock> blocks;
    private final KvmAttributes attributes;
    private final ConversionCounters counters;

    ConversionExecutor(List<RamBlock> blocks, KvmAttributes attributes, ConversionCounters counters) {
        this.blocks = blocks;
        this.attributes = attributes;
        this.counters = counters;
    }

    /** The caller holds the range. While this runs, no listener comes or goes at the blocks that it touches. */
    Outcome execute(List<Step> steps) {
        List<RamDiscardManager.Change> held = new ArrayList<>(1);
        try {
            int last = -1;
            for (Step step : steps) {
                // One state step for each extent, and extents ascend.
                if (step instanceof Step.State(Extent extent, boolean _) && extent.block() != last) {
                    last = extent.block();
                    held.add(managerOf(extent).change());
                }
            }
            return executeAll(steps);
        } finally {
            held.reversed().forEach(RamDiscardManager.Change::close);
        }
    }

    private Outcome executeAll(List<Step> steps) {
        List<Step> done = new ArrayList<>(steps.size());
        for (Step step : steps) {
            switch (perform(step)) {
                case Outcome.Done _ -> done.add(step);
                case Outcome.Unsafe unsafe -> {
                    return unsafe;
                }
                case Outcome.Refused refused -> {
                    return undo(done.reversed(), refused);
                }
            }
        }
        return Outcome.done();
    }

    private Outcome perform(Step step) {
        return switch (step) {
            case Step.Discard(Extent extent) ->
                managerOf(extent).notifyDiscard(stateOf(extent), extent.offset(), extent.size());
            case Step.Populate(Extent extent) ->
                managerOf(extent).notifyPopulate(stateOf(extent), extent.offset(), extent.size());
            case Step.Attributes(GpaRange hull, boolean toPrivate, List<GpaRange> _) -> set(hull, toPrivate);
            case Step.State(Extent extent, boolean toPrivate) -> record(extent, toPrivate);
            case Step.Free free -> free(free);
        };
    }

    /** What the guest gets is EAGAIN: nothing changed, and the same may work later. */
    private Outcome undo(List<Step> done, Outcome.Refused cause) {
        for (Step step : done) {
            Outcome undone = undo(step);
            if (!undone.isDone()) {
                return new Outcome.Unsafe(cause.reason() + "; and undoing " + step + ": " + undone);
            }
        }
        return new Outcome.Refused(Errno.EAGAIN, cause.reason());
    }

    private Outcome undo(Step step) {
        return switch (step) {
            case Step.Discard(Extent extent) -> perform(new Step.Populate(extent));
            case Step.Populate(Extent extent) -> perform(new Step.Discard(extent));
            case Step.Attributes(GpaRange _, boolean toPrivate, List<GpaRange> changed) -> {
                for (GpaRange range : changed) {
                    Outcome outcome = set(range, !toPrivate);
                    if (!outcome.isDone()) {
                        yield outcome;
                    }
                }
                yield Outcome.done();
            }
            case Step.State(Extent extent, boolean toPrivate) -> record(extent, !toPrivate);
            case Step.Free free -> throw new IllegalStateException("nothing may fail after " + free);
        };
    }

    private Outcome set(GpaRange range, boolean toPrivate) {
        try {
            attributes.set(range, toPrivate);
            return Outcome.done();
        } catch (SyscallException refused) {
            return new Outcome.Refused(refused.errno(), String.valueOf(refused.getMessage()));
        }
    }

    private Outcome record(Extent extent, boolean toPrivate) {
        if (toPrivate) {
            stateOf(extent).discard(extent.offset(), extent.size());
        } else {
            stateOf(extent).populate(extent.offset(), extent.size());
        }
        return Outcome.done();
    }

    /**
     * The conversion has happened by now, and undoing it would cost the guest the contents that are freed already. A
     * page that the kernel does not free costs memory, but nobody can reach it: devices and guest use the other side.
     */
    private Outcome free(Step.Free free) {
        Extent extent = free.extent();
        try {
            blocks.get(extent.block()).backing().release(free.side(), extent.offset(), extent.size());
        } catch (SyscallException _) {
            counters.notFreed.add(extent.size());
        }
        return Outcome.done();
    }

    private RamDiscardManager managerOf(Extent extent) {
        return blocks.get(extent.block()).discards();
    }

    private PopulatedRanges stateOf(Extent extent) {
        return blocks.get(extent.block()).state().orElseThrow();
    }
}
