// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommufd;

import dev.alcove.kernel.iommu.IommuGroup;
import dev.alcove.sys.Errno;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * A group as a context sees it: with the same PASID, or with none, all its attached devices are on one page table.
 *
 * <p>No device here makes DMA with a PASID, and Linux attaches such a device with any: only the books are kept.
 *
 * <p>Lock: its monitor, below the mutex of an {@link Ioas}, above the locks of its page table.
 */
final class AttachGroup {
    /** Stands for DMA without a PASID. */
    static final int NO_PASID = 0;

    /** A page table, and the devices that are attached to it with one PASID. */
    private static final class Attachment {
        private final List<BoundDevice> devices = new ArrayList<>();
        private Hwpt hwpt;

        Attachment(Hwpt hwpt) {
            this.hwpt = hwpt;
        }
    }

    /** Devices of the context in the group; under the lock of {@link DeviceBinding}. */
    int bound;

    private final IommuGroup group;
    private final ObjectTable objects;
    private final Map<Integer, Attachment> attachments = new HashMap<>();

    AttachGroup(IommuGroup group, ObjectTable objects) {
        this.group = group;
        this.objects = objects;
    }

    /**
     * Attaches a device; the page table gets a user.
     *
     * @return 0; {@code -EBUSY} it is attached already; {@code -EINVAL} the group is on another page table, or this one
     *     was not made for PASIDs and has to do with them; {@code -EADDRINUSE}; {@code -ENODEV} the page table wants page
     *     requests, which the device does not make; what the driver answers
     */
    synchronized int attach(BoundDevice device, int pasid, Hwpt next) {
        Attachment attachment = attachments.get(pasid);
        if (attachment != null && attachment.devices.contains(device)) {
            return -Errno.EBUSY;
        }
        if (attachment != null && attachment.hwpt != next) {
            return -Errno.EINVAL;
        }
        int error = pasid == NO_PASID ? next.ioas.table.reserveRegions(device.device) : 0;
        if (error != 0) {
            return error;
        }
        if (attachment == null) {
            error = check(pasid, next);
            if (error == 0 && pasid == NO_PASID) {
                error = group.setDomain(next.domain);
            }
            if (error != 0) {
                if (pasid == NO_PASID) {
                    next.ioas.table.unreserve(device.device);
                }
                return error;
            }
            attachment = new Attachment(next);
            attachments.put(pasid, attachment);
        }
        attachment.devices.add(device);
        objects.use(next, 1);
        return 0;
    }

    /** Whether the group can be put on a page table, as far as PASIDs and page requests go. */
    private int check(int pasid, Hwpt next) {
        if (pasid == NO_PASID) {
            boolean others = attachments.keySet().stream().anyMatch(other -> other != NO_PASID);
            return !next.pasid && others ? -Errno.EINVAL : next.faults != null && !pageRequests() ? -Errno.ENODEV : 0;
        }
        Attachment plain = attachments.get(NO_PASID);
        return !next.pasid || (plain != null && !plain.hwpt.pasid) ? -Errno.EINVAL : 0;
    }

    private boolean pageRequests() {
        return group.devices().stream().allMatch(device -> group.driver().pageRequests(device));
    }

    /** The page table that a group left: {@link #release} it when no lock is held. */
    static final class Left {
        private @Nullable Hwpt hwpt;
        private int users;
    }

    /**
     * Moves the whole group from its page table to another one. On an error it stays where it is.
     *
     * @param left receives the old page table
     */
    synchronized int replace(BoundDevice device, int pasid, Hwpt next, Left left) {
        Attachment attachment = attachments.get(pasid);
        if (attachment == null || !attachment.devices.contains(device)) {
            return -Errno.EINVAL;
        }
        Hwpt old = attachment.hwpt;
        if (old == next) {
            return 0;
        }
        int error = pasid != NO_PASID || old.ioas == next.ioas ? 0 : reserveAll(attachment, next);
        if (error != 0) {
            return error;
        }
        error = check(pasid, next);
        if (error == 0 && pasid == NO_PASID) {
            error = group.setDomain(next.domain);
        }
        if (error != 0) {
            if (pasid == NO_PASID) {
                // Linux 7.2 does so even where both page tables carry the same address space, which then lacks them.
                unreserveAll(attachment, next);
            }
            return error;
        }
        if (pasid == NO_PASID && old.ioas != next.ioas) {
            unreserveAll(attachment, old);
        }
        attachment.hwpt = next;
        left.hwpt = old;
        left.users = attachment.devices.size();
        objects.use(next, left.users);
        return 0;
    }

    private static void unreserveAll(Attachment attachment, Hwpt hwpt) {
        attachment.devices.forEach(each -> hwpt.ioas.table.unreserve(each.device));
    }

    /** Drops the group's uses of the page table it left; its last device takes an automatic one with it. */
    void release(Left left) {
        if (left.hwpt != null) {
            release(left.hwpt, left.users);
        }
    }

    private static int reserveAll(Attachment attachment, Hwpt next) {
        for (BoundDevice each : attachment.devices) {
            int error = next.ioas.table.reserveRegions(each.device);
            if (error != 0) {
                unreserveAll(attachment, next);
                return error;
            }
        }
        return 0;
    }

    /** Detaches a device if it is attached; without its last device the group's DMA is blocked. */
    void detach(BoundDevice device, int pasid) {
        Hwpt old;
        synchronized (this) {
            Attachment attachment = attachments.get(pasid);
            if (attachment == null || !attachment.devices.remove(device)) {
                return;
            }
            old = attachment.hwpt;
            if (attachment.devices.isEmpty()) {
                attachments.remove(pasid);
                if (pasid == NO_PASID) {
                    group.setDomain(null);
                }
            }
            if (pasid == NO_PASID) {
                old.ioas.table.unreserve(device.device);
            }
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
