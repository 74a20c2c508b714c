// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommufd;

import java.util.concurrent.atomic.AtomicInteger;

/** Something with an id in a context. */
public abstract sealed class IommufdObject
        permits Ioas, HwPageTable, BoundDevice, IommufdAccess, EventQueue, VirtualIommu, VirtualDevice, HwQueue,
                KernelObject {
    private final int id;

    /** Set in {@link #brief}: no new brief users. Not listed (yet, or any more), or somebody waits for them. */
    private static final int UNLISTED = 1 << 31;

    private static final int LEAVING = 1 << 30;

    /** Users besides the id itself and the brief ones; under the {@link ObjectTable}'s lock. */
    int users;

    /** Those users that go away by themselves, soon or when {@link #unplug} asks them to: their number and the flags. */
    private final AtomicInteger brief = new AtomicInteger(UNLISTED);

    IommufdObject(int id) {
        this.id = id;
    }

    /** Its id, from 1, unsigned. */
    public final int id() {
        return id;
    }

    /** The table lists it now. */
    final void appear() {
        brief.set(0);
    }

    /** No brief user and nobody who waits for them: there will be none any more. False where there is one. */
    final boolean vanish() {
        return brief.compareAndSet(0, UNLISTED) || brief.compareAndSet(LEAVING, UNLISTED);
    }

    /** Becomes a brief user, if that is still possible. */
    final boolean enter() {
        for (int now = brief.get(); (now & (UNLISTED | LEAVING)) == 0; now = brief.get()) {
            if (brief.compareAndSet(now, now + 1)) {
                return true;
            }
        }
        return false;
    }

    /** Ends being a brief user; true where somebody waits for the last one, and this was it. */
    final boolean exit() {
        return brief.decrementAndGet() == LEAVING;
    }

    /** Lets no brief users in, or lets them in again. */
    final void refuse(boolean refused) {
        brief.getAndUpdate(now -> refused ? now | LEAVING : now & ~LEAVING);
    }

    final int briefUsers() {
        return brief.get() & ~(UNLISTED | LEAVING);
    }

    /** Makes lasting holders of brief uses let go ({@code pre_destroy}); no lock is held. */
    void unplug() {}

    /** Called once, after the id is gone. Takes the object apart; cannot fail. */
    protected abstract void destroy();
}
