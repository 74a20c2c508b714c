// SPDX-License-Identifier: Apache-2.0
package dev.alcove.memory;

import dev.alcove.discard.GpaRange;
import dev.alcove.discard.Waiting;
import dev.alcove.kvm.Vm;
import dev.alcove.memory.SharedBacking.FilePlace;
import dev.alcove.sys.AlcoveException;
import dev.alcove.sys.BadInputException;
import dev.alcove.sys.Syscalls;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;

/**
 * The RAM of a guest, and what of it the VMM may touch.
 *
 * <p>The list of blocks never changes, so looking something up takes no lock. Reading and writing goes to the shared
 * side only; a private page is refused. A page that becomes private at the very moment of an access costs one stale
 * page of shared memory and shows nothing private.
 *
 * <p>Close it after everything that uses its memory (vCPUs, devices, IOMMU mappings) and before the VM.
 */
public final class GuestMemory implements AutoCloseable {
    private final Vm vm;
    private final AddressSpace space;
    private final RamLayout layout;
    private final boolean confidential;
    private final Waiting waiting;
    /** Ascending by address. */
    private final List<RamBlock> blocks = new ArrayList<>();

    private GuestMemory(Vm vm, RamLayout layout, boolean confidential, Waiting waiting) {
        this.vm = vm;
        this.space = new AddressSpace(vm);
        this.layout = layout;
        this.confidential = confidential;
        this.waiting = waiting;
    }

    /** As {@link #create(Vm, RamLayout, MemoryConfig, boolean)}, with a memfd and the strategy dual. */
    public static GuestMemory create(Vm vm, RamLayout layout, boolean confidential) {
        return create(vm, layout, MemoryConfig.of(layout.bytes()), confidential);
    }

    /** As {@link #create(Vm, RamLayout, MemoryConfig, boolean, Waiting)}; the operating system lets threads wait. */
    public static GuestMemory create(Vm vm, RamLayout layout, MemoryConfig config, boolean confidential) {
        return create(vm, layout, config, confidential, Waiting.PARK);
    }

    /**
     * Makes an address space, all blocks, and puts them there. When one fails, those before it are taken back.
     *
     * @param config what the blocks are made of; where they lie says the layout
     * @param confidential whether pages can be private; all of them begin as shared
     * @param waiting how a thread waits for changes that others make of a block
     * @throws AlcoveException what the kernel refused
     */
    public static GuestMemory create(
            Vm vm, RamLayout layout, MemoryConfig config, boolean confidential, Waiting waiting) {
        GuestMemory memory = new GuestMemory(vm, layout, confidential, waiting);
        try {
            for (GpaRange range : layout.blocks()) {
                memory.add(range, config);
            }
            return memory;
        } catch (RuntimeException failure) {
            try {
                memory.close();
            } catch (RuntimeException second) {
                failure.addSuppressed(second);
            }
            throw failure;
        }
    }

    private void add(GpaRange range, MemoryConfig config) {
        String name = "ram" + blocks.size();
        long before = blocks.stream().mapToLong(block -> block.range().size()).sum();
        RamBlock block = RamBlock.of(
                name, range, backing(config, name, range.size(), new FilePlace(before, layout.bytes())), waiting);
        try {
            space.add(region(block));
        } catch (RuntimeException failure) {
            block.close();
            throw failure;
        }
        blocks.add(block);
    }

    private MemoryBacking backing(MemoryConfig config, String name, long size, FilePlace place) {
        if (confidential && config.strategy() == MemoryConfig.Strategy.IN_PLACE) {
            return InPlaceBacking.create(vm, config.backend(), name, size);
        }
        return confidential
                ? DualBacking.create(vm, config.backend(), name, size, place)
                : SharedBacking.create(vm.syscalls(), config.backend(), name, size, place);
    }

    private static MemoryRegion region(RamBlock block) {
        return MemoryRegion.ram(block.name(), block.range(), block.backing().content());
    }

    /** The guest's address space, in which the blocks are. */
    public AddressSpace addressSpace() {
        return space;
    }

    /** The blocks, ascending by address. */
    public List<RamBlock> blocks() {
        return List.copyOf(blocks);
    }

    /** Where RAM lies. */
    public RamLayout layout() {
        return layout;
    }

    /** Whether pages can be private. */
    public boolean confidential() {
        return confidential;
    }

    /** All RAM in bytes. */
    public long bytes() {
        return layout.bytes();
    }

