// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommu.mock;

import dev.alcove.kernel.iommu.Domain;
import dev.alcove.kernel.iommu.IommuDevice;
import dev.alcove.kernel.iommu.IommuGroup;
import dev.alcove.sys.Errno;
import java.util.Arrays;
import java.util.List;
import java.util.OptionalLong;
import org.jspecify.annotations.Nullable;

/**
 * A device behind the mock IOMMU, alone in its group. It has no requester id and makes no DMA. Lock: its monitor, for its
 * cache and for what virtual IOMMU it is behind.
 */
public final class MockDevice extends IommuDevice {
    /** Flag: the IOMMU cannot tell what the device wrote to. */
    public static final int NO_DIRTY = 1;

    /** Flag: the device has PASIDs. */
    public static final int PASID = 1 << 2;

    private static final int NO_REQUESTER = -1;

    /** Entries of the device's cache. */
    static final int CACHE_ENTRIES = 4;

    private static final int CACHE_DEFAULT = 0xbaddad;

    /** The second attach with this PASID fails, for the test of what follows. */
    private static final int FAILING_PASID = 1024;

    private final int flags;
    private final int[] cache = new int[CACHE_ENTRIES];
    private @Nullable MockVirtualIommu viommu;
    private long virtualId;
    private boolean failNext;

    MockDevice(IommuGroup group, int flags) {
        super(group, NO_REQUESTER, List.of());
        this.flags = flags;
        Arrays.fill(cache, CACHE_DEFAULT);
    }

    boolean has(int flag) {
        return (flags & flag) != 0;
    }

    /** Whether there is an entry of the cache, and it holds a value. */
    public synchronized boolean caches(int entry, int value) {
        return Integer.compareUnsigned(entry, CACHE_ENTRIES) < 0 && cache[entry] == value;
    }

    synchronized void invalidate(int entry, boolean all) {
        Arrays.fill(cache, all ? 0 : entry, all ? CACHE_ENTRIES : entry + 1, 0);
    }

    /**
     * Makes the hardware tell the guest that the device is behind a virtual IOMMU of.
     *
     * @return as {@code VirtualIommu.reportEvent}; {@code -ENOENT} it is behind none, or the guest has no number for it
     */
    public int report() {
        MockVirtualIommu behind;
        long number;
        synchronized (this) {
            behind = viommu;
            number = virtualId;
        }
        return behind == null || number == 0 ? -Errno.ENOENT : behind.report(number);
    }

    /** What an attach to a domain, null for none, is to the device itself: 0, or {@code -ENOENT} its guest has no number for it. */
    int behind(@Nullable Domain next) {
        MockVirtualIommu entered = next instanceof MockNestedDomain nested ? nested.viommu() : null;
        long number = 0;
        if (entered != null) {
            OptionalLong known = entered.core().virtualId(this);
            if (known.isEmpty()) {
                return -Errno.ENOENT;
            }
            number = known.getAsLong();
        }
        synchronized (this) {
            if (entered != viommu) {
                viommu = entered;
                virtualId = number;
            }
        }
        return 0;
    }

    /** Whether an attach with a PASID fails for lack of memory, as the test wants it. */
    synchronized boolean fails(int pasid, boolean blocked) {
        if (pasid != FAILING_PASID) {
            return false;
        }
        boolean fails = failNext && !blocked;
        failNext = !failNext && !blocked;
        return fails;
    }
}
