// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommufd.selftest;

import dev.alcove.kernel.iommu.mock.MockDevice;
import dev.alcove.kernel.iommu.mock.MockDriver;
import dev.alcove.kernel.iommufd.IommufdContext;
import dev.alcove.kernel.iommufd.KernelObject;

/** A mock device, bound to the context that it is an object of and attached there: what a device's driver is otherwise. */
final class TestDevice extends KernelObject {
    private static final int NO_PASID = 0;

    private final IommufdContext context;
    private final MockDriver driver;
    private final MockDevice device;
    private final long deviceId;

    /** @param deviceId as {@link IommufdContext#bindOwnDevice} answered */
    TestDevice(int id, IommufdContext context, MockDriver driver, MockDevice device, long deviceId) {
        super(id);
        this.context = context;
        this.driver = driver;
        this.device = device;
        this.deviceId = deviceId;
    }

    MockDevice device() {
        return device;
    }

    /** The object id of the bound device. */
    long deviceId() {
        return deviceId;
    }

    @Override
    protected void destroy() {
        context.detach(deviceId, NO_PASID);
        context.unbind(deviceId);
        driver.unplug(device);
    }
}
