// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommufd;

import dev.alcove.kernel.iommu.Domain;
import dev.alcove.sys.Errno;

/** A driver's part of a nested page table. */
public interface NestedDomain extends Domain {
    /**
     * Drops from the hardware's caches what a guest says ({@code cache_invalidate_user}).
     *
     * @return 0 or a negated errno; {@code -EOPNOTSUPP} when there are no such caches. The array tells how far it came.
     */
    default int invalidate(UserDataArray requests) {
        return -Errno.EOPNOTSUPP;
    }
}
