// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.vfio;

import dev.alcove.bindings.vfio.vfio;
import dev.alcove.kernel.file.EventFile;
import dev.alcove.kernel.mm.Allocator;
import dev.alcove.kernel.mm.MmioRegion;
import dev.alcove.kernel.pci.PciFunction;
import dev.alcove.kernel.task.Task;
import dev.alcove.sys.Errno;
import java.util.HashMap;
import java.util.Map;

/** Register writes that eventfds cause (VFIO_DEVICE_IOEVENTFD). Lock: the monitor, above that of the function. */
final class VfioIoeventfds {
    private static final int LEAST = 28;
    private static final int WIDTHS = 15;
    private static final int MOST = 1000;

    private final PciFunction function;
    private final VfioConfigSpace config;
    private final VfioRegions regions;
    private final boolean quads;
    private final Allocator allocator;
    private final Map<Write, Virqfd> writes = new HashMap<>();

    /** What is written: no two eventfds write the same. */
    private record Write(int bar, long position, int width, long value) {}

    /** @param quads whether eight bytes may be written at once (up to 6.13) */
    VfioIoeventfds(
            PciFunction function, VfioConfigSpace config, VfioRegions regions, boolean quads, Allocator allocator) {
        this.allocator = allocator;
        this.quads = quads;
        this.function = function;
        this.config = config;
        this.regions = regions;
    }

    /** VFIO_DEVICE_IOEVENTFD. */
    synchronized int set(Task task, long address) {
        UserStruct call = UserStruct.copyIn(task, address, LEAST);
        if (call == null) {
            return -Errno.EFAULT;
        }
        int width = call.word(4);
        int fd = call.word(24);
        if (call.shorterThan(LEAST) || (width & ~WIDTHS) != 0 || Integer.bitCount(width) != 1 || fd < -1) {
            return -Errno.EINVAL;
        }
        long index = call.quad(8) >>> VfioRequests.REGION_SHIFT;
        long position = call.quad(8) & ((1L << VfioRequests.REGION_SHIFT) - 1);
        MmioRegion bar = index > vfio.VFIO_PCI_BAR5_REGION_INDEX() ? null : regions.bar((int) index);
        if (bar == null
                || position + width > bar.size()
                || (width == Long.BYTES && !quads)
                || regions.touchesVectors((int) index, position, width)) {
            return -Errno.EINVAL;
        }
        Write write = new Write((int) index, position, width, call.quad(16));
        if (writes.containsKey(write)) {
            if (fd >= 0) {
                return -Errno.EEXIST;
            }
            writes.remove(write).stop();
            return 0;
        }
        if (fd < 0) {
            return -Errno.ENODEV;
        }
        if (writes.size() >= MOST) {
            return -Errno.ENOSPC;
        }
        if (!allocator.charge("vfio ioeventfd") || !allocator.charge("virqfd")) {
            return -Errno.ENOMEM;
        }
        EventFile[] event = new EventFile[1];
        int error = IrqSet.eventOf(task, fd, event);
        if (error == 0) {
            Virqfd virqfd = new Virqfd(function, event[0], () -> write(bar, write));
            writes.put(write, virqfd);
            virqfd.start();
        }
        return error;
    }

    private void write(MmioRegion bar, Write write) {
        if (config.memoryEnabled()) {
            bar.write(write.position(), write.width(), write.value() & (-1L >>> (Long.SIZE - 8 * write.width())));
        }
    }

    synchronized void close() {
        writes.values().forEach(Virqfd::stop);
        writes.clear();
    }
}
