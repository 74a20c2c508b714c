// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vfio;

import dev.alcove.discard.Hva;
import dev.alcove.discard.Iova;
import dev.alcove.discard.Outcome;
import dev.alcove.discard.RamDiscardManager;
import dev.alcove.discard.RamSection;
import dev.alcove.discard.RangeSet;
import dev.alcove.iommufd.IovaRange;
import dev.alcove.sys.Errno;
import dev.alcove.sys.InvariantException;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * Keeps an I/O address space equal to the populated parts of the guest's RAM: what is private, no device can reach.
 * The IOVA of a page is its guest physical address, its memory the shared side of its block.
 *
 * <p>Locking: the object's monitor protects the list of blocks, and is never held over an ioctl. The books of a block
 * need no lock: conversions of ranges without a common page run side by side, and overlapping ones are excluded by the
 * discard manager's callers.
 */
public final class VfioDmaMapper implements AutoCloseable {
    private final MapStrategy strategy;
    private final long guestBytes;
    private final MapCounters counters = new MapCounters();
    /** The number of mappings that the kernel had room for at first. */
    private final long limit;

    private final List<MappedBlock> blocks = new ArrayList<>();

    /**
     * A mapper without blocks.
     *
     * @param strategy whose address space nobody else changes
     * @param guestBytes of all RAM that there will be, for advice; 0 where it is not known
     */
    public VfioDmaMapper(MapStrategy strategy, long guestBytes) {
        this.strategy = strategy;
        this.guestBytes = guestBytes;
        this.limit = strategy.space().mappingsLeft();
    }

    /** A mapper that does not know yet how much RAM there will be. */
    public VfioDmaMapper(MapStrategy strategy) {
        this(strategy, 0);
    }

    public MapStrategy strategy() {
        return strategy;
    }

    public MapCounters counters() {
        return counters;
    }

    /** IOVAs that are mapped, as an independent copy. The moment of one answer only while no conversion runs. */
    public synchronized RangeSet mapped() {
        RangeSet all = new RangeSet();
        blocks.forEach(block -> block.forEachMapped(all::add));
        return all;
    }

    /**
     * What a person should know before the guest runs: that the kernel's limit of mappings is too low for a guest that
     * shares all its memory, and what to set. Empty where all is well.
     */
    public Optional<String> forecast() {
        long most = mostMappings();
        return most <= limit
                ? Optional.empty()
                : Optional.of("the kernel takes " + limit + " mappings, and a guest that shares all its memory can need "
                        + most + ": " + strategy.space().raiseLimit(most));
    }

    /** Blocks of which nothing is ever discarded take one each. */
    private synchronized long mostMappings() {
        boolean whole = !blocks.isEmpty() && blocks.stream().allMatch(MappedBlock::isWhole);
        return whole ? blocks.size() : strategy.mostMappings(allBytes());
    }

    private synchronized long allBytes() {
        return Math.max(guestBytes, blocks.stream().mapToLong(MappedBlock::size).sum());
    }

    /** {@link #add(RamDiscardManager, Iova, DmaSource)} of memory that is known by its address alone. */
    public Outcome add(RamDiscardManager discards, Iova iova, Hva hva) {
        return add(discards, iova, DmaSource.of(hva));
    }

    /**
     * Maps the populated parts of a block, and follows its changes from now on. A block that has no sources never
     * changes: it is mapped as one extent, whatever the strategy.
     *
     * @param discards of the block
     * @param iova where the block begins for devices
     * @param source its shared side
     * @return refused: nothing of the block is mapped
     */
    public Outcome add(RamDiscardManager discards, Iova iova, DmaSource source) {
        Outcome possible = reachable(iova.value(), discards.size());
        if (!possible.isDone()) {
            return possible;
        }
        MappedBlock block = new MappedBlock(this, discards, iova.value(), source);
        synchronized (this) {
            blocks.add(block);
        }
        Outcome outcome = discards.register(block, new RamSection(0, discards.size()));
        if (!outcome.isDone()) {
            synchronized (this) {
                blocks.remove(block);
            }
        }
        return outcome;
    }

