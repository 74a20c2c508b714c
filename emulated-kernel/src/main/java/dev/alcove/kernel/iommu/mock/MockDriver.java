// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommu.mock;

import dev.alcove.kernel.iommu.Domain;
import dev.alcove.kernel.iommu.DomainOutcome;
import dev.alcove.kernel.iommu.HwInfo;
import dev.alcove.kernel.iommu.Iommu;
import dev.alcove.kernel.iommu.IommuDevice;
import dev.alcove.kernel.iommu.IommuDomain;
import dev.alcove.kernel.iommu.IommuGroup;
import dev.alcove.kernel.iommu.PageFormat;
import dev.alcove.kernel.iommu.UserData;
import dev.alcove.kernel.iommufd.DriverOutcome;
import dev.alcove.kernel.iommufd.NestedDomain;
import dev.alcove.kernel.iommufd.NestingDriver;
import dev.alcove.kernel.iommufd.VirtualIommu;
import dev.alcove.kernel.iommufd.VirtualIommuDriver;
import dev.alcove.sys.Errno;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import org.jspecify.annotations.Nullable;

/**
 * The mock IOMMU. Its page tables are those of an AMD IOMMU, every power of two is a size of a page, but from 2 KiB: less
 * than a page of the CPU.
 */
public final class MockDriver implements NestingDriver {
    /** Type of user data for page tables. */
    public static final int DATA_TYPE = 0xdead;

    private static final int PAGING_FLAGS = NEST_PARENT | DIRTY_TRACKING | PASID;
    private static final int HW_INFO_TYPE = 0xfeedbeef;
    private static final int HW_INFO_SIZE = 8;
    private static final int HW_INFO_REGISTER = 0xdeadbeef;
    private static final int PASID_BITS = 20;

    /** Of {@code struct iommu_hwpt_selftest}: what a nested page table's IOTLB holds, and the form of the page table. */
    private static final int USER_DATA_SIZE = 8;

    private static final int USER_DATA_LEAST = 4;
    private static final int FORMAT_OFFSET = 4;

    private static final int PAGE_SHIFT = 11;
    private static final int LEVELS = 3;
    private static final int ADDRESS_BITS = PAGE_SHIFT + 9 * LEVELS;

    /** One MiB and 4 KiB, within all that the table has entries for. */
    private static final PageFormat HUGE =
            new PageFormat(PAGE_SHIFT, LEVELS, (1L << 20) | (1L << 12), 0, (1L << ADDRESS_BITS) - 1);

    /** Every power of two up to half of what the table has entries for, and an aperture that starts at 16 MiB. */
    private static final PageFormat DEFAULT = HUGE.withPageSizes((1L << (ADDRESS_BITS - 1)) - (1L << PAGE_SHIFT))
            .withAperture(1L << 24, (1L << 31) - 1);

    private final Iommu iommu;

    /** The driver of one machine, which adds groups there. */
    public MockDriver(Iommu iommu) {
        this.iommu = iommu;
    }

    /**
     * Plugs a device in, in a group of its own.
     *
     * @param flags {@link MockDevice#NO_DIRTY}, {@link MockDevice#PASID}
     */
    public MockDevice plug(int flags) {
        IommuGroup group = iommu.newGroup(this);
        MockDevice device = new MockDevice(group, flags);
        group.addDevice(device);
        return device;
    }

    /** Takes a device out that nobody uses any more. */
    public void unplug(MockDevice device) {
        iommu.removeGroup(device.group());
    }

    @Override
    public boolean cacheCoherent(IommuDevice device) {
        return true;
    }

    @Override
    public boolean isolatedMsi(IommuDevice device) {
        // It makes none; Linux does not ask.
        return true;
    }

    @Override
    public boolean dirtyTracking(IommuDevice device) {
        return !((MockDevice) device).has(MockDevice.NO_DIRTY);
    }

    @Override
    public boolean pageRequests(IommuDevice device) {
        return true;
    }

    @Override
    public int pasidBits(IommuDevice device) {
        return ((MockDevice) device).has(MockDevice.PASID) ? PASID_BITS : 0;
    }

