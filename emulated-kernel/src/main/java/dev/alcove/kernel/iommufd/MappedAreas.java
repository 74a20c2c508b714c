// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommufd;

import dev.alcove.kernel.iommu.DirtySink;
import dev.alcove.kernel.iommu.IommuDomain;
import dev.alcove.kernel.iommufd.IntervalTree.Span;
import dev.alcove.kernel.iommufd.IoPageTable.Slice;
import dev.alcove.kernel.mm.Allocator;
import dev.alcove.sys.Errno;
import java.util.ArrayList;
import java.util.List;

/** What is mapped in an I/O address space, for those who only look. Each call shares the lock of the areas it looks at. */
final class MappedAreas {
    private final Allocator allocator;
    private final AreaTree areas;

    MappedAreas(Allocator allocator, AreaTree areas) {
        this.allocator = allocator;
        this.areas = areas;
    }

    /**
     * Takes references to the pages behind a range, for a copy.
     *
     * @return the error: {@code -EINVAL} empty, {@code -EOVERFLOW}, {@code -ENOENT} a hole or an area in transition
     */
    int slices(long iova, long length, List<Slice> slices) {
        if (length == 0) {
            return -Errno.EINVAL;
        }
        long last = iova + length - 1;
        if (Long.compareUnsigned(last, iova) < 0) {
            return -Errno.EOVERFLOW;
        }
        int hold = areas.lock().lockShared(iova, last);
        try {
            for (long at = iova; ; ) {
                Span<IopArea> span = areas.first(at, at);
                IopPages pages = span == null ? null : span.value.pages;
                boolean found = span != null && pages != null;
                if (span == null || pages == null || !allocator.charge("element of an iommufd copy")) {
                    slices.forEach(slice -> slice.pages().put());
                    slices.clear();
                    return found ? -Errno.ENOMEM : -Errno.ENOENT;
                }
                long end = Long.compareUnsigned(span.last, last) < 0 ? span.last : last;
                pages.get();
                slices.add(new Slice(pages, span.value.startByteOf(at), end - at + 1));
                if (end == last) {
                    return 0;
                }
                at = end + 1;
            }
        } finally {
            areas.lock().unlockShared(hold);
        }
    }

    /** Whether a range has no hole. */
    boolean isMapped(long iova, long length) {
        List<Slice> slices = new ArrayList<>();
        boolean mapped = slices(iova, length, slices) == 0;
        slices.forEach(slice -> slice.pages().put());
        return mapped;
    }

    /** Starts or ends the tracking of DMA through a domain that can; a start forgets what was dirty before. */
    void setDirtyTracking(IommuDomain domain, boolean on) {
        int hold = areas.lock().lockAllShared();
        try {
            if (on) {
                for (IopArea area : areas.values()) {
                    if (area.pages != null) {
                        domain.readDirty(area.iova, area.length(), true, (iova, length) -> {});
                    }
                }
            }
            domain.setTracking(on);
        } finally {
            areas.lock().unlockShared(hold);
        }
    }

    /**
     * Tells what DMA through a domain wrote to, up to the first hole in a range.
     *
     * @param clear whether it is forgotten
     */
    void readDirty(IommuDomain domain, long iova, long length, boolean clear, DirtySink sink) {
        long last = iova + length - 1;
        int hold = areas.lock().lockShared(iova, last);
        try {
            for (long at = iova; ; ) {
                Span<IopArea> span = areas.first(at, at);
                if (span == null || span.value.pages == null) {
                    return;
                }
                long end = Long.compareUnsigned(span.last, last) < 0 ? span.last : last;
                domain.readDirty(at, end - at + 1, clear, sink);
                if (end == last) {
                    return;
                }
                at = end + 1;
            }
        } finally {
            areas.lock().unlockShared(hold);
        }
    }

    /** The IOVA of the n-th area, with an offset; 0 when there are not so many. */
    long iovaOfNthArea(int n, long offset) {
        int hold = areas.lock().lockAllShared();
        try {
            List<IopArea> all = areas.values();
            return Integer.compareUnsigned(n, all.size()) < 0 ? all.get(n).iova + offset : 0;
        } finally {
            areas.lock().unlockShared(hold);
        }
    }

    /** What is mapped now, areas in transition left out. */
    List<IoasArea> snapshot() {
        int hold = areas.lock().lockAllShared();
        try {
            List<IoasArea> all = new ArrayList<>();
            for (IopArea area : areas.values()) {
                if (area.pages != null) {
                    all.add(new IoasArea(area.iova, area.last, area.rights));
                }
            }
            return all;
        } finally {
            areas.lock().unlockShared(hold);
        }
    }
}
