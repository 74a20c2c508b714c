// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.vfio;

import dev.alcove.bindings.vfio.vfio;
import dev.alcove.kernel.file.OpenFile;
import dev.alcove.kernel.iommufd.IommufdContext;
import dev.alcove.kernel.pci.PciAddress;
import dev.alcove.kernel.task.Task;
import dev.alcove.sys.Errno;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Predicate;

/**
 * The reset of all functions of a bus below a bridge, which their users may do together (VFIO_DEVICE_GET_PCI_HOT_RESET_INFO
 * and VFIO_DEVICE_PCI_HOT_RESET). Whoever has a device from its group names all groups; whoever has it by its own file
 * must have all devices in the same iommufd. Nothing resets the root bus.
 */
final class HotReset {
    private static final int LEAST = 12;
    private static final int DEVICE_SIZE = 8;
    private static final int BY_ID = vfio.VFIO_PCI_HOT_RESET_FLAG_DEV_ID();
    private static final int OWNED = vfio.VFIO_PCI_HOT_RESET_FLAG_DEV_ID_OWNED();
    /** The device id of one that is in a group which the iommufd owns, but not bound itself. */
    private static final int IN_OWNED_GROUP = vfio.VFIO_PCI_DEVID_OWNED();

    private static final int NOT_OWNED = vfio.VFIO_PCI_DEVID_NOT_OWNED();

    private final VfioDevice device;
    private final Task task;

    HotReset(VfioDevice device, Task task) {
        this.device = device;
        this.task = task;
    }

    /** VFIO_DEVICE_GET_PCI_HOT_RESET_INFO: which devices it would be. */
    long info(long address) {
        UserStruct header = UserStruct.copyIn(task, address, LEAST);
        if (header == null) {
            return -Errno.EFAULT;
        }
        if (header.shorterThan(LEAST)) {
            return -Errno.EINVAL;
        }
        if (!device.set().resettable()) {
            return -Errno.ENODEV;
        }
        synchronized (device.set()) {
            List<VfioDevice> all = device.set().devices();
            header.setWord(4, 0);
            header.setWord(8, all.size());
            if (all.size() > (Integer.toUnsignedLong(header.word(0)) - LEAST) / DEVICE_SIZE) {
                return header.copyOut() < 0 ? -Errno.EFAULT : -Errno.ENOSPC;
            }
            if (!device.allocator().charge("devices of a hot reset")) {
                return -Errno.ENOMEM;
            }
            MemorySegment list = MemorySegment.ofArray(new byte[all.size() * DEVICE_SIZE]);
            int flags = device.openedByCdev() ? BY_ID | OWNED : 0;
            for (int i = 0; i < all.size(); i++) {
                PciAddress where = all.get(i).address();
                int id = device.openedByCdev() ? idOf(all.get(i)) : all.get(i).iommu().group().id();
                if (device.openedByCdev() && id == NOT_OWNED) {
                    flags &= ~OWNED;
                }
                long at = (long) i * DEVICE_SIZE;
                list.set(ValueLayout.JAVA_INT_UNALIGNED, at, id);
                list.set(ValueLayout.JAVA_SHORT_UNALIGNED, at + 4, (short) where.domain());
                list.set(ValueLayout.JAVA_SHORT_UNALIGNED, at + 6, Short.reverseBytes((short) where.requesterId()));
            }
            header.setWord(4, flags);
            return task.memory().copyOut(address + LEAST, list) < 0 ? -Errno.EFAULT : header.copyOut();
        }
    }

    /** The id of another device in the iommufd that this one is bound to. */
    private int idOf(VfioDevice other) {
        VfioAttachment own = device.attachment();
        if (own == null) {
            return NOT_OWNED;
        }
        IommufdContext context = own.context();
        VfioAttachment attachment = other.attachment();
        if (attachment != null && attachment.context() == context) {
            return attachment.deviceId();
        }
        return context.hasGroup(other.iommu().group()) ? IN_OWNED_GROUP : NOT_OWNED;
    }

    /** VFIO_DEVICE_PCI_HOT_RESET. */
    long execute(long address) {
        UserStruct header = UserStruct.copyIn(task, address, LEAST);
        if (header == null) {
            return -Errno.EFAULT;
        }
        int count = header.word(8);
        boolean byCdev;
        synchronized (device.set()) {
            byCdev = device.openedByCdev();
        }
        if (header.shorterThan(LEAST) || header.word(4) != 0 || (count != 0) == byCdev) {
            return -Errno.EINVAL;
        }
        if (!device.set().resettable()) {
            return -Errno.ENODEV;
        }
        if (count == 0) {
            return reset(other -> idOf(other) != NOT_OWNED);
        }
        if (Integer.compareUnsigned(count, device.set().devices().size()) > 0) {
            return -Errno.EINVAL;
        }
        if (!device.allocator().charge("descriptors for a hot reset")
                || !device.allocator().charge("groups for a hot reset")) {
            return -Errno.ENOMEM;
        }
        UserStruct files = UserStruct.copyIn(task, address + LEAST, count * Integer.BYTES);
        if (files == null) {
            return -Errno.EFAULT;
        }
        List<VfioGroup> groups = new ArrayList<>();
        for (int i = 0; i < count; i++) {
            OpenFile file = task.file(files.word(i * Integer.BYTES));
            if (file == null) {
                return -Errno.EBADF;
            }
            if (!(file instanceof VfioGroupFile group)) {
                return -Errno.EINVAL;
            }
            groups.add(group.group());
        }
        return reset(other -> groups.contains(other.group()));
    }

    private long reset(Predicate<VfioDevice> allowed) {
        synchronized (device.set()) {
            if (!device.set().devices().stream().allMatch(allowed)) {
                return -Errno.EINVAL;
            }
            device.set().reset();
        }
        return 0;
    }
}
