// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommufd;

/** Who uses an {@link IommufdAccess} ({@code struct iommufd_access_ops}). */
@FunctionalInterface
public interface AccessUser {
    /**
     * A range of the address space goes away: on return nothing in it may be pinned any more. No lock is held that
     * {@link IommufdAccess#unpinPages} takes.
     *
     * @param last the last byte
     */
    void unmap(long iova, long last);
}
