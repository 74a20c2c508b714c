// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.mm;

import dev.alcove.sys.Errno;
import java.lang.foreign.MemorySegment;
import org.jspecify.annotations.Nullable;

/**
 * An address space as the drivers see it ({@code mm_struct}): faults, long-term pins, notifiers, accounts. Compared by
 * identity. {@link AddressSpace} is that of a process in this JVM; one of a process elsewhere finds out where its
 * frames are by other means.
 */
public abstract class Mm {
    private final LockedMemory pinned = new LockedMemory();
    private final LockedMemory locked = new LockedMemory();

    /**
     * The frame behind a user address, faulted in ({@code hva_to_pfn}); no reference is taken: the caller must be
     * registered as a notifier or drop the answer before it returns to user space.
     *
     * @return the frame; {@code -EFAULT} where nothing, or a device, is mapped, or the right lacks, or SIGBUS would
     *     come; {@code -ENOMEM}
     */
    public abstract long faultIn(long address, boolean write);

    /**
     * Whether a write by the user would go through without a fault: the page is there and may be written. One that was
     * never touched is not there: Linux shows a page of zeroes to those who only read it.
     */
    public boolean writableNow(long address) {
        return false;
    }

    /** The device registers mapped at a user address, or null when memory or nothing is there. */
    public abstract @Nullable DevicePage deviceAt(long address);

    /**
     * pin_user_pages(FOLL_LONGTERM): pins the frames behind consecutive pages.
     *
     * @param address page aligned
     * @param frames receives the frame numbers from element {@code at} on
     * @return how many pages were pinned, at least one, or {@code -EFAULT} or {@code -ENOMEM}
     */
    public abstract int pin(long address, int count, boolean write, long[] frames, int at);

    /** Undoes one pin of each of {@code count} frames from {@code pfn} on. */
    public abstract void unpin(long pfn, long count);

    /** copy_from_user: 0, or {@code -EFAULT} with a part copied. */
    public abstract int copyIn(long address, MemorySegment into);

    /** copy_to_user: 0, or {@code -EFAULT} with a part copied. */
    public abstract int copyOut(long address, MemorySegment from);

    /** Registers somebody who caches translations. */
    public abstract void register(MmuNotifier notifier);

    /** Ends a registration; no call comes afterwards. */
    public abstract void unregister(MmuNotifier notifier);

    /** Whether the process is gone (its last thread ended): nothing can be faulted in any more. */
    public abstract boolean gone();

    /**
     * Charges pages to {@code pinned_vm} (VmPin) of this address space.
     *
     * @param limitPages the limit, -1 for none
     * @return 0 or {@link Errno#ENOMEM} negated, with nothing charged
     */
    public final int chargePinned(long pages, long limitPages) {
        return pinned.charge(pages, limitPages);
    }

    /** Undoes {@link #chargePinned}. */
    public final void unchargePinned(long pages) {
        pinned.uncharge(pages);
    }

    /** Pages charged now ({@code VmPin}). */
    public final long pinnedPages() {
        return pinned.pages();
    }

    /** {@code locked_vm} of this address space (VmLck), for those who account per process. */
    public final LockedMemory locked() {
        return locked;
    }
}
