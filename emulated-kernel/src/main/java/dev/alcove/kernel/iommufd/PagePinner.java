// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommufd;

import dev.alcove.kernel.mm.Allocator;
import dev.alcove.sys.Errno;

/** Pins pages of one source for one piece of work, with the memory that this takes ({@code struct pfn_reader_user}). */
final class PagePinner {
    private final Allocator allocator;
    private final PageSource source;

    /** Whether what is pinned has a place to be told in. */
    private boolean hasArray;

    /** Of work that looks at a batch of pages after the other. */
    PagePinner(Allocator allocator, PageSource source) {
        this.allocator = allocator;
        this.source = source;
    }

    /** Of work that brings an array for all its pages; folios of a file need one besides. */
    static PagePinner into(Allocator allocator, PageSource source) {
        PagePinner pinner = new PagePinner(allocator, source);
        pinner.hasArray = source instanceof PageSource.User;
        return pinner;
    }

    /** Takes memory for batches: whether there is some. */
    boolean newBatch() {
        return temporary("iommufd batch");
    }

    private boolean temporary(String what) {
        return allocator.chargeIommufd("temporary memory") && allocator.charge(what);
    }

    /** As {@link PageSource#pin}; {@code -ENOMEM} at the first call, {@code -EFAULT} by fail_iommufd. */
    int pin(long index, int count, boolean write, long[] frames) {
        if (!hasArray && !temporary("iommufd pages to pin")) {
            return -Errno.ENOMEM;
        }
        hasArray = true;
        return allocator.chargeIommufd("pin of pages") ? source.pin(index, count, write, frames) : -Errno.EFAULT;
    }
}
