// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.kvm;

import dev.alcove.bindings.kvm.kvm_dirty_gfn;
import dev.alcove.sys.Linux;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.VarHandle;

/**
 * The dirty ring of one vCPU ({@code struct kvm_dirty_ring}): pages that it has written, as user space collects them.
 *
 * <p>The vCPU's thread pushes, with the mmu lock held; whoever holds the machine's slots lock resets. The entries are
 * shared with user space, which may write what it likes.
 */
final class DirtyRing {
    /** Page offset of the ring in the vCPU's mapping (KVM_DIRTY_LOG_PAGE_OFFSET). */
    static final int PAGE_OFFSET = 64;

    /** Bytes at most: 65536 entries. */
    static final int MOST_BYTES = 65536 * (int) kvm_dirty_gfn.sizeof();

    /** Entries that are kept free for what one exit may write. */
    static final int RESERVED = 64;

    private static final int ENTRY = (int) kvm_dirty_gfn.sizeof();
    private static final int PER_PAGE = Linux.PAGE_SIZE / ENTRY;
    private static final int DIRTY = 1;
    private static final int RESET = 2;
    private static final VarHandle FLAGS = ValueLayout.JAVA_INT.varHandle();

    private final MemorySegment[] pages;
    private final int entries;

    /** Both count up for ever. */
    private volatile int dirtyIndex;

    private volatile int resetIndex;

    DirtyRing(MemorySegment[] pages) {
        this.pages = pages;
        this.entries = pages.length * PER_PAGE;
    }

    /** Whether no room is left but the reserved one: the vCPU has to wait for a reset. */
    boolean softFull() {
        return dirtyIndex - resetIndex >= entries - RESERVED;
    }

    /** Notes a page of a slot. */
    @SuppressWarnings("NonAtomicVolatileUpdate") // one thread pushes
    void push(int slot, long offset) {
        MemorySegment page = page(dirtyIndex);
        long at = offset(dirtyIndex);
        page.set(ValueLayout.JAVA_INT, at + kvm_dirty_gfn.slot$offset(), slot);
        page.set(ValueLayout.JAVA_LONG, at + kvm_dirty_gfn.offset$offset(), offset);
        FLAGS.setRelease(page, at + kvm_dirty_gfn.flags$offset(), DIRTY);
        dirtyIndex++;
    }

    /**
     * Takes the oldest entry out if user space has collected it.
     *
     * @param taken receives the slot's number and the page in it
     */
    @SuppressWarnings("NonAtomicVolatileUpdate") // one thread resets
    boolean reset(Entry taken) {
        MemorySegment page = page(resetIndex);
        long at = offset(resetIndex);
        if (((int) FLAGS.getAcquire(page, at + kvm_dirty_gfn.flags$offset()) & RESET) == 0) {
            return false;
        }
        int slot = page.get(ValueLayout.JAVA_INT, at + kvm_dirty_gfn.slot$offset());
        long offset = page.get(ValueLayout.JAVA_LONG, at + kvm_dirty_gfn.offset$offset());
        FLAGS.setRelease(page, at + kvm_dirty_gfn.flags$offset(), 0);
        resetIndex++;
        taken.page(slot, offset);
        return true;
    }

    /** What {@link #reset} tells of an entry. */
    interface Entry {
        void page(int slot, long offset);
    }

    private MemorySegment page(int index) {
        return pages[(index & entries - 1) / PER_PAGE];
    }

    private static long offset(int index) {
        return (long) (index & PER_PAGE - 1) * ENTRY;
    }
}
