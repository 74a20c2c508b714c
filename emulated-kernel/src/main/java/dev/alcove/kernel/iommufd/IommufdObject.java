// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommufd;

/** Something with an id in a context. */
public abstract sealed class IommufdObject permits Ioas, Hwpt, BoundDevice, FaultQueue, IommufdAccess, KernelObject {
    private final int id;

    /** Users besides the id itself; under the {@link ObjectTable}'s lock. */
    int users;

    IommufdObject(int id) {
        this.id = id;
    }

    /** Its id, from 1, unsigned. */
    public final int id() {
        return id;
    }

    /** Called once, after the id is gone. Takes the object apart; cannot fail. */
    protected abstract void destroy();
}
