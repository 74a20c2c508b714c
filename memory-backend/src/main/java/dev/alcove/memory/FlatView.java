// SPDX-License-Identifier: Apache-2.0
package dev.alcove.memory;

import dev.alcove.bindings.kvm.kvm;
import dev.alcove.discard.GpaRange;
import dev.alcove.discard.RangeSet;
import dev.alcove.kvm.GuestMemfd;
import dev.alcove.kvm.Memslot;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;

/**
 * What regions amount to once it is decided which is seen where: disjoint ranges, ascending, that need a memslot each.
 * A pure function of the regions.
 */
public record FlatView(List<FlatRange> ranges) {
    /** KVM takes less than 2^31 pages in a slot; a region that is longer gets slots of this size. */
    static final long LARGEST_SLOT = 4L << 40;

    /**
     * A range that one memslot shows. The components are those of {@link Memslot}.
     *
     * @param gmemFd -1 without
     */
    public record FlatRange(long gpa, long size, long hva, int flags, int gmemFd, long gmemOffset) {
        long end() {
            return gpa + size;
        }

        /** The slot that shows it. */
        public Memslot slot(int number) {
            return new Memslot(number, flags, gpa, size, hva, gmemFd, gmemOffset);
        }

        /** The range of a slot. */
        public static FlatRange of(Memslot slot) {
            return new FlatRange(slot.gpa(), slot.size(), slot.hva(), slot.flags(), slot.gmemFd(), slot.gmemOffset());
        }
    }

    public FlatView {
        ranges = List.copyOf(ranges);
    }

    /**
     * The view of regions.
     *
     * @param regions in the order in which they came
     */
    public static FlatView of(List<MemoryRegion> regions) {
        List<MemoryRegion> byPriority = regions.stream()
                .sorted(Comparator.comparingInt(MemoryRegion::priority).reversed())
                .toList();
        RangeSet taken = new RangeSet();
        List<FlatRange> ranges = new ArrayList<>();
        for (MemoryRegion region : byPriority) {
            GpaRange range = region.range();
            taken.forEachGap(
                    range.start().value(), range.size(), (gpa, size) -> addPieces(ranges, region, gpa, size));
            taken.add(range.start().value(), range.size());
        }
        ranges.sort(Comparator.comparingLong(FlatRange::gpa));
        return new FlatView(ranges);
    }

    private static void addPieces(List<FlatRange> ranges, MemoryRegion region, long gpa, long size) {
        MemoryRegion source = region;
        long offset = gpa - region.range().start().value();
        while (source.content() instanceof MemoryRegion.Alias(MemoryRegion target, long from)) {
            source = target;
            offset += from;
        }
        for (long done = 0; done < size; done += LARGEST_SLOT) {
            add(ranges, source.content(), gpa + done, Math.min(LARGEST_SLOT, size - done), offset + done);
        }
    }

    private static void add(
            List<FlatRange> ranges, MemoryRegion.Content content, long gpa, long size, long offset) {
        switch (content) {
            case MemoryRegion.Ram(long hva, boolean logDirty, GuestMemfd gmem, long gmemOffset) -> {
                int dirty = logDirty ? (int) kvm.KVM_MEM_LOG_DIRTY_PAGES() : 0;
                ranges.add(
                        gmem == null
                                ? new FlatRange(gpa, size, hva + offset, dirty, -1, 0)
                                : new FlatRange(
                                        gpa,
                                        size,
                                        hva + offset,
                                        (int) kvm.KVM_MEM_GUEST_MEMFD(),
                                        gmem.fd(),
                                        gmemOffset + offset));
            }
            case MemoryRegion.Rom(long hva) ->
                ranges.add(new FlatRange(gpa, size, hva + offset, (int) kvm.KVM_MEM_READONLY(), -1, 0));
            case MemoryRegion.Hole() -> {}
            case MemoryRegion.Alias _ -> throw new IllegalStateException("aliases are followed by the caller");
        }
    }
}
