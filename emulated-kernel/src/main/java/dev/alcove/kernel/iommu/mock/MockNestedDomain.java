// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommu.mock;

import dev.alcove.kernel.iommu.IommuDomain;
import dev.alcove.kernel.iommu.IommuDriver;
import dev.alcove.kernel.iommufd.NestedDomain;
import dev.alcove.kernel.iommufd.UserDataArray;
import dev.alcove.sys.Errno;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/** A first stage behind the mock IOMMU: it translates nothing, and has an IOTLB that user space can look into. */
public final class MockNestedDomain implements NestedDomain {
    private static final int INVALIDATE_TYPE = 0xdeadbeef;
    private static final int INVALIDATE_SIZE = 8;
    private static final int INVALIDATE_ALL = 1;
    private static final int IOTLB_ENTRIES = 4;

    private final IommuDriver driver;
    private final IommuDomain parent;
    private final @Nullable MockVirtualIommu viommu;

    /** Guarded by itself. */
    private final int[] iotlb = new int[IOTLB_ENTRIES];

    /** @param viommu null when it was made without one */
    MockNestedDomain(IommuDriver driver, IommuDomain parent, @Nullable MockVirtualIommu viommu, int iotlbEntry) {
        this.driver = driver;
        this.parent = parent;
        this.viommu = viommu;
        Arrays.fill(iotlb, iotlbEntry);
    }

    @Override
    public IommuDriver driver() {
        return driver;
    }

    @Override
    public IommuDomain paging() {
        return parent;
    }

    @Nullable MockVirtualIommu viommu() {
        return viommu;
    }

    /** Whether there is an entry of the IOTLB, and it holds a value. */
    public boolean caches(int entry, int value) {
        synchronized (iotlb) {
            return Integer.compareUnsigned(entry, IOTLB_ENTRIES) < 0 && iotlb[entry] == value;
        }
    }

    @Override
    public int invalidate(UserDataArray requests) {
        if (requests.type() != INVALIDATE_TYPE) {
            return -Errno.EINVAL;
        }
        MemorySegment request = MemorySegment.ofArray(new int[INVALIDATE_SIZE / Integer.BYTES]);
        for (int i = 0; i != requests.count(); i++) {
            int error = requests.copyIn(i, INVALIDATE_TYPE, request.fill((byte) 0), INVALIDATE_SIZE);
            if (error == 0) {
                int flags = request.get(ValueLayout.JAVA_INT, 0);
                error = invalidate(flags, request.get(ValueLayout.JAVA_INT, Integer.BYTES));
            }
            if (error != 0) {
                return error;
            }
            requests.advance();
        }
        return 0;
    }

    private int invalidate(int flags, int entry) {
        if ((flags & ~INVALIDATE_ALL) != 0) {
            return -Errno.EOPNOTSUPP;
        }
        if (Integer.compareUnsigned(entry, IOTLB_ENTRIES) >= 0) {
            return -Errno.EINVAL;
        }
        synchronized (iotlb) {
            Arrays.fill(iotlb, flags != 0 ? 0 : entry, flags != 0 ? IOTLB_ENTRIES : entry + 1, 0);
        }
        return 0;
    }
}
