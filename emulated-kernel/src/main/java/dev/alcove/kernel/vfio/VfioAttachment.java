// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.vfio;

import dev.alcove.bindings.vfio.vfio;
import dev.alcove.kernel.iommufd.IommufdContext;
import dev.alcove.kernel.task.Task;
import dev.alcove.sys.Errno;
import java.util.HashSet;
import java.util.List;
import java.util.Set;

/**
 * What a bound device is attached to (drivers/vfio/iommufd.c): without a PASID, and with which PASIDs.
 *
 * <p>Lock: its monitor, before the locks of iommufd.
 */
final class VfioAttachment {
    private static final int NO_PASID = 0;
    private static final int FLAG_PASID = vfio.VFIO_DEVICE_ATTACH_PASID();

    private final IommufdContext context;
    private final long deviceId;
    private final Set<Integer> pasids = new HashSet<>();
    private boolean attached;

    VfioAttachment(IommufdContext context, long deviceId) {
        this.context = context;
        this.deviceId = deviceId;
    }

    /** The device's object id. */
    int deviceId() {
        return (int) deviceId;
    }

    IommufdContext context() {
        return context;
    }

    /** Attaches to the address space of the type1 calls, for a device of a group: an id, or a negated errno. */
    synchronized long attachToCompat() {
        long hwpt = context.attachToCompat(deviceId);
        attached |= hwpt >= 0;
        return hwpt;
    }

    /** VFIO_DEVICE_ATTACH_IOMMUFD_PT. */
    synchronized long attach(Task task, long argument) {
        UserStruct attach = UserStruct.copyIn(task, argument, 12);
        if (attach == null) {
            return -Errno.EFAULT;
        }
        int flags = attach.word(4);
        if (attach.shorterThan(12) || (flags & ~knownFlags()) != 0) {
            return -Errno.EINVAL;
        }
        int ptId = attach.word(8);
        long hwpt;
        if ((flags & FLAG_PASID) != 0) {
            if (attach.shorterThan(16)) {
                return -Errno.EINVAL;
            }
            UserStruct whole = UserStruct.copyIn(task, argument, 16);
            hwpt = whole == null ? -Errno.EFAULT : attachPasid(whole.word(12), ptId);
        } else {
            hwpt = attached ? context.replace(deviceId, NO_PASID, ptId) : context.attach(deviceId, NO_PASID, ptId);
            attached |= hwpt >= 0;
        }
        if (hwpt < 0) {
            return hwpt;
        }
        attach.setWord(8, (int) hwpt);
        int copied = attach.copyOutWord(8);
        if (copied < 0) {
            // As in Linux, without the PASID.
            detach();
        }
        return copied;
    }

    private long attachPasid(int pasid, int ptId) {
        if (pasids.contains(pasid)) {
            return context.replace(deviceId, pasid, ptId);
        }
        if (pasid < 0) {
            return -Errno.ENOSPC;
        }
        long hwpt = context.attach(deviceId, pasid, ptId);
        if (hwpt >= 0) {
            pasids.add(pasid);
        }
        return hwpt;
    }

    /** VFIO_DEVICE_DETACH_IOMMUFD_PT. */
    synchronized long detach(Task task, long argument) {
        UserStruct detach = UserStruct.copyIn(task, argument, 8);
        if (detach == null) {
            return -Errno.EFAULT;
        }
        int flags = detach.word(4);
        if (detach.shorterThan(8) || (flags & ~knownFlags()) != 0) {
            return -Errno.EINVAL;
        }
        if ((flags & FLAG_PASID) == 0) {
            detach();
            return 0;
        }
        if (detach.shorterThan(12)) {
            return -Errno.EINVAL;
        }
        UserStruct whole = UserStruct.copyIn(task, argument, 12);
        if (whole == null) {
            return -Errno.EFAULT;
        }
        if (pasids.remove(whole.word(8))) {
            context.detach(deviceId, whole.word(8));
        }
        return 0;
    }

    private int knownFlags() {
        return context.knowsPasids() ? FLAG_PASID : 0;
    }

    private void detach() {
        if (attached) {
            context.detach(deviceId, NO_PASID);
            attached = false;
        }
    }

    /** Detaches and unbinds the device. */
    synchronized void close() {
        List.copyOf(pasids).forEach(pasid -> context.detach(deviceId, pasid));
        detach();
        context.unbind(deviceId);
    }
}