    /** Bytes that are private now. */
    public long privateBytes() {
        return blocks.stream().mapToLong(RamBlock::privateBytes).sum();
    }

    /** What the guest's memory takes of the host's now: some system calls, none of which looks at each page. */
    public MemoryUsage usage() {
        Syscalls syscalls = vm.syscalls();
        return new MemoryUsage(
                known(Residency.sum(syscalls, sources(MemoryBacking::sharedResidency), false)),
                known(Residency.sum(syscalls, sources(MemoryBacking::privateResidency), true)),
                known(Residency.pinned(syscalls)));
    }

    private List<Residency.Source> sources(Function<MemoryBacking, Residency.Source> side) {
        return blocks.stream().map(block -> side.apply(block.backing())).toList();
    }

    private static @Nullable Long known(OptionalLong bytes) {
        return bytes.isPresent() ? bytes.getAsLong() : null;
    }

    /** The block that holds an address. */
    public Optional<RamBlock> blockAt(long gpa) {
        return Optional.ofNullable(find(gpa));
    }

    private @Nullable RamBlock find(long gpa) {
        int low = 0;
        int high = blocks.size() - 1;
        while (low <= high) {
            int middle = (low + high) >>> 1;
            GpaRange range = blocks.get(middle).range();
            if (gpa < range.start().value()) {
                high = middle - 1;
            } else if (gpa >= range.end()) {
                low = middle + 1;
            } else {
                return blocks.get(middle);
            }
        }
        return null;
    }

    /**
     * The shared side of a range, whether or not it is shared now: for a loader that fills memory before the guest runs.
     *
     * @param gpa any 64-bit number
     * @param length bytes; 0 gives an empty segment
     * @throws BadInputException where the range is not inside one block
     */
    public MemorySegment shared(long gpa, long length) {
        RamBlock block = find(gpa);
        if (block == null || length < 0 || length > block.range().end() - gpa) {
            throw outside(gpa, length);
        }
        return block.shared().asSlice(gpa - block.range().start().value(), length);
    }

    /**
     * Copies shared memory of the guest. The range may cross blocks that touch.
     *
     * @throws BadInputException where a part is private or not RAM; then nothing was copied
     */
    public void read(long gpa, MemorySegment target) {
        copy(gpa, target, false);
    }

    /**
     * Copies into shared memory of the guest. The range may cross blocks that touch.
     *
     * @throws BadInputException where a part is private or not RAM; then nothing was copied
     */
    public void write(long gpa, MemorySegment source) {
        copy(gpa, source, true);
    }

    private void copy(long gpa, MemorySegment buffer, boolean toGuest) {
        for (long done = 0; done < buffer.byteSize(); ) {
            done += part(gpa, done, buffer.byteSize(), true).byteSize();
        }
        for (long done = 0; done < buffer.byteSize(); ) {
            MemorySegment guest = part(gpa, done, buffer.byteSize(), false);
            MemorySegment ours = buffer.asSlice(done, guest.byteSize());
            if (toGuest) {
                guest.copyFrom(ours);
            } else {
                ours.copyFrom(guest);
            }
            done += guest.byteSize();
        }
    }

    /** What one block has of a copy, from where the copy stands. */
    private MemorySegment part(long gpa, long done, long length, boolean checkShared) {
        long at = gpa + done;
        RamBlock block = find(at);
        if (block == null) {
            throw outside(gpa, length);
        }
        long offset = at - block.range().start().value();
        long size = Math.min(length - done, block.range().size() - offset);
        if (checkShared && !block.isShared(offset, size)) {
            throw new BadInputException("guest memory " + text(gpa, length) + " is private in part or as a whole");
        }
        return block.shared().asSlice(offset, size);
    }

    private static BadInputException outside(long gpa, long length) {
        return new BadInputException("guest memory " + text(gpa, length) + " is not RAM in part or as a whole");
    }

    private static String text(long gpa, long length) {
        return "at 0x" + Long.toHexString(gpa) + ", " + length + " bytes,";
    }

    /** Takes the memslots away and frees all memory, the last block first, even where the kernel refuses a part. */
    @Override
    public void close() {
        RuntimeException first = null;
        while (!blocks.isEmpty()) {
            try (RamBlock block = blocks.removeLast()) {
                if (vm.fd() >= 0) {
                    space.remove(region(block));
                }
            } catch (RuntimeException failure) {
                first = first == null ? failure : first;
            }
        }
        if (first != null) {
            throw first;
        }
    }
}
