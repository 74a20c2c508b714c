// SPDX-License-Identifier: Apache-2.0
package dev.alcove.memory;

import dev.alcove.discard.GpaRange;
import dev.alcove.kvm.GuestMemfd;
import dev.alcove.sys.BadInputException;
import org.jspecify.annotations.Nullable;

/**
 * Something that lies at a place of the guest physical address space. Where regions overlap, the guest sees the one
 * with the highest priority; among equals, the one that was there first.
 *
 * @param name for messages
 * @param range whole pages
 * @param priority any number; RAM has {@link #RAM}, BARs of devices have {@link #DEVICE}
 */
public record MemoryRegion(String name, GpaRange range, int priority, Content content) {
    /** The priority of RAM: above that of a BAR, so that a guest that puts a BAR over its RAM keeps the RAM. */
    public static final int RAM = 1;

    /** The priority of devices. */
    public static final int DEVICE = 0;

    /** What is there. */
    public sealed interface Content {}

    /**
     * Memory of this process.
     *
     * @param hva of the first byte, a multiple of 4096
     * @param logDirty whether KVM keeps a dirty log of it (KVM_MEM_LOG_DIRTY_PAGES)
     * @param gmem where its private pages are, or null; excludes {@code logDirty}
     * @param gmemOffset of the first byte in that file
     */
    public record Ram(long hva, boolean logDirty, @Nullable GuestMemfd gmem, long gmemOffset) implements Content {
        public Ram {
            if (logDirty && gmem != null) {
                throw new BadInputException("KVM keeps no dirty log of memory with a guest_memfd");
            }
        }

        /** Memory without a private side and without a dirty log. */
        public static Ram of(long hva) {
            return new Ram(hva, false, null, 0);
        }
    }

    /** Memory that the guest only reads (KVM_MEM_READONLY): a write leaves to the VMM. */
    public record Rom(long hva) implements Content {}

    /** No memslot, whatever lies below: every access leaves to the VMM. */
    public record Hole() implements Content {}

    /**
     * A part of another region, shown a second time.
     *
     * @param offset where in the target this region begins, a multiple of 4096
     */
    public record Alias(MemoryRegion target, long offset) implements Content {}

    public MemoryRegion {
        if (!range.isAligned(RamLayout.PAGE)) {
            throw new BadInputException(name + " " + range + " is not made of whole 4096 byte pages");
        }
        if (content instanceof Alias(MemoryRegion target, long offset)
                && (offset < 0
                        || (offset & RamLayout.PAGE - 1) != 0
                        || offset > target.range().size() - range.size())) {
            throw new BadInputException(name + " " + range + " shows more than there is of " + target.name());
        }
    }

    /** Ordinary RAM. */
    public static MemoryRegion ram(String name, GpaRange range, Ram content) {
        return new MemoryRegion(name, range, RAM, content);
    }

    /** A part of a device that the guest reaches without an exit. */
    public static MemoryRegion device(String name, GpaRange range, long hva) {
        return new MemoryRegion(name, range, DEVICE, Ram.of(hva));
    }

    /** The same thing at another place. */
    public MemoryRegion at(GpaRange place) {
        return new MemoryRegion(name, place, priority, content);
    }
}
