// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.vfio;

import dev.alcove.bindings.vfio.vfio;
import dev.alcove.kernel.iommu.IommuDomain;
import dev.alcove.kernel.task.Task;
import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.List;

/** The ioctls of a container that its IOMMU carries out: their structs, checked as in vfio_iommu_type1.c. */
final class Type1Commands {
    private static final int GET_INFO = 0x3b70;
    private static final int MAP_DMA = 0x3b71;
    private static final int UNMAP_DMA = 0x3b72;
    private static final int DIRTY_PAGES = 0x3b75;

    private static final int INFO_LEAST = 16;
    private static final int INFO_SIZE = 24;
    private static final int MIGRATION_SIZE = 32;
    private static final int AVAILABLE_SIZE = 12;
    private static final int RANGES_SIZE = 16;
    private static final int RANGE_SIZE = 16;
    private static final int MAP_SIZE = 32;
    private static final int UNMAP_SIZE = 24;
    private static final int BITMAP_SIZE = 24;
    private static final int DIRTY_SIZE = 8;
    private static final int DIRTY_RANGE_SIZE = 16;

    private static final int MAP_VADDR = vfio.VFIO_DMA_MAP_FLAG_VADDR();
    private static final int RIGHTS = IommuDomain.READ | IommuDomain.WRITE;
    private static final int UNMAP_DIRTY = vfio.VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP();
    private static final int UNMAP_ALL = vfio.VFIO_DMA_UNMAP_FLAG_ALL();
    private static final int UNMAP_VADDR = vfio.VFIO_DMA_UNMAP_FLAG_VADDR();
    private static final int DIRTY_START = vfio.VFIO_IOMMU_DIRTY_PAGES_FLAG_START();
    private static final int DIRTY_STOP = vfio.VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP();
    private static final int DIRTY_GET = vfio.VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP();

    private final Type1Iommu iommu;
    private final Task task;

    Type1Commands(Type1Iommu iommu, Task task) {
        this.iommu = iommu;
        this.task = task;
    }

    long execute(int request, long argument) {
        return switch (request) {
            case GET_INFO -> info(argument);
            case MAP_DMA -> map(argument);
            case UNMAP_DMA -> unmap(argument);
            case DIRTY_PAGES -> dirty(argument);
            default -> -Errno.ENOTTY;
        };
    }

    private long info(long argument) {
        UserStruct header = UserStruct.copyIn(task, argument, INFO_LEAST);
        if (header == null) {
            return -Errno.EFAULT;
        }
        if (header.shorterThan(INFO_LEAST)) {
            return -Errno.EINVAL;
        }
        long room = Integer.toUnsignedLong(header.word(0));
        InfoCapabilities capabilities = capabilities();
        int whole = INFO_SIZE + capabilities.size();
        MemorySegment info = MemorySegment.ofArray(new byte[INFO_SIZE]);
        info.set(ValueLayout.JAVA_INT_UNALIGNED, 0, header.word(0));
        info.set(ValueLayout.JAVA_INT_UNALIGNED, 4, vfio.VFIO_IOMMU_INFO_PGSIZES() | vfio.VFIO_IOMMU_INFO_CAPS());
        info.set(ValueLayout.JAVA_LONG_UNALIGNED, 8, iommu.pageSizes());
        if (room < whole) {
            info.set(ValueLayout.JAVA_INT_UNALIGNED, 0, whole);
        } else {
            if (task.memory().copyOut(argument + INFO_SIZE, capabilities.bytes()) != 0) {
                return -Errno.EFAULT;
            }
            info.set(ValueLayout.JAVA_INT_UNALIGNED, 16, INFO_SIZE);
        }
        return task.memory().copyOut(argument, info.asSlice(0, Math.min(room, INFO_SIZE)));
    }

    private InfoCapabilities capabilities() {
        InfoCapabilities chain = new InfoCapabilities(INFO_SIZE);
        MemorySegment migration = chain.add(vfio.VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION(), MIGRATION_SIZE);
        migration.set(ValueLayout.JAVA_LONG_UNALIGNED, 16, Linux.PAGE_SIZE);
        migration.set(ValueLayout.JAVA_LONG_UNALIGNED, 24, DirtyBitmap.MOST_BYTES);
        chain.add(vfio.VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL(), AVAILABLE_SIZE)
                .set(ValueLayout.JAVA_INT_UNALIGNED, 8, iommu.available());
        List<Type1Iommu.Range> ranges = iommu.ranges();
        MemorySegment list = chain.add(
                vfio.VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE(), RANGES_SIZE + RANGE_SIZE * ranges.size());
        list.set(ValueLayout.JAVA_INT_UNALIGNED, 8, ranges.size());
        for (int i = 0; i < ranges.size(); i++) {
            list.set(ValueLayout.JAVA_LONG_UNALIGNED, RANGES_SIZE + (long) RANGE_SIZE * i, ranges.get(i).first());
            list.set(ValueLayout.JAVA_LONG_UNALIGNED, RANGES_SIZE + (long) RANGE_SIZE * i + 8, ranges.get(i).last());
        }
        return chain;
    }

