// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommufd;

import dev.alcove.kernel.iommu.IommuDomain;
import dev.alcove.kernel.iommufd.IntervalTree.Span;
import dev.alcove.sys.Linux;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import org.jspecify.annotations.Nullable;

/**
 * An interval of IOVAs and the slice of an {@link IopPages} behind it ({@code struct iopt_area}).
 *
 * <p>Locks: {@code pages} and the place in the IOVA tree under the page table's iova lock; {@code storage} and
 * {@code holder} under the lock of the pages. Who maps may {@link #publish} the pages of one area without the iova lock:
 * whoever has that lock then finds the area in transition still or whole already, and both are right.
 */
final class IopArea {
    private static final VarHandle PAGES;

    static {
        try {
            PAGES = MethodHandles.lookup().findVarHandle(IopArea.class, "pages", IopPages.class);
        } catch (ReflectiveOperationException e) {
            throw new ExceptionInInitializerError(e);
        }
    }

    final long iova;
    final long last;
    /** Offset in bytes of the area's start in its pages. */
    final long startByte;

    final int rights;

    /** Null while the area comes into being or goes away: nobody else may touch it then. */
    volatile @Nullable IopPages pages;

    /** The domain whose entries remember the frames; null when no domain has the area. */
    @Nullable IommuDomain storage;

    /** The area's entry among those that keep its pages pinned; set exactly when {@link #storage} is. */
    @Nullable Span<IopArea> holder;

    /** Pins of the kernel itself; under the iova lock and the lock of the pages, one of them for reading. */
    int accesses;

    /** Those of the pins above that keep the area from being unmapped. */
    int locks;

    /** Whether the kernel itself may not begin to use the area, as it is to be unmapped; under the iova lock. */
    boolean preventAccess;

    /** The area's entry in the IOVA tree. */
    @Nullable Span<IopArea> node;

    IopArea(long iova, long last, long startByte, int rights) {
        this.iova = iova;
        this.last = last;
        this.startByte = startByte;
        this.rights = rights;
    }

    /** Ends the transition of an area that has come into being; the caller is the one that may touch it. */
    void publish(IopPages whole) {
        PAGES.setRelease(this, whole);
    }

    long length() {
        return last - iova + 1;
    }

    /** Offset of the first byte in its page. */
    long pageOffset() {
        return startByte & Linux.PAGE_SIZE - 1;
    }

    long firstIndex() {
        return startByte >>> Linux.PAGE_SHIFT;
    }

    long lastIndex() {
        return (startByte + length() - 1) >>> Linux.PAGE_SHIFT;
    }

    /** The IOVA of a page's first byte that lies in the area. */
    long iovaOf(long index) {
        long pages = index - firstIndex();
        return pages == 0 ? iova : iova - pageOffset() + (pages << Linux.PAGE_SHIFT);
    }

    /** The IOVA behind a page's last byte that lies in the area. */
    long endOf(long index) {
        return index == lastIndex() ? last + 1 : iovaOf(index + 1);
    }

    /** Where the first byte of a page that lies in the area is in it. */
    long offsetIn(long index) {
        return index == firstIndex() ? pageOffset() : 0;
    }

    /** Offset in bytes of an IOVA in the pages. */
    long startByteOf(long address) {
        return startByte + (address - iova);
    }
}
