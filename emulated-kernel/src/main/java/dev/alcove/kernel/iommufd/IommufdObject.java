// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommufd;

/** Something with an id in a context. */
public abstract sealed class IommufdObject
        permits Ioas, HwPageTable, BoundDevice, IommufdAccess, EventQueue, VirtualIommu, VirtualDevice, HwQueue,
                KernelObject {
    private final int id;

    /** Users besides the id itself; under the {@link ObjectTable}'s lock. */
    int users;

    /** Those users that go away by themselves, soon or when {@link #unplug} asks them to; under the same lock. */
    int briefUsers;

    /** Whether somebody waits for the brief users: there are no new ones. Under the same lock. */
    boolean leaving;

    IommufdObject(int id) {
        this.id = id;
    }

    /** Its id, from 1, unsigned. */
    public final int id() {
        return id;
    }

    /** Makes lasting holders of brief uses let go ({@code pre_destroy}); no lock is held. */
    void unplug() {}

    /** Called once, after the id is gone. Takes the object apart; cannot fail. */
    protected abstract void destroy();
}
