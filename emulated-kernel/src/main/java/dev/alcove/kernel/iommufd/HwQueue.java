// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommufd;

import org.jspecify.annotations.Nullable;

/**
 * A queue in the guest's memory that the hardware works on for a virtual IOMMU: a user of that. Its memory is pinned, and
 * cannot be unmapped. What is public is for the driver.
 */
public final class HwQueue extends IommufdObject {
    private final ObjectTable objects;
    private final VirtualIommu viommu;
    private final int type;
    private final long iova;
    private final long length;
    private final QueuePin pin;
    private @Nullable HwQueueDriver driver;

    /** Takes over the pin, and the use that {@link #destroy} drops. */
    HwQueue(int id, ObjectTable objects, VirtualIommu viommu, int type, long iova, long length, QueuePin pin) {
        super(id);
        this.objects = objects;
        this.viommu = viommu;
        this.type = type;
        this.iova = iova;
        this.length = length;
        this.pin = pin;
        objects.use(viommu, 1);
    }

    void accept(HwQueueDriver accepted) {
        driver = accepted;
    }

    /** Which kind it is, an {@code IOMMU_HW_QUEUE_TYPE_}. */
    public int type() {
        return type;
    }

    /** Where it begins in the second stage of the virtual IOMMU. */
    public long iova() {
        return iova;
    }

    /** Bytes. */
    public long length() {
        return length;
    }

    /** Keeps this queue busy until {@link #release}: another one of the same driver needs it. */
    public void hold() {
        objects.use(this, 1);
    }

    /** Undoes {@link #hold}. */
    public void release() {
        objects.use(this, -1);
    }

    @Override
    protected void destroy() {
        if (driver != null) {
            driver.destroy();
        }
        pin.release();
        objects.use(viommu, -1);
    }
}