    private long map(long argument) {
        UserStruct map = UserStruct.copyIn(task, argument, MAP_SIZE);
        if (map == null) {
            return -Errno.EFAULT;
        }
        int flags = map.word(4);
        if (map.shorterThan(MAP_SIZE) || (flags & ~(RIGHTS | MAP_VADDR)) != 0) {
            return -Errno.EINVAL;
        }
        long address = map.quad(8);
        long iova = map.quad(16);
        long size = map.quad(24);
        if (size == 0) {
            return -Errno.EINVAL;
        }
        if (wraps(iova, size) || wraps(address, size)) {
            return iommu.overflow();
        }
        // The bits for reading and writing are the same here and in a page table entry.
        int rights = flags & RIGHTS;
        if ((rights != 0) == ((flags & MAP_VADDR) != 0)) {
            return -Errno.EINVAL;
        }
        return iommu.map(task, iova, size, address, rights);
    }

    private static boolean wraps(long first, long size) {
        return Long.compareUnsigned(first + size - 1, first) < 0;
    }

    private long unmap(long argument) {
        UserStruct unmap = UserStruct.copyIn(task, argument, UNMAP_SIZE);
        if (unmap == null) {
            return -Errno.EFAULT;
        }
        int flags = unmap.word(4);
        boolean dirty = (flags & UNMAP_DIRTY) != 0;
        boolean all = (flags & UNMAP_ALL) != 0;
        boolean vaddr = (flags & UNMAP_VADDR) != 0;
        if (unmap.shorterThan(UNMAP_SIZE)
                || (flags & ~(UNMAP_DIRTY | UNMAP_ALL | UNMAP_VADDR)) != 0
                || (dirty && (all || vaddr))) {
            return -Errno.EINVAL;
        }
        long iova = unmap.quad(8);
        long size = unmap.quad(16);
        UserBitmap bitmap = null;
        if (dirty) {
            if (unmap.shorterThan(UNMAP_SIZE + BITMAP_SIZE)) {
                return -Errno.EINVAL;
            }
            UserStruct tail = UserStruct.copyIn(task, argument + UNMAP_SIZE, BITMAP_SIZE);
            if (tail == null) {
                return -Errno.EFAULT;
            }
            bitmap = UserBitmap.of(tail, 0);
            if (!bitmap.fits(size)) {
                return -Errno.EINVAL;
            }
        }
        if ((iova & Linux.PAGE_SIZE - 1) != 0
                || (all ? iova != 0 || size != 0 : size == 0 || (size & Linux.PAGE_SIZE - 1) != 0)) {
            return -Errno.EINVAL;
        }
        if (!all && wraps(iova, size)) {
            return iommu.overflow();
        }
        long[] unmapped = new long[1];
        int error = iommu.unmap(task, new Type1Iommu.Unmap(iova, all ? -1 : iova + size - 1, all, vaddr, bitmap), unmapped);
        if (error != 0) {
            return error;
        }
        unmap.setQuad(16, unmapped[0]);
        return unmap.copyOut();
    }

    private long dirty(long argument) {
        if (!iommu.v2()) {
            return -Errno.EACCES;
        }
        UserStruct call = UserStruct.copyIn(task, argument, DIRTY_SIZE);
        if (call == null) {
            return -Errno.EFAULT;
        }
        int flags = call.word(4);
        if (call.shorterThan(DIRTY_SIZE) || (flags & ~(DIRTY_START | DIRTY_STOP | DIRTY_GET)) != 0) {
            return -Errno.EINVAL;
        }
        if (flags == DIRTY_START) {
            return iommu.startTracking();
        }
        if (flags == DIRTY_STOP) {
            iommu.stopTracking();
            return 0;
        }
        return flags == DIRTY_GET ? readDirty(call, argument + DIRTY_SIZE) : -Errno.EINVAL;
    }

    private long readDirty(UserStruct call, long argument) {
        if (call.shorterThan(DIRTY_SIZE + DIRTY_RANGE_SIZE + BITMAP_SIZE)) {
            return -Errno.EINVAL;
        }
        UserStruct range = UserStruct.copyIn(task, argument, DIRTY_RANGE_SIZE + BITMAP_SIZE);
        if (range == null) {
            return -Errno.EFAULT;
        }
        long iova = range.quad(0);
        long size = range.quad(8);
        if (size == 0) {
            return -Errno.EINVAL;
        }
        if (wraps(iova, size)) {
            return iommu.overflow();
        }
        UserBitmap bitmap = UserBitmap.of(range, DIRTY_RANGE_SIZE);
        return bitmap.fits(size) ? iommu.readDirty(task, iova, iova + size - 1, bitmap) : -Errno.EINVAL;
    }
}
