// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommufd;

import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;

/** The memory of a hardware queue, held through an access of iommufd's own so that it can neither move nor be unmapped. */
final class QueuePin {
    /** What an array of pointers to pages may take (INT_MAX), in pages. */
    private static final long MOST_PAGES = Integer.MAX_VALUE / Long.BYTES;

    /** Pages from which on it is worth a look whether they are mapped, before there is an array of them. */
    private static final long MANY_PAGES = 1 << 16;

    private final IommufdAccess access;
    private final long iova;
    private final long length;
    private final long address;

    private QueuePin(IommufdAccess access, long iova, long length, long address) {
        this.access = access;
        this.iova = iova;
        this.length = length;
        this.address = address;
    }

    /**
     * Pins a range, which must be contiguous memory.
     *
     * @param length from 1; the range does not wrap
     * @return a refusal with {@code ERANGE} when it ends in the last page, {@code ENOMEM}, {@code ENOENT} a hole,
     *     {@code EPERM} not readable, {@code EADDRINUSE} and {@code EINVAL} areas that are not page aligned, {@code EFAULT}
     *     not contiguous, or what pinning answers
     */
    static DriverOutcome<QueuePin> pin(IommufdContext context, Ioas ioas, long iova, long length) {
        long first = iova & -Linux.PAGE_SIZE;
        long offset = iova - first;
        long whole = offset + length + Linux.PAGE_SIZE - 1;
        boolean wraps = Long.compareUnsigned(offset + length, length) < 0 || Long.compareUnsigned(whole, length) < 0;
        long pages = whole >>> Linux.PAGE_SHIFT;
        if (wraps) {
            return new DriverOutcome.Refused<>(Errno.ERANGE);
        }
        if (pages > MOST_PAGES || !context.module().allocator().charge("hw queue pages")) {
            return new DriverOutcome.Refused<>(Errno.ENOMEM);
        }
        IommufdAccess access = context.newInternalAccess();
        if (access == null) {
            return new DriverOutcome.Refused<>(Errno.ENOMEM);
        }
        int error = access.attach(ioas);
        if (error == 0) {
            boolean mapped = pages <= MANY_PAGES || ioas.table.mapped().isMapped(first, pages << Linux.PAGE_SHIFT);
            long[] frames = new long[mapped ? (int) pages : 0];
            error = mapped ? access.pinPages(first, pages << Linux.PAGE_SHIFT, frames, false) : -Errno.ENOENT;
            if (error == 0) {
                long address = (frames[0] << Linux.PAGE_SHIFT) + offset;
                QueuePin pin = new QueuePin(access, first, pages << Linux.PAGE_SHIFT, address);
                if (contiguous(frames)) {
                    return new DriverOutcome.Made<>(pin);
                }
                pin.release();
                return new DriverOutcome.Refused<>(Errno.EFAULT);
            }
        }
        access.end();
        return new DriverOutcome.Refused<>(-error);
    }

    private static boolean contiguous(long[] frames) {
        for (int i = 1; i < frames.length; i++) {
            if (frames[i] != frames[i - 1] + 1) {
                return false;
            }
        }
        return true;
    }

    /** Where the range begins, for hardware that does without a page table. */
    long address() {
        return address;
    }

    void release() {
        access.unpinPages(iova, length);
        access.end();
    }
}
