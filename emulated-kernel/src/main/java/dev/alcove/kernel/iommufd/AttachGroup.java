// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommufd;

import dev.alcove.kernel.iommu.Domain;
import dev.alcove.kernel.iommu.IommuGroup;
import dev.alcove.sys.Errno;
import java.util.ArrayList;
import java.util.List;
import java.util.TreeMap;
import org.jspecify.annotations.Nullable;

/**
 * A group as a context sees it: with the same PASID, or with none, all its attached devices are on one page table.
 *
 * <p>Lock: its monitor, below the mutex of an {@link Ioas}, above the locks of its page table and of fault queues.
 */
final class AttachGroup {
    /** Stands for DMA without a PASID. */
    static final int NO_PASID = 0;

    /** A page table, and the devices that are attached to it with one PASID. */
    private static final class Attachment {
        private final List<BoundDevice> devices = new ArrayList<>();
        private AttachHandle handle;

        Attachment(AttachHandle handle) {
            this.handle = handle;
        }
    }

    /** Devices of the context in the group; under the lock of {@link DeviceBinding}. */
    int bound;

    private final IommuGroup group;
    private final ObjectTable objects;

    /** By PASID, unsigned ones of 32 bits. */
    private final TreeMap<Integer, Attachment> attachments = new TreeMap<>(Integer::compareUnsigned);

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
    synchronized int attach(BoundDevice device, int pasid, HwPageTable next) {
        Attachment attachment = attachments.get(pasid);
        if (attachment != null && attachment.devices.contains(device)) {
            return -Errno.EBUSY;
        }
        if (attachment != null && attachment.handle.hwpt != next) {
            return -Errno.EINVAL;
        }
        IoPageTable table = next.paging().ioas.table;
        int error = pasid == NO_PASID ? table.ranges().reserveRegions(device.device) : 0;
        if (error != 0) {
            return error;
        }
        if (attachment == null) {
            error = change(pasid, next, null);
            if (error != 0) {
                if (pasid == NO_PASID) {
                    table.ranges().unreserve(device.device);
                }
                return error;
            }
            attachment = new Attachment(new AttachHandle(device, next));
            attachments.put(pasid, attachment);
        }
        attachment.devices.add(device);
        objects.use(next, 1);
        return 0;
    }

    /** Puts the group's DMA with a PASID behind another page table. */
    private int change(int pasid, HwPageTable next, @Nullable Domain old) {
        if (pasid == NO_PASID) {
            if (!next.pasid && attachments.higherKey(NO_PASID) != null) {
                return -Errno.EINVAL;
            }
            return next.faults != null && !pageRequests() ? -Errno.ENODEV : group.setDomain(next.domain());
        }
        Attachment plain = attachments.get(NO_PASID);
        if (!next.pasid || (plain != null && !plain.handle.hwpt.pasid)) {
            return -Errno.EINVAL;
        }
        return group.setPasidDomain(pasid, next.domain(), old);
    }

    private boolean pageRequests() {
        return group.devices().stream().allMatch(device -> group.driver().pageRequests(device));
    }

    /** The page table that a group left: {@link #release} it when no lock is held. */
    static final class Left {
        private @Nullable HwPageTable hwpt;
        private int users;
    }

    /**
     * Moves the whole group from its page table to another one. On an error it stays where it is.
     *
     * @param left receives the old page table
     */
    synchronized int replace(BoundDevice device, int pasid, HwPageTable next, Left left) {
        Attachment attachment = attachments.get(pasid);
        if (attachment == null || !attachment.devices.contains(device)) {
            return -Errno.EINVAL;
        }
        HwPageTable old = attachment.handle.hwpt;
        if (old == next) {
            return 0;
        }
        boolean sameSpace = old.paging().ioas == next.paging().ioas;
        int error = pasid != NO_PASID || sameSpace ? 0 : reserveAll(attachment, next);
        if (error != 0) {
            return error;
        }
        error = change(pasid, next, old.domain());
        if (error != 0) {
            if (pasid == NO_PASID) {
                // Linux 7.2 does so even where both page tables carry the same address space, which then lacks them.
                unreserveAll(attachment, next);
            }
            return error;
        }
        if (pasid == NO_PASID && !sameSpace) {
            unreserveAll(attachment, old);
        }
        refusePageRequests(attachment);
        attachment.handle = new AttachHandle(device, next);
        left.hwpt = old;
        left.users = attachment.devices.size();
        objects.use(next, left.users);
        return 0;
    }

