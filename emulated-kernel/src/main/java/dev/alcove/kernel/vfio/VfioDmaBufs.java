// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.vfio;

import dev.alcove.bindings.vfio.vfio;
import dev.alcove.kernel.dmabuf.DmaBufFile;
import dev.alcove.kernel.mm.MmioRegion;
import dev.alcove.kernel.task.Task;
import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.concurrent.CopyOnWriteArrayList;

/** Parts of a BAR as a dma-buf (VFIO_DEVICE_FEATURE_DMA_BUF; drivers/vfio/pci/vfio_pci_dmabuf.c). */
final class VfioDmaBufs {
    /** Bytes of the request before its ranges. */
    static final int REQUEST_SIZE = 16;

    private static final int RANGE_SIZE = 16;
    private static final int MOST_RANGES = 1 << 16;

    private final VfioDevice device;
    private final CopyOnWriteArrayList<VfioDmaBuf> buffers = new CopyOnWriteArrayList<>();

    /** Whether memory decoding is off. */
    private volatile boolean revoked;

    VfioDmaBufs(VfioDevice device) {
        this.device = device;
    }

    /** Memory decoding goes off, or is on again; off for good when the device is closed. */
    void move(boolean revoke) {
        revoked = revoke;
        buffers.forEach(buffer -> buffer.move(revoke));
    }

    /** Makes a dma-buf: its descriptor, or {@code -EFAULT -EINVAL -ENODEV -EOVERFLOW -ENOMEM}. */
    long export(Task task, long address) {
        UserStruct request = UserStruct.copyIn(task, address, REQUEST_SIZE);
        if (request == null) {
            return -Errno.EFAULT;
        }
        int index = request.word(0);
        int openFlags = request.word(4);
        int count = request.word(12);
        if (count == 0 || request.word(8) != 0) {
            return -Errno.EINVAL;
        }
        boolean isBar = index >= 0 && index <= vfio.VFIO_PCI_BAR5_REGION_INDEX();
        MmioRegion bar = isBar ? device.function().bar(index) : null;
        if (bar == null) {
            return -Errno.ENODEV;
        }
        if (count < 0 || count > MOST_RANGES) {
            return -Errno.ENOMEM;
        }
        if (!device.allocator().charge("ranges of a dma-buf")) {
            return -Errno.ENOMEM;
        }
        MemorySegment ranges = MemorySegment.ofArray(new byte[count * RANGE_SIZE]);
        if (task.memory().copyIn(address + REQUEST_SIZE, ranges) < 0) {
            return -Errno.EFAULT;
        }
        long size = sizeOf(ranges, bar.size());
        if (size < 0) {
            return size;
        }
        if (!device.allocator().charge("vfio dma-buf")
                || !device.allocator().charge("addresses of a dma-buf")
                || !device.allocator().charge("dma-buf")) {
            return -Errno.ENOMEM;
        }
        VfioDmaBuf buffer = new VfioDmaBuf(firstFrames(device.iommu().exposeRegisters(index, bar), ranges), revoked, buffers::remove);
        buffers.add(buffer);
        DmaBufFile file = new DmaBufFile(
                size, openFlags & (Linux.O_ACCMODE | Linux.O_NONBLOCK), device.nextInode(), buffer);
        return task.install(file, (openFlags & Linux.O_CLOEXEC) != 0);
    }

    private static long[] firstFrames(long window, MemorySegment ranges) {
        long[] frames = new long[(int) (ranges.byteSize() / RANGE_SIZE)];
        for (int i = 0; i < frames.length; i++) {
            frames[i] = window + (ranges.get(ValueLayout.JAVA_LONG_UNALIGNED, (long) i * RANGE_SIZE) >>> Linux.PAGE_SHIFT);
        }
        return frames;
    }

    private static long sizeOf(MemorySegment ranges, long barSize) {
        long size = 0;
        for (long at = 0; at < ranges.byteSize(); at += RANGE_SIZE) {
            long offset = ranges.get(ValueLayout.JAVA_LONG_UNALIGNED, at);
            long length = ranges.get(ValueLayout.JAVA_LONG_UNALIGNED, at + 8);
            if (length == 0 || ((offset | length) & Linux.PAGE_SIZE - 1) != 0 || length < 0 || size + length < 0) {
                return -Errno.EINVAL;
            }
            size += length;
        }
        for (long at = 0; at < ranges.byteSize(); at += RANGE_SIZE) {
            long offset = ranges.get(ValueLayout.JAVA_LONG_UNALIGNED, at);
            long length = ranges.get(ValueLayout.JAVA_LONG_UNALIGNED, at + 8);
            // The BAR lies below 4 GiB, so this wraps exactly when its physical address does.
            if (offset < 0 && offset >= -(1L << 32)) {
                return -Errno.EOVERFLOW;
            }
            if (Long.compareUnsigned(offset, barSize) > 0 || length > barSize - offset) {
                return -Errno.EINVAL;
            }
        }
        return size;
    }
}
