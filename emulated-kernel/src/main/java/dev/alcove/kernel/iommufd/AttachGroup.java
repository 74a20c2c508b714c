// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommufd;

import dev.alcove.kernel.iommu.IommuGroup;
import dev.alcove.sys.Errno;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * A group as a context sees it: all its attached devices are on one page table.
 *
 * <p>Lock: its monitor, below the mutex of an {@link Ioas}, above the locks of its page table.
 */
final class AttachGroup {
    private final IommuGroup group;
    private final ObjectTable objects;
    private final List<BoundDevice> attached = new ArrayList<>();
    private @Nullable Hwpt hwpt;

    AttachGroup(IommuGroup group, ObjectTable objects) {
        this.group = group;
        this.objects = objects;
    }

    synchronized @Nullable Hwpt hwpt() {
        return hwpt;
    }

    /**
     * Attaches a device that is not attached; the page table gets a user.
     *
     * @return 0; {@code -EBUSY} it is; {@code -EINVAL} the group is on another page table; {@code -EADDRINUSE}; {@code -ENODEV} the page table
     *     wants page requests, which no device here makes
     */
    synchronized int attach(BoundDevice device, Hwpt next) {
        if (device.attached) {
            return -Errno.EBUSY;
        }
        if (hwpt != null && hwpt != next) {
            return -Errno.EINVAL;
        }
        if (next.faults != null) {
            return -Errno.ENODEV;
        }
        int error = next.ioas.table.reserveRegions(device.device);
        if (error != 0) {
            return error;
        }
        hwpt = next;
        group.setDomain(next.domain);
        attached.add(device);
        device.attached = true;
        objects.use(next, 1);
        return 0;
    }

    /** The page table that a group left: {@link #release} it when no lock is held. */
    static final class Left {
        private @Nullable Hwpt hwpt;
        private int users;
    }

    /**
     * Moves the whole group from its page table to another one. On an error nothing has changed.
     *
     * @param left receives the old page table
     */
    synchronized int replace(BoundDevice device, Hwpt next, Left left) {
        Hwpt old = hwpt;
        if (old == null || !device.attached) {
            return -Errno.EINVAL;
        }
        if (old == next) {
            return 0;
        }
        if (next.faults != null) {
            return -Errno.ENODEV;
        }
        int error = old.ioas == next.ioas ? 0 : reserveAll(next);
        if (error != 0) {
            return error;
        }
        group.setDomain(next.domain);
        if (old.ioas != next.ioas) {
            attached.forEach(each -> old.ioas.table.unreserve(each.device));
        }
        hwpt = next;
        left.hwpt = old;
        left.users = attached.size();
        objects.use(next, attached.size());
        return 0;
    }

    /** Drops the group's uses of the page table it left; its last device takes an automatic one with it. */
    void release(Left left) {
        if (left.hwpt != null) {
            release(left.hwpt, left.users);
        }
    }

    private int reserveAll(Hwpt next) {
        for (int i = 0; i < attached.size(); i++) {
            int error = next.ioas.table.reserveRegions(attached.get(i).device);
            if (error != 0) {
                while (--i >= 0) {
                    next.ioas.table.unreserve(attached.get(i).device);
                }
                return error;
            }
        }
        return 0;
    }

    /** Detaches a device if it is attached; without its last device the group's DMA is blocked. */
    void detach(BoundDevice device) {
        Hwpt old;
        synchronized (this) {
            old = hwpt;
            if (old == null || !device.attached) {
                return;
            }
            device.attached = false;
            attached.remove(device);
            if (attached.isEmpty()) {
                group.setDomain(null);
                hwpt = null;
            }
            old.ioas.table.unreserve(device.device);
        }
        release(old, 1);
    }

    private void release(Hwpt old, int users) {
        if (old.auto) {
            objects.putAndTryDestroy(old, users);
        } else {
            objects.use(old, -users);
        }
    }
}
