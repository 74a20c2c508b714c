// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommufd;

import dev.alcove.kernel.iommu.IommuDevice;
import dev.alcove.kernel.iommu.IommuDomain;
import dev.alcove.kernel.iommu.IommuDriver;
import dev.alcove.kernel.mm.PageStore;
import dev.alcove.sys.Errno;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.OptionalLong;
import org.jspecify.annotations.Nullable;

/**
 * A guest's view of an IOMMU ({@code struct iommufd_viommu}): a user of the page table of its second stage. What is public
 * is for the driver.
 *
 * <p>Lock: its monitor, below that of an {@link AttachGroup}, for the devices and the event queues.
 */
public final class VirtualIommu extends IommufdObject {
    private final IommufdContext context;
    private final IommuDriver owner;
    private final int type;
    private final Hwpt parent;
    private final Map<Long, VirtualDevice> devices = new HashMap<>();
    private final List<VirtualEventQueue> eventQueues = new ArrayList<>();

    /** Set once, before anybody finds the object; null while the driver has not accepted it. */
    private @Nullable VirtualIommuDriver driver;

    /** Takes the use that {@link #destroy} drops. */
    VirtualIommu(int id, IommufdContext context, IommuDriver owner, int type, Hwpt parent) {
        super(id);
        this.context = context;
        this.owner = owner;
        this.type = type;
        this.parent = parent;
        context.objects().use(parent, 1);
    }

    /** Whose IOMMU it is; only devices of it can be the guest's. */
    IommuDriver owner() {
        return owner;
    }

    Hwpt parent() {
        return parent;
    }

    void accept(VirtualIommuDriver accepted) {
        driver = accepted;
    }

    VirtualIommuDriver driver() {
        if (driver == null) {
            throw new IllegalStateException("the driver has not accepted the virtual IOMMU");
        }
        return driver;
    }

    /** Which kind it is, an {@code IOMMU_VIOMMU_TYPE_}. */
    public int type() {
        return type;
    }

    /** Its second stage. */
    public IommuDomain parentDomain() {
        return parent.domain;
    }

    /** The device that the guest knows by a number; null when there is none. */
    public synchronized @Nullable IommuDevice device(long virtualId) {
        VirtualDevice device = devices.get(virtualId);
        return device == null || !device.accepted() ? null : device.device();
    }

    /** The number that the guest knows a device by, the lowest if there are several; empty when there is none. */
    public synchronized OptionalLong virtualId(IommuDevice device) {
        return devices.values().stream()
                .filter(each -> each.accepted() && each.device() == device)
                .mapToLong(VirtualDevice::virtualId)
                .min();
    }

    /**
     * Tells the user of the event queue of a type ({@code iommufd_viommu_report_event}).
     *
     * @param data what comes behind the header, in the form of the type
     * @return 0, also when the queue is full; {@code -EOPNOTSUPP} there is no such queue; {@code -ENOMEM} the event is lost
     */
    public int reportEvent(int eventType, byte[] data) {
        VirtualEventQueue queue = eventQueue(eventType);
        return queue == null ? -Errno.EOPNOTSUPP : queue.report(data);
    }

    /**
     * Lets user space map pages from the context's file. As long as it does, this object is busy.
     *
     * @param pages stay the driver's
     * @return the offset for mmap(2), or {@code -ENOMEM}
     */
    public long showPages(PageStore pages) {
        return context.windows().add(this, pages);
    }

    /** Undoes {@link #showPages}; nobody has them mapped any more. */
    public void hidePages(long offset) {
        context.windows().remove(offset);
    }

    synchronized @Nullable VirtualEventQueue eventQueue(int eventType) {
        return eventQueues.stream().filter(each -> each.type() == eventType).findFirst().orElse(null);
    }

    /** Adds a queue; false when there is one of its type. */
    synchronized boolean add(VirtualEventQueue queue) {
        return eventQueue(queue.type()) == null && eventQueues.add(queue);
    }

    synchronized void forget(VirtualEventQueue queue) {
        eventQueues.remove(queue);
    }

    /** Gives a device its number; false when another one has it. */
    synchronized boolean add(VirtualDevice device) {
        return devices.putIfAbsent(device.virtualId(), device) == null;
    }

    synchronized void forget(VirtualDevice device) {
        devices.remove(device.virtualId(), device);
    }

    @Override
    protected void destroy() {
        if (driver != null) {
            driver.destroy();
        }
        context.objects().use(parent, -1);
    }
}