    private Outcome reachable(long iova, long size) {
        List<IovaRange> ranges = strategy.space().reachable();
        if (ranges.isEmpty() || ranges.stream().anyMatch(range -> range.contains(iova, size))) {
            return Outcome.done();
        }
        return new Outcome.Refused(
                Errno.EINVAL,
                "guest memory at " + range(iova, size) + " meets addresses that the IOMMU reserves (on x86 the"
                        + " interrupts' 0xfee00000), or that it cannot translate: devices reach memory at " + ranges
                        + " only; lay the guest's RAM out around the rest");
    }

    /** Whether the kernel counts mappings and has no room for more of them; the answer of a listener then. */
    Outcome room(long mappings) {
        if (limit == DmaSpace.UNLIMITED) {
            return Outcome.done();
        }
        long left = strategy.space().mappingsLeft();
        return left >= mappings ? Outcome.done() : new Outcome.Refused(Errno.ENOSPC, "the kernel takes " + left
                + " more mappings of its " + limit + ", and this needs " + mappings + "; " + advice());
    }

    private String advice() {
        return strategy.space().raiseLimit(Math.max(limit + 1, mostMappings()));
    }

    /** Adds what a person can do for all of the guest's memory to the refusal of a part of it. */
    Outcome explain(Outcome outcome) {
        if (outcome instanceof Outcome.Refused refused && refused.errno() == Errno.ENOSPC && limit != DmaSpace.UNLIMITED) {
            return new Outcome.Refused(Errno.ENOSPC, refused.reason() + "; " + advice());
        }
        if (outcome instanceof Outcome.Refused refused && refused.errno() == Errno.ENOMEM) {
            return new Outcome.Refused(Errno.ENOMEM, refused.reason() + "; all memory of the guest has "
                    + (allBytes() >> 10) + " KiB, of which " + (counters.mappedBytes() >> 10) + " KiB are mapped");
        }
        return outcome;
    }

    /**
     * Unmaps all blocks, the last first.
     *
     * @throws InvariantException where the kernel refused an unmap: those blocks stay, and are followed as before; the
     *     rest is unmapped
     */
    @Override
    public void close() {
        Map<MappedBlock, Outcome> refused = unmapAll();
        if (!refused.isEmpty()) {
            throw new InvariantException("guest memory stays mapped for devices: " + refused.values());
        }
    }

    /**
     * Unmaps all blocks, and closes the address space. What the kernel refuses to unmap goes with the space: nobody
     * converts memory of such a block meanwhile, so nothing private is mapped at any moment.
     *
     * @param space closes the address space, with which all its mappings go
     */
    public void closeWith(Runnable space) {
        List<MappedBlock> refused = unmapAll().keySet().stream()
                .sorted(Comparator.comparingLong(MappedBlock::iova))
                .toList();
        try {
            closeAlone(refused, space);
        } finally {
            synchronized (this) {
                blocks.removeAll(refused);
            }
        }
    }

    /** Excludes changes of one block after the other, in their order, and then closes the space. */
    private static void closeAlone(List<MappedBlock> left, Runnable space) {
        if (left.isEmpty()) {
            space.run();
            return;
        }
        MappedBlock block = left.getFirst();
        block.discards().forget(block, () -> {
            closeAlone(left.subList(1, left.size()), space);
            block.forgetMappings();
        });
    }

    /** Unmaps and forgets blocks; the answer is those that stay, and why. */
    private Map<MappedBlock, Outcome> unmapAll() {
        List<MappedBlock> open;
        synchronized (this) {
            open = List.copyOf(blocks).reversed();
        }
        Map<MappedBlock, Outcome> refused = new LinkedHashMap<>();
        for (MappedBlock block : open) {
            Outcome outcome = block.discards().unregister(block);
            if (!outcome.isDone()) {
                refused.put(block, outcome);
            }
        }
        synchronized (this) {
            blocks.removeIf(block -> open.contains(block) && !refused.containsKey(block));
        }
        return refused;
    }

    static String range(long iova, long length) {
        return "iova [0x" + Long.toHexString(iova) + ", 0x" + Long.toHexString(iova + length) + ")";
    }
}
