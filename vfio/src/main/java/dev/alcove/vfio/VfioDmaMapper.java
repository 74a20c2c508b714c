// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vfio;

import dev.alcove.discard.Hva;
import dev.alcove.discard.Iova;
import dev.alcove.discard.Outcome;
import dev.alcove.discard.RamDiscardListener;
import dev.alcove.discard.RamDiscardManager;
import dev.alcove.discard.RamSection;
import dev.alcove.discard.RangeSet;
import dev.alcove.iommufd.Ioas;
import dev.alcove.sys.Errno;
import dev.alcove.sys.InvariantException;
import dev.alcove.sys.SyscallException;
import java.util.ArrayList;
import java.util.List;

/**
 * Keeps an I/O address space equal to the populated parts of the guest's RAM: what is private, no device can reach.
 * The IOVA of a page is its guest physical address, its memory the shared side of its block.
 *
 * <p>Locking: the object's monitor protects the books and the list of blocks, and is never held over an ioctl. Two
 * callbacks for overlapping ranges at once are excluded by the discard manager's callers.
 */
public final class VfioDmaMapper implements AutoCloseable {
    private static final long PAGE = 4096;

    private final MapStrategy strategy;
    private final MapCounters counters = new MapCounters();
    /** IOVAs that are mapped. */
    private final RangeSet mapped = new RangeSet();
    private final List<BlockListener> blocks = new ArrayList<>();

    /**
     * A mapper without blocks.
     *
     * @param strategy whose address space nobody else changes
     */
    public VfioDmaMapper(MapStrategy strategy) {
        this.strategy = strategy;
    }

    public MapStrategy strategy() {
        return strategy;
    }

    public MapCounters counters() {
        return counters;
    }

    /** IOVAs that are mapped, as an independent copy. */
    public synchronized RangeSet mapped() {
        return mapped.copy();
    }

    /**
     * Maps the populated parts of a block, and follows its changes from now on. A block that has no sources never
     * changes: it is mapped as one extent, whatever the strategy.
     *
     * @param discards of the block
     * @param iova where the block begins for devices
     * @param hva where its shared side begins in this process
     * @return refused: nothing of the block is mapped
     */
    public Outcome add(RamDiscardManager discards, Iova iova, Hva hva) {
        BlockListener listener = new BlockListener(discards, iova.value(), hva.value(), !discards.hasSources());
        Outcome outcome = discards.register(listener, new RamSection(0, discards.size()));
        if (outcome.isDone()) {
            synchronized (this) {
                blocks.add(listener);
            }
        }
        return outcome;
    }

    /**
     * Unmaps all blocks, the last first.
     *
     * @throws InvariantException where the kernel refused an unmap; the rest is unmapped nevertheless
     */
    @Override
    public void close() {
        List<BlockListener> open;
        synchronized (this) {
            open = List.copyOf(blocks).reversed();
            blocks.clear();
        }
        List<Outcome> failures = new ArrayList<>();
        for (BlockListener listener : open) {
            Outcome outcome = listener.discards.unregister(listener);
            if (!outcome.isDone()) {
                failures.add(outcome);
            }
        }
        if (!failures.isEmpty()) {
            throw new InvariantException("guest memory stays mapped for devices: " + failures);
        }
    }

    /** What follows one block. Offsets become IOVAs and addresses of this process by adding. */
    private final class BlockListener implements RamDiscardListener {
        private final RamDiscardManager discards;
        private final long iova;
        private final long hva;
        private final boolean whole;

        BlockListener(RamDiscardManager discards, long iova, long hva, boolean whole) {
            this.discards = discards;
            this.iova = iova;
            this.hva = hva;
            this.whole = whole;
        }

        @Override
        public Outcome populate(long offset, long size) {
            Outcome outcome = whole
                    ? mapExtent(hva + offset, iova + offset, size)
                    : strategy.map(hva + offset, iova + offset, size, counters);
            if (outcome.isDone()) {
                record(iova + offset, size, true);
            }
            return outcome;
        }

        @Override
        public Outcome discard(long offset, long size) {
            return unmap(hva - iova, iova + offset, size);
        }
    }

    private Outcome mapExtent(long hva, long iova, long length) {
        try {
            counters.mapIoctl();
            strategy.ioas().map(hva, iova, length, Ioas.READ | Ioas.WRITE);
            return Outcome.done();
        } catch (SyscallException refused) {
            return refused(refused);
        }
    }

    /**
     * Unmaps what the books say is mapped in a range, in one ioctl.
     *
     * @param hvaOfIova what to add to an IOVA to get the address in this process
     */
    private Outcome unmap(long hvaOfIova, long iova, long length) {
        List<RamSection> runs = mappedRuns(iova, length);
        if (runs.isEmpty()) {
            return Outcome.done();
        }
        long expected = 0;
        for (RamSection run : runs) {
            expected += run.size();
        }
        long start = runs.getFirst().offset();
        long end = runs.getLast().end();
        long unmapped;
        try {
            unmapped = strategy.unmap(start, end - start, counters);
        } catch (SyscallException failure) {
            return restore(hvaOfIova, runs, failure);
        }
        record(iova, length, false);
        if (unmapped != expected) {
            return new Outcome.Unsafe("unmapping IOVA [0x" + Long.toHexString(start) + ", 0x" + Long.toHexString(end)
                    + ") took out " + unmapped + " bytes where " + expected + " were mapped");
        }
        return Outcome.done();
    }

    /**
     * After an unmap that failed nobody knows which part of it was done. Mapping the range again tells: EEXIST says
     * that a page still is mapped, success that it was not and now is again.
     */
    private Outcome restore(long hvaOfIova, List<RamSection> runs, SyscallException failure) {
        try {
            for (RamSection run : runs) {
                restore(hvaOfIova, run.offset(), run.size());
            }
        } catch (SyscallException second) {
            return new Outcome.Unsafe(failure.getMessage() + "; and mapping it again: " + second.getMessage());
        }
        return refused(failure);
    }

    /** Tries the range as one, then its halves: an area that is wholly gone comes back with one ioctl. */
    private void restore(long hvaOfIova, long iova, long length) {
        boolean onePage = length == PAGE;
        if (onePage || strategy instanceof CutStrategy) {
            try {
                counters.mapIoctl();
                strategy.ioas().map(iova + hvaOfIova, iova, length, Ioas.READ | Ioas.WRITE);
                return;
            } catch (SyscallException refused) {
                if (refused.errno() != Errno.EEXIST) {
                    throw refused;
                }
            }
        }
        if (!onePage) {
            long half = length / 2 & -PAGE;
            restore(hvaOfIova, iova, half);
            restore(hvaOfIova, iova + half, length - half);
        }
    }

    private synchronized List<RamSection> mappedRuns(long iova, long length) {
        List<RamSection> runs = new ArrayList<>();
        mapped.forEach(iova, length, (from, size) -> runs.add(new RamSection(from, size)));
        return runs;
    }

    private synchronized void record(long iova, long length, boolean isMapped) {
        long before = mapped.bytes();
        if (isMapped) {
            mapped.add(iova, length);
        } else {
            mapped.remove(iova, length);
        }
        counters.mapped(mapped.bytes() - before);
    }

    /** A refused ioctl as the answer of a listener. */
    static Outcome refused(SyscallException refused) {
        String hint = refused.hint();
        String message = String.valueOf(refused.getMessage());
        return new Outcome.Refused(refused.errno(), hint == null ? message : message + "; " + hint);
    }
}