    @Override
    public int maxPasids(IommuDevice device) {
        // One without PASIDs says that it has 2^0 of them.
        return 1 << pasidBits(device);
    }

    @Override
    public DomainOutcome allocatePaging(IommuDevice device, int flags, @Nullable UserData data) {
        boolean dirty = (flags & DIRTY_TRACKING) != 0;
        if ((flags & ~PAGING_FLAGS) != 0 || (dirty && !dirtyTracking(device))) {
            return new DomainOutcome.Refused(Errno.EOPNOTSUPP);
        }
        MemorySegment wishes = MemorySegment.ofArray(new int[USER_DATA_SIZE / Integer.BYTES]);
        if (data != null) {
            if (data.type() != DATA_TYPE && data.type() != 0) {
                return new DomainOutcome.Refused(Errno.EOPNOTSUPP);
            }
            int error = data.copyIn(DATA_TYPE, wishes, USER_DATA_LEAST);
            if (error != 0) {
                return new DomainOutcome.Refused(-error);
            }
        }
        int form = wishes.get(ValueLayout.JAVA_INT, FORMAT_OFFSET);
        if (form != 0 && form != 1) {
            return new DomainOutcome.Refused(Errno.EOPNOTSUPP);
        }
        if (!iommu.allocator().charge("mock domain")) {
            return new DomainOutcome.Refused(Errno.ENOMEM);
        }
        return new DomainOutcome.Made(iommu.newDomain(this, form == 0 ? DEFAULT : HUGE, dirty));
    }

    @Override
    public @Nullable HwInfo hwInfo(IommuDevice device, int type) {
        if (type != 0 && type != HW_INFO_TYPE) {
            return null;
        }
        MemorySegment data = MemorySegment.ofArray(new int[HW_INFO_SIZE / Integer.BYTES]);
        data.set(ValueLayout.JAVA_INT, Integer.BYTES, HW_INFO_REGISTER);
        return new HwInfo(HW_INFO_TYPE, data);
    }

    @Override
    public int attach(IommuDevice device, @Nullable Domain next, @Nullable Domain old) {
        if (next instanceof IommuDomain paging && paging.tracksDirty() && !dirtyTracking(device)) {
            return -Errno.EINVAL;
        }
        return ((MockDevice) device).behind(next);
    }

    @Override
    public int attachPasid(IommuDevice device, int pasid, @Nullable Domain next, @Nullable Domain old) {
        return ((MockDevice) device).fails(pasid, next == null) ? -Errno.ENOMEM : 0;
    }

    @Override
    public boolean guestKeepsPasids() {
        return true;
    }

    @Override
    public DriverOutcome<NestedDomain> allocateNested(IommuDevice device, IommuDomain parent, int flags, UserData data) {
        return allocateNested(parent, null, flags, data);
    }

    DriverOutcome<NestedDomain> allocateNested(
            IommuDomain parent, @Nullable MockVirtualIommu viommu, int flags, UserData data) {
        if ((flags & ~PASID) != 0 || data.type() != DATA_TYPE) {
            return new DriverOutcome.Refused<>(Errno.EOPNOTSUPP);
        }
        MemorySegment wishes = MemorySegment.ofArray(new int[USER_DATA_SIZE / Integer.BYTES]);
        int error = data.copyIn(DATA_TYPE, wishes, USER_DATA_LEAST);
        if (error != 0) {
            return new DriverOutcome.Refused<>(-error);
        }
        if (!iommu.allocator().charge("mock nested domain")) {
            return new DriverOutcome.Refused<>(Errno.ENOMEM);
        }
        return new DriverOutcome.Made<>(
                new MockNestedDomain(this, parent, viommu, wishes.get(ValueLayout.JAVA_INT, 0)));
    }

    @Override
    public boolean virtualizes(IommuDevice device, int type) {
        return type == MockVirtualIommu.TYPE;
    }

    @Override
    public DriverOutcome<VirtualIommuDriver> newVirtualIommu(VirtualIommu core, @Nullable UserData data) {
        return MockVirtualIommu.create(this, core, data);
    }

    Iommu iommu() {
        return iommu;
    }
}
