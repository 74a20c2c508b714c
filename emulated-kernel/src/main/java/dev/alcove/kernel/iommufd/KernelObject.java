// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommufd;

/** An object that another part of the kernel keeps in a context. */
public abstract non-sealed class KernelObject extends IommufdObject {
    /**
     * With an id of its own.
     *
     * @param id as {@link IommufdContext#reserveId} answered
     */
    protected KernelObject(int id) {
        super(id);
    }
}
