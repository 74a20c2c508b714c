// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vfio;

import dev.alcove.discard.Outcome;
import dev.alcove.discard.RamDiscardListener;
import dev.alcove.discard.RamDiscardManager;
import dev.alcove.discard.RamSection;
import dev.alcove.discard.RangeVisitor;
import dev.alcove.sys.AlcoveException;
import dev.alcove.sys.Errno;
import dev.alcove.sys.SyscallException;
import java.util.ArrayList;
import java.util.List;

/** What follows one RAM block. Offsets become IOVAs by adding. Allocates nothing for a change that works. */
final class MappedBlock implements RamDiscardListener {
    private static final Outcome DONE = Outcome.done();

    private final VfioDmaMapper mapper;
    private final MapStrategy strategy;
    private final MapCounters counters;
    private final RamDiscardManager discards;
    private final long iova;
    private final DmaSource source;
    /** Whether nothing of the block is ever discarded: it is mapped as one. */
    private final boolean whole;

    private final MappedPages pages;

    MappedBlock(VfioDmaMapper mapper, RamDiscardManager discards, long iova, DmaSource source) {
        this.mapper = mapper;
        this.strategy = mapper.strategy();
        this.counters = mapper.counters();
        this.discards = discards;
        this.iova = iova;
        this.source = source;
        this.whole = !discards.hasSources();
        this.pages = new MappedPages(discards.size());
    }

    RamDiscardManager discards() {
        return discards;
    }

    long size() {
        return discards.size();
    }

    boolean isWhole() {
        return whole;
    }

    long iova() {
        return iova;
    }

    /** The kernel has unmapped everything by itself. */
    void forgetMappings() {
        counters.mapped(-pages.set(0, size(), false));
    }

    /** Visits the IOVAs that are mapped. */
    void forEachMapped(RangeVisitor visitor) {
        pages.forEach(0, size(), (offset, length) -> visitor.range(iova + offset, length));
    }

    @Override
    public Outcome populate(long offset, long size) {
        DmaMapEvent event = new DmaMapEvent();
        if (!event.isEnabled()) {
            return map(offset, size);
        }
        long before = counters.ownIoctls();
        event.begin();
        Outcome outcome = map(offset, size);
        event.commit(iova + offset, size, strategy, counters.ownIoctls() - before, outcome);
        return outcome;
    }

    private Outcome map(long offset, long size) {
        Outcome outcome = mapper.room(whole ? 1 : strategy.mappings(size));
        if (outcome.isDone()) {
            try {
                outcome = whole
                        ? strategy.mapWhole(source, offset, iova + offset, size, counters)
                        : strategy.map(source, offset, iova + offset, size, counters);
            } catch (RuntimeException | Error thrown) {
                takeBack(offset, size);
                throw thrown;
            }
        }
        if (!outcome.isDone()) {
            return mapper.explain(outcome);
        }
        counters.mapped(pages.set(offset, size, true));
        return DONE;
    }

    /** Nobody knows how much of it was mapped. An unmap of nothing may be refused. */
    private void takeBack(long offset, long size) {
        try {
            strategy.unmap(iova + offset, size, counters);
        } catch (SyscallException refused) {
            if (refused.errno() != Errno.ENOENT) {
                throw refused;
            }
        }
    }

    @Override
    public Outcome discard(long offset, long size) {
        DmaUnmapEvent event = new DmaUnmapEvent();
        if (!event.isEnabled()) {
            return unmap(offset, size);
        }
        long before = counters.ownIoctls();
        event.begin();
        Outcome outcome = unmap(offset, size);
        event.commit(iova + offset, size, strategy, counters.ownIoctls() - before, outcome);
        return outcome;
    }

    /** Unmaps what the books say is mapped in a range, in one ioctl. */
    private Outcome unmap(long offset, long size) {
        long expected = pages.count(offset, size);
        if (expected == 0) {
            return DONE;
        }
        long start = offset;
        long end = offset + size;
        if (expected != size) {
            start = pages.next(offset, end, true);
            while (end > start && pages.count(end - MapStrategy.PAGE, MapStrategy.PAGE) == 0) {
                end -= MapStrategy.PAGE;
            }
        }
        long unmapped;
        try {
            unmapped = strategy.unmap(iova + start, end - start, counters);
        } catch (SyscallException failure) {
            return restore(start, end, MapStrategy.refused(failure));
        } catch (AlcoveException failure) {
            return new Outcome.Unsafe(String.valueOf(failure.getMessage()));
        } catch (RuntimeException | Error failure) {
            return restore(start, end, new Outcome.Refused(Errno.EIO, "the unmap threw " + failure));
        }
        counters.mapped(-pages.set(offset, size, false));
        if (unmapped != expected) {
            return new Outcome.Unsafe("unmapping " + VfioDmaMapper.range(iova + start, end - start) + " took out "
                    + unmapped + " bytes where " + expected + " were mapped");
        }
        return DONE;
    }

    /** After an unmap that failed: maps again what is gone. */
    private Outcome restore(long start, long end, Outcome failure) {
        List<RamSection> runs = new ArrayList<>();
        pages.forEach(start, end - start, (from, length) -> runs.add(new RamSection(from, length)));
        try {
            for (RamSection run : runs) {
                strategy.restore(source, run.offset(), iova + run.offset(), run.size(), counters);
            }
        } catch (SyscallException second) {
            return new Outcome.Unsafe(failure + "; and mapping it again: " + second.getMessage());
        }
        return failure;
    }
}
