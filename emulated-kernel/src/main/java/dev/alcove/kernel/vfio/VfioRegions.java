// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.vfio;

import dev.alcove.bindings.vfio.vfio;
import dev.alcove.kernel.file.Mapping;
import dev.alcove.kernel.iommu.IommuDevice;
import dev.alcove.kernel.mm.MmioRegion;
import dev.alcove.kernel.pci.MsixTable;
import dev.alcove.kernel.pci.PciFunction;
import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/** The regions of a VFIO device file: six BARs, no ROM, the configuration space (drivers/vfio/pci/vfio_pci_core.c). */
final class VfioRegions {
    private static final int MSIX_TABLE_PLACE = 4;

    private final PciFunction function;
    private final VfioConfigSpace config;
    private final VfioInterrupts interrupts;
    private final IommuDevice iommu;
    private final Consumer<Boolean> decoding;

    /** What a user reads and writes nothing of: the table of MSI-X, which is the kernel's. */
    private final int hiddenBar;

    private final long hiddenStart;
    private final long hiddenEnd;

    /**
     * @param iommu the function's place in the IOMMU
     * @param decoding told when memory decoding stops, before it does, and when it goes on
     */
    VfioRegions(PciFunction function, VfioConfigSpace config, VfioInterrupts interrupts, IommuDevice iommu, Consumer<Boolean> decoding) {
        this.iommu = iommu;
        this.function = function;
        this.config = config;
        this.interrupts = interrupts;
        this.decoding = decoding;
        config.onDecoding(decoding);
        MsixTable table = function.msixTable();
        int place = table == null
                ? -1
                : function.configRead(function.capability(PciFunction.CAPABILITY_MSIX) + MSIX_TABLE_PLACE, 4);
        hiddenBar = table == null ? -1 : place & 7;
        hiddenStart = place & -8;
        hiddenEnd = hiddenStart + (table == null ? 0 : table.size());
    }

    /** Whether a BAR has the table of MSI-X, which may be mapped all the same: interrupts are remapped. */
    boolean hasVectors(int index) {
        return index == hiddenBar;
    }

    /** Whether an access touches the table of MSI-X. */
    boolean touchesVectors(int index, long position, int width) {
        return index == hiddenBar && position + width > hiddenStart && position < hiddenEnd;
    }

    /** VFIO_DEVICE_RESET: 0, or {@code -EINVAL} where nothing resets the function. */
    int reset() {
        if (!function.resettable()) {
            return -Errno.EINVAL;
        }
        synchronized (function) {
            decoding.accept(false);
            config.powerOn();
        }
        function.reset();
        synchronized (function) {
            if (config.memoryEnabled()) {
                decoding.accept(true);
            }
        }
        return 0;
    }

    @Nullable MmioRegion bar(int index) {
        return index >= 0 && index <= vfio.VFIO_PCI_BAR5_REGION_INDEX() ? function.bar(index) : null;
    }

    /** Bytes of a region; 0 for one that the device does not have. */
    long size(int index) {
        if (index == vfio.VFIO_PCI_CONFIG_REGION_INDEX()) {
            return config.size();
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
        return accessBar((int) index, bar, buffer, position, write);
    }

    private long accessConfig(MemorySegment buffer, long position, boolean write) {
        long count = buffer.byteSize();
        if (position >= config.size() || count > config.size() - position) {
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
        if (config.takeReset()) {
            reset();
        }
        return count;
    }

    /** Bytes of the next access: a power of two, as large as the alignment and what is left allow. */
    private static int chunk(long at, long left, int most) {
        return (int) Math.min(Long.lowestOneBit(at | most), Long.highestOneBit(left));
    }

    private long accessBar(int index, MmioRegion bar, MemorySegment buffer, long position, boolean write) {
        long count = Math.min(buffer.byteSize(), bar.size() - position);
        for (long done = 0; done < count; ) {
            long at = position + done;
            int size = chunk(at, count - done, Long.BYTES);
            if (touchesVectors(index, at, size)) {
                if (!write) {
                    store(buffer, done, size, -1);
                }
            } else if (write) {
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

    /**
     * mmap(2) of a BAR. Virtual processors and other devices reach its registers there. For the program itself every access
     * is a SIGBUS, as on a real kernel while memory decoding is off: registers act when they are read, so that no memory can
     * stand in for them.
     */
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
        return new Mapping.Device(new MappedBar(bar, iommu.exposeRegisters((int) index, bar), config), position);
    }
}