    private static void unreserveAll(Attachment attachment, HwPageTable hwpt) {
        attachment.devices.forEach(each -> hwpt.paging().ioas.table.ranges().unreserve(each.device));
    }

    /** Drops the group's uses of the page table it left; its last device takes an automatic one with it. */
    void release(Left left) {
        if (left.hwpt != null) {
            release(left.hwpt, left.users);
        }
    }

    private static int reserveAll(Attachment attachment, HwPageTable next) {
        for (BoundDevice each : attachment.devices) {
            int error = next.paging().ioas.table.ranges().reserveRegions(each.device);
            if (error != 0) {
                unreserveAll(attachment, next);
                return error;
            }
        }
        return 0;
    }

    /**
     * Detaches a device; without its last device the group's DMA is blocked.
     *
     * @return whether it was attached
     */
    boolean detach(BoundDevice device, int pasid) {
        HwPageTable old;
        synchronized (this) {
            Attachment attachment = attachments.get(pasid);
            if (attachment == null || !attachment.devices.remove(device)) {
                return false;
            }
            old = attachment.handle.hwpt;
            if (attachment.devices.isEmpty()) {
                if (pasid == NO_PASID) {
                    group.setDomain(null);
                } else {
                    group.setPasidDomain(pasid, null, old.domain());
                }
                refusePageRequests(attachment);
                attachments.remove(pasid);
            }
            if (pasid == NO_PASID) {
                old.paging().ioas.table.ranges().unreserve(device.device);
            }
        }
        release(old, 1);
        return true;
    }

    /** Detaches a device with every PASID. */
    void detachAll(BoundDevice device) {
        List<Integer> pasids;
        synchronized (this) {
            pasids = List.copyOf(attachments.keySet());
        }
        pasids.forEach(pasid -> detach(device, pasid));
    }

    private void release(HwPageTable old, int users) {
        if (old.automatic()) {
            objects.putAndTryDestroy(old, users);
        } else {
            objects.use(old, -users);
        }
    }

    /** What the group's devices are behind with a PASID; null for nothing. */
    synchronized @Nullable Domain domain(int pasid) {
        Attachment attachment = attachments.get(pasid);
        return attachment == null ? null : attachment.handle.hwpt.domain();
    }

    // Page requests.

    private static void refusePageRequests(Attachment left) {
        FaultQueue queue = left.handle.hwpt.faults;
        if (queue != null) {
            left.handle.device.partial.clear();
            queue.refuse(left.handle);
        }
    }

    /**
     * A device asks for a page ({@code iommu_report_device_fault}). The group of requests goes to the fault queue of the
     * page table when it is complete; without one it is refused at once.
     */
    synchronized void request(BoundDevice device, PageRequest request) {
        AttachHandle handle = handler(request);
        FaultQueue queue = handle == null ? null : handle.hwpt.faults;
        if (handle == null || queue == null) {
            device.device.driver().respond(device.device, request.pasid(), request.group(), PageRequestGroup.INVALID);
            return;
        }
        if (!request.last()) {
            device.partial.add(request);
            return;
        }
        List<PageRequest> requests = new ArrayList<>();
        device.partial.removeIf(each -> each.group() == request.group() && requests.add(each));
        requests.add(request);
        queue.deliver(new PageRequestGroup(device, handle, List.copyOf(requests)));
    }

    private @Nullable AttachHandle handler(PageRequest request) {
        boolean hasPasid = (request.flags() & PageRequest.PASID_VALID) != 0;
        Attachment attachment = attachments.get(hasPasid ? request.pasid() : NO_PASID);
        if (attachment == null && hasPasid && group.driver() instanceof NestingDriver nesting && nesting.guestKeepsPasids()) {
            Attachment plain = attachments.get(NO_PASID);
            attachment = plain != null && plain.handle.hwpt instanceof NestedHwpt ? plain : null;
        }
        return attachment == null ? null : attachment.handle;
    }
}
