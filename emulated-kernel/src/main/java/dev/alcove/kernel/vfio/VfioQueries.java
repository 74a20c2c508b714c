// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.vfio;

import dev.alcove.bindings.vfio.vfio;
import dev.alcove.kernel.pci.PciFunction;
import dev.alcove.kernel.task.Task;
import dev.alcove.sys.Errno;

/** The ioctls of a VFIO device file that tell what the device is. */
final class VfioQueries {
    private static final int INFO_LEAST = 16;
    private static final int INFO_SIZE = 24;
    private static final int REGION_LEAST = 32;
    private static final int CAPABILITY_SIZE = 8;
    private static final int IRQ_LEAST = 16;

    private VfioQueries() {}

    /** VFIO_DEVICE_GET_INFO. */
    static long device(Task task, PciFunction function, long argument) {
        UserStruct header = UserStruct.copyIn(task, argument, INFO_LEAST);
        if (header == null) {
            return -Errno.EFAULT;
        }
        if (header.shorterThan(INFO_LEAST)) {
            return -Errno.EINVAL;
        }
        int size = (int) Math.min(INFO_SIZE, Integer.toUnsignedLong(header.word(0)));
        UserStruct info = UserStruct.copyIn(task, argument, size);
        if (info == null) {
            return -Errno.EFAULT;
        }
        info.clear();
        info.setWord(0, header.word(0));
        int reset = function.resettable() ? vfio.VFIO_DEVICE_FLAGS_RESET() : 0;
        info.setWord(4, vfio.VFIO_DEVICE_FLAGS_PCI() | reset);
        info.setWord(8, vfio.VFIO_PCI_NUM_REGIONS());
        info.setWord(12, vfio.VFIO_PCI_NUM_IRQS());
        return info.copyOut();
    }

    /** VFIO_DEVICE_GET_REGION_INFO. */
    static long region(Task task, VfioRegions regions, long argument) {
        UserStruct info = UserStruct.copyIn(task, argument, REGION_LEAST);
        if (info == null) {
            return -Errno.EFAULT;
        }
        int index = info.word(8);
        if (info.shorterThan(REGION_LEAST)
                || Integer.compareUnsigned(index, vfio.VFIO_PCI_NUM_REGIONS()) >= 0
                || index == vfio.VFIO_PCI_VGA_REGION_INDEX()) {
            return -Errno.EINVAL;
        }
        info.setWord(4, regions.flags(index));
        info.setQuad(16, regions.size(index));
        info.setQuad(24, (long) index << VfioRequests.REGION_SHIFT);
        boolean mappable = (regions.flags(index) & vfio.VFIO_REGION_INFO_FLAG_MMAP()) != 0;
        return mappable && regions.hasVectors(index) ? withMappableVectors(task, info, argument) : info.copyOut();
    }

    /** Says by a capability, where there is room for one, that the table of MSI-X can be mapped. */
    private static long withMappableVectors(Task task, UserStruct info, long argument) {
        int length = info.word(0);
        boolean room = Integer.compareUnsigned(length, REGION_LEAST + CAPABILITY_SIZE) >= 0;
        if (room) {
            UserStruct capability = UserStruct.copyIn(task, argument + REGION_LEAST, CAPABILITY_SIZE);
            if (capability == null) {
                return -Errno.EFAULT;
            }
            capability.setWord(0, vfio.VFIO_REGION_INFO_CAP_MSIX_MAPPABLE() | 1 << 16);
            capability.setWord(4, 0);
            if (capability.copyOut() < 0) {
                return -Errno.EFAULT;
            }
        }
        info.setWord(0, room ? length : REGION_LEAST + CAPABILITY_SIZE);
        info.setWord(4, info.word(4) | vfio.VFIO_REGION_INFO_FLAG_CAPS());
        info.setWord(12, room ? REGION_LEAST : 0);
        return info.copyOut();
    }

    /** VFIO_DEVICE_GET_IRQ_INFO. */
    static long interrupt(Task task, VfioInterrupts interrupts, long argument) {
        UserStruct info = UserStruct.copyIn(task, argument, IRQ_LEAST);
        if (info == null) {
            return -Errno.EFAULT;
        }
        int index = info.word(8);
        if (info.shorterThan(IRQ_LEAST)
                || Integer.compareUnsigned(index, vfio.VFIO_PCI_NUM_IRQS()) >= 0
                // Error interrupts are for PCI Express functions only.
                || (index == vfio.VFIO_PCI_ERR_IRQ_INDEX() && interrupts.count(index) == 0)) {
            return -Errno.EINVAL;
        }
        int kind = index == vfio.VFIO_PCI_INTX_IRQ_INDEX()
                ? vfio.VFIO_IRQ_INFO_MASKABLE() | vfio.VFIO_IRQ_INFO_AUTOMASKED()
                // Vectors of MSI-X, where there are any, can be added while others are in use.
                : index == vfio.VFIO_PCI_MSIX_IRQ_INDEX() && interrupts.count(index) > 0
                        ? 0
                        : vfio.VFIO_IRQ_INFO_NORESIZE();
        info.setWord(4, vfio.VFIO_IRQ_INFO_EVENTFD() | kind);
        info.setWord(12, interrupts.count(index));
        return info.copyOut();
    }
}
