// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommufd;

import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;

/** The kernel's choice of an IOVA: the first hole that fits, in ascending order ({@code iopt_alloc_iova}). */
final class IovaAllocator {
    /** Bytes of a huge page: no choice is aligned better than that. */
    private static final long HPAGE_SIZE = 1L << 21;

    private static final long LAST = -1L - Linux.PAGE_SIZE;

    private final IntervalTree<?> allowed;
    private final IntervalTree<?> reserved;
    private final Intervals<?> areas;
    private final long length;
    private final long pageOffset;
    private long alignment;
    private long found;

    private IovaAllocator(
            IntervalTree<?> allowed, IntervalTree<?> reserved, Intervals<?> areas, long length, long pageOffset) {
        this.allowed = allowed;
        this.reserved = reserved;
        this.areas = areas;
        this.length = length;
        this.pageOffset = pageOffset;
    }

    /**
     * Finds a place. IOVA 0 is never chosen.
     *
     * @param allowed where to look; everywhere when it is empty
     * @param address whose offset in its page, and whose alignment up to 2 MiB, the IOVA keeps
     * @param least the alignment that every area needs
     * @param iova receives the IOVA in element 0
     * @return 0; {@code -EOVERFLOW} too long; {@code -EINVAL} the address is not aligned enough; {@code -ENOSPC}
     */
    static int allocate(
            IntervalTree<?> allowed,
            IntervalTree<?> reserved,
            Intervals<?> areas,
            long address,
            long length,
            long least,
            long[] iova) {
        if (length <= 0 || length == Long.MAX_VALUE) {
            return -Errno.EOVERFLOW;
        }
        long rounded = length == 1 ? 1 : Long.highestOneBit(length - 1) << 1;
        if (address != 0 && Long.compareUnsigned(Long.lowestOneBit(address), rounded) < 0) {
            rounded = Long.lowestOneBit(address);
        }
        if (Long.compareUnsigned(rounded, HPAGE_SIZE) > 0) {
            rounded = HPAGE_SIZE;
        }
        if (rounded < least) {
            return -Errno.EINVAL;
        }
        IovaAllocator search =
                new IovaAllocator(allowed, reserved, areas, length, address & Linux.PAGE_SIZE - 1);
        search.alignment = rounded;
        return search.run(iova) ? 0 : -Errno.ENOSPC;
    }

    private boolean run(long[] iova) {
        found = 0;
        if (allowed.isEmpty()) {
            searchIn(Linux.PAGE_SIZE, LAST);
        } else {
            for (long at = Linux.PAGE_SIZE; found == 0; ) {
                IntervalTree.Span<?> span = allowed.first(at, LAST);
                if (span == null) {
                    break;
                }
                long first = Long.compareUnsigned(span.first, at) > 0 ? span.first : at;
                long last = lastOf(span);
                searchIn(first, Long.compareUnsigned(last, LAST) < 0 ? last : LAST);
                if (Long.compareUnsigned(last, LAST) >= 0) {
                    break;
                }
                at = last + 1;
            }
        }
        iova[0] = found;
        return found != 0;
    }

    /** The last IOVA of an allowed range and of those that touch it: together they are one. */
    private long lastOf(IntervalTree.Span<?> span) {
        long last = span.last;
        for (IntervalTree.Span<?> next = span; next != null && last != -1; next = allowed.first(last + 1, last + 1)) {
            last = next.last;
        }
        return last;
    }

    private void searchIn(long from, long to) {
        if (Long.compareUnsigned(to - from, length - 1) < 0) {
            return;
        }
        reserved.holes(from, to, (first, last) -> {
            areas.holes(first, last, this::tryHole);
            return found == 0;
        });
    }

    private boolean tryHole(long first, long last) {
        long start = first + alignment - 1 & -alignment;
        if (Long.compareUnsigned(start, first) < 0) {
            return true;
        }
        start |= pageOffset;
        if (Long.compareUnsigned(start, last) < 0 && Long.compareUnsigned(last - start, length - 1) >= 0) {
            found = start;
            return false;
        }
        return true;
    }
}
