// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommufd;

import dev.alcove.kernel.file.MemoryFile;
import dev.alcove.kernel.file.OpenFile;
import dev.alcove.kernel.mm.Mm;
import dev.alcove.kernel.mm.PhysicalMemory;
import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;

/** Where the pages of an {@link IopPages} come from. */
sealed interface PageSource permits PageSource.User, PageSource.File, DmaBufSource {
    /**
     * Pins pages for good.
     *
     * @param index of the first page
     * @param frames receives the frame numbers from element 0 on
     * @return how many were pinned, at least one, or a negated errno
     */
    int pin(long index, int count, boolean write, long[] frames);

    /** Undoes one pin of each of {@code count} frames from {@code pfn} on. */
    void unpin(long pfn, long count);

    /** The byte address whose alignment a free choice of the IOVA keeps. */
    long address();

    /** Drops what keeps the source alive. */
    void close();

    /**
     * Memory of the process that called MAP, at the time of the pin.
     *
     * @param start page aligned
     * @param address as the caller gave it
     */
    record User(Mm mm, long start, long address) implements PageSource {
        @Override
        public int pin(long index, int count, boolean write, long[] frames) {
            if (mm.gone()) {
                return -Errno.EFAULT;
            }
            return mm.pin(start + (index << Linux.PAGE_SHIFT), count, write, frames, 0);
        }

        @Override
        public void unpin(long pfn, long count) {
            mm.unpin(pfn, count);
        }

        @Override
        public void close() {}
    }

    /**
     * Pages of a file; only shared memory (shmem) can be pinned.
     *
     * @param firstPage page of the file that is page 0 here
     * @param address byte offset as the caller gave it
     */
    record File(OpenFile file, PhysicalMemory memory, long firstPage, long address) implements PageSource {
        @Override
        public int pin(long index, int count, boolean write, long[] frames) {
            if (!(file instanceof MemoryFile shmem)
                    || firstPage + index + count > shmem.size() >>> Linux.PAGE_SHIFT) {
                return -Errno.EINVAL;
            }
            int pinned = shmem.store().pin(firstPage + index, count, frames, 0);
            return pinned >= 0 || pinned == -Errno.ENOMEM ? pinned : -Errno.EINVAL;
        }

        @Override
        public void unpin(long pfn, long count) {
            memory.unpin(pfn, count);
        }

        @Override
        public void close() {
            file.put();
        }
    }
}
