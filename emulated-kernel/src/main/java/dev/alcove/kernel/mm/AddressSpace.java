// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.mm;

import org.jspecify.annotations.Nullable;

/**
 * The address space of a process ({@code mm_struct}): its VMAs. Each VMA is also a real mapping in the JVM's process at
 * the same address, so that user code above the seam reads and writes the very frames.
 *
 * <p>Lock order: address space, then page store, then whatever an {@link MmuNotifier} takes (leaves), then frames.
 */
public final class AddressSpace {
    /**
     * The frame behind a user address, faulted in ({@code hva_to_pfn}); no reference is taken: the caller must be
     * registered as a notifier or drop the answer before it returns to user space.
     *
     * @return the frame; {@code -EFAULT} where nothing, or a device, is mapped, or the right lacks, or SIGBUS would come
     */
    public long faultIn(long address, boolean write) {
        throw new AssertionError();
    }

    /** The device registers mapped at a user address, or null when memory or nothing is there. */
    public @Nullable DevicePage deviceAt(long address) {
        throw new AssertionError();
    }

    /**
     * pin_user_pages(FOLL_LONGTERM): pins the frames behind consecutive pages.
     *
     * @param address page aligned
     * @param frames receives the frame numbers from element {@code at} on
     * @return how many pages were pinned, at least one, or {@code -EFAULT} or {@code -ENOMEM}
     */
    public int pin(long address, int count, boolean write, long[] frames, int at) {
        throw new AssertionError();
    }

    /** Undoes one pin of one frame. */
    public void unpin(long pfn) {}

    /** Registers somebody who caches translations. */
    public void register(MmuNotifier notifier) {}

    /** Ends a registration; no call comes afterwards. */
    public void unregister(MmuNotifier notifier) {}

    /**
     * Charges pages against the memory lock limit ({@code locked_vm} of the user, or {@code pinned_vm}).
     *
     * @param limitPages the limit, -1 for none
     * @return 0 or {@code -ENOMEM}, with nothing charged
     */
    public int chargePinned(long pages, long limitPages) {
        throw new AssertionError();
    }

    /** Undoes {@link #chargePinned}. */
    public void unchargePinned(long pages) {}

    /** Pages charged now ({@code VmPin}). */
    public long pinnedPages() {
        throw new AssertionError();
    }

    /** Whether the process is gone (its last thread ended): nothing can be faulted in any more. */
    public boolean gone() {
        throw new AssertionError();
    }
}
