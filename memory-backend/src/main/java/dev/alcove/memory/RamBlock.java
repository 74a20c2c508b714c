// SPDX-License-Identifier: Apache-2.0
package dev.alcove.memory;

import dev.alcove.discard.GpaRange;
import dev.alcove.discard.Hva;
import dev.alcove.discard.Outcome;
import dev.alcove.discard.PopulatedRanges;
import dev.alcove.discard.RamDiscardManager;
import dev.alcove.discard.Waiting;
import dev.alcove.sys.InvariantException;
import java.lang.foreign.MemorySegment;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/**
 * A contiguous piece of RAM at one place of the guest physical address space.
 *
 * <p>Private memory is implicit: a block of a confidential guest gets its guest_memfd and its private/shared state by
 * itself. Both begin as the kernel has them: everything is shared.
 */
public final class RamBlock implements AutoCloseable {
    private final String name;
    private final GpaRange range;
    private final MemoryBacking backing;
    private final RamDiscardManager discards;
    private final @Nullable PopulatedRanges state;

    private RamBlock(String name, GpaRange range, MemoryBacking backing, Waiting waiting) {
        this.name = name;
        this.range = range;
        this.backing = backing;
        this.discards = new RamDiscardManager(range.size(), waiting);
        this.state = backing.hasPrivateSide() ? new PopulatedRanges(range.size(), RamLayout.PAGE, true) : null;
        if (state != null && !(discards.addSource(state) instanceof Outcome.Done)) {
            throw new InvariantException("a RAM block without listeners was refused a source");
        }
    }

    /**
     * A block that the guest does not see yet.
     *
     * @param range whole pages
     * @param backing of that size; closed with the block
     * @param waiting how a thread waits for changes that others make of the block
     */
    static RamBlock of(String name, GpaRange range, MemoryBacking backing, Waiting waiting) {
        return new RamBlock(name, range, backing, waiting);
    }

    public String name() {
        return name;
    }

    /** Where the block lies. */
    public GpaRange range() {
        return range;
    }

    public MemoryBacking backing() {
        return backing;
    }

    /** Who uses which part of the shared side. */
    public RamDiscardManager discards() {
        return discards;
    }

    /** Which part is shared (populated) and which is private; empty where nothing can be private. */
    public Optional<PopulatedRanges> state() {
        return Optional.ofNullable(state);
    }

    /** The shared side. */
    public MemorySegment shared() {
        return backing.shared();
    }

    /** Where the shared side begins in this process. */
    public Hva hva() {
        return backing.hva();
    }

    /** Whether the whole part is shared. */
    public boolean isShared(long offset, long length) {
        return state == null || state.isPopulated(offset, length);
    }

    /** Bytes that are private. */
    public long privateBytes() {
        return state == null ? 0 : state.discardedBytes();
    }

    @Override
    public void close() {
        backing.close();
    }

    @Override
    public String toString() {
        return name + " " + range;
    }
}
