// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.vfio;

import dev.alcove.bindings.vfio.vfio;
import dev.alcove.kernel.file.Mapping;
import dev.alcove.kernel.mm.MmioRegion;
import dev.alcove.kernel.pci.PciFunction;
import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import org.jspecify.annotations.Nullable;

/** The regions of a VFIO device file: six BARs, no ROM, the configuration space (drivers/vfio/pci/vfio_pci_core.c). */
final class VfioRegions {
    private final PciFunction function;
    private final VfioConfigSpace config;
    private final VfioInterrupts interrupts;

    VfioRegions(PciFunction function, VfioConfigSpace config, VfioInterrupts interrupts) {
        this.function = function;
        this.config = config;
        this.interrupts = interrupts;
    }

    @Nullable MmioRegion bar(int index) {
        return index >= 0 && index <= vfio.VFIO_PCI_BAR5_REGION_INDEX() ? function.bar(index) : null;
    }

    /** Bytes of a region; 0 for one that the device does not have. */
    long size(int index) {
        if (index == vfio.VFIO_PCI_CONFIG_REGION_INDEX()) {
            return VfioConfigSpace.SIZE;
        }
        MmioRegion bar = bar(index);
        return bar == null ? 0 : bar.size();
    }

    /** The VFIO_REGION_INFO flags of a region. */
    int flags(int index) {
        int readWrite = vfio.VFIO_REGION_INFO_FLAG_READ() | vfio.VFIO_REGION_INFO_FLAG_WRITE();
        if (index == vfio.VFIO_PCI_CONFIG_REGION_INDEX()) {
            return readWrite;
        }
        if (size(index) == 0) {
            return 0;
        }
        return size(index) >= Linux.PAGE_SIZE ? readWrite | vfio.VFIO_REGION_INFO_FLAG_MMAP() : readWrite;
    }

    /** pread(2) and pwrite(2); the region's number is in the upper bits of the offset. */
    long access(MemorySegment buffer, long offset, boolean write) {
        long index = offset >>> VfioRequests.REGION_SHIFT;
        long position = offset & ((1L << VfioRequests.REGION_SHIFT) - 1);
        if (buffer.byteSize() == 0) {
            return 0;
        }
        if (index >= vfio.VFIO_PCI_NUM_REGIONS()) {
            return -Errno.EINVAL;
        }
        if (index == vfio.VFIO_PCI_CONFIG_REGION_INDEX()) {
            return accessConfig(buffer, position, write);
        }
        MmioRegion bar = bar((int) index);
        if (bar == null || position >= bar.size()) {
            return -Errno.EINVAL;
        }
        if (!config.memoryEnabled()) {
            return -Errno.EIO;
        }
        return accessBar(bar, buffer, position, write);
    }

    private long accessConfig(MemorySegment buffer, long position, boolean write) {
        long count = buffer.byteSize();
        if (position >= VfioConfigSpace.SIZE || count > VfioConfigSpace.SIZE - position) {
            return -Errno.EFAULT;
        }
        synchronized (function) {
            for (long done = 0; done < count; ) {
                int at = (int) (position + done);
                int size = chunk(at, count - done, Integer.BYTES);
                if (write) {
                    config.write(at, size, (int) load(buffer, done, size), interrupts);
                } else {
                    store(buffer, done, size, config.read(at, size));
                }
                done += size;
            }
        }
        return count;
    }

    /** Bytes of the next access: a power of two, as large as the alignment and what is left allow. */
    private static int chunk(long at, long left, int most) {
        return (int) Math.min(Long.lowestOneBit(at | most), Long.highestOneBit(left));
    }

    private static long accessBar(MmioRegion bar, MemorySegment buffer, long position, boolean write) {
        long count = Math.min(buffer.byteSize(), bar.size() - position);
        for (long done = 0; done < count; ) {
            long at = position + done;
            int size = chunk(at, count - done, Long.BYTES);
            if (write) {
                bar.write(at, size, load(buffer, done, size));
            } else {
                store(buffer, done, size, bar.read(at, size));
            }
            done += size;
        }
        return count;
    }

    private static long load(MemorySegment buffer, long at, int size) {
        return switch (size) {
            case 1 -> buffer.get(ValueLayout.JAVA_BYTE, at) & 0xff;
            case 2 -> buffer.get(ValueLayout.JAVA_SHORT_UNALIGNED, at) & 0xffff;
            case 4 -> Integer.toUnsignedLong(buffer.get(ValueLayout.JAVA_INT_UNALIGNED, at));
            default -> buffer.get(ValueLayout.JAVA_LONG_UNALIGNED, at);
        };
    }

    private static void store(MemorySegment buffer, long at, int size, long value) {
        switch (size) {
            case 1 -> buffer.set(ValueLayout.JAVA_BYTE, at, (byte) value);
            case 2 -> buffer.set(ValueLayout.JAVA_SHORT_UNALIGNED, at, (short) value);
            case 4 -> buffer.set(ValueLayout.JAVA_INT_UNALIGNED, at, (int) value);
            default -> buffer.set(ValueLayout.JAVA_LONG_UNALIGNED, at, value);
        }
    }

    /** mmap(2) of a BAR. */
    Mapping map(long offset, long length, int mapFlags) {
        long index = offset >>> VfioRequests.REGION_SHIFT;
        long position = offset & ((1L << VfioRequests.REGION_SHIFT) - 1);
        if (index >= vfio.VFIO_PCI_NUM_REGIONS() || (mapFlags & Linux.MAP_TYPE) == Linux.MAP_PRIVATE) {
            return new Mapping.Refused(Errno.EINVAL);
        }
        MmioRegion bar = bar((int) index);
        if (bar == null
                || (flags((int) index) & vfio.VFIO_REGION_INFO_FLAG_MMAP()) == 0
                || position > bar.size()
                || length > bar.size() - position) {
            return new Mapping.Refused(Errno.EINVAL);
        }
        return new Mapping.Device(bar, position);
    }
}
