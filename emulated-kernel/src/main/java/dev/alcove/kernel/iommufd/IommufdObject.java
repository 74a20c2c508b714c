// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommufd;

import dev.alcove.kernel.locking.PercpuCount;

/** Something with an id in a context. */
public abstract sealed class IommufdObject
        permits Ioas, HwPageTable, BoundDevice, IommufdAccess, EventQueue, VirtualIommu, VirtualDevice, HwQueue,
                KernelObject {
    private final int id;

    /** Whether brief users may begin. */
    private enum State {
        /** Not listed (yet, or any more). */
        UNLISTED,
        OPEN,
        /** Somebody counts them, to have no new ones if there are none; soon over. */
        COUNTED,
        /** Somebody waits for them. */
        LEAVING
    }

    /** Users besides the id itself and the brief ones; under the {@link ObjectTable}'s lock. */
    int users;

    /** Those users that go away by themselves, soon or when {@link #unplug} asks them to. */
    private final PercpuCount brief = new PercpuCount();

    /** Changed under the {@link ObjectTable}'s lock. */
    private volatile State state = State.UNLISTED;

    IommufdObject(int id) {
        this.id = id;
    }

    /** Its id, from 1, unsigned. */
    public final int id() {
        return id;
    }

    /** The table lists it now; its lock is held. */
    final void appear() {
        state = State.OPEN;
    }

    /**
     * No brief user: there will be none any more. False where there is one, or one that comes just now. The table's lock is
     * held.
     */
    final boolean vanish() {
        State before = state;
        if (before == State.UNLISTED) {
            return false;
        }
        state = State.COUNTED;
        boolean unused = brief.sum() == 0;
        state = unused ? State.UNLISTED : before;
        return unused;
    }

    /** Becomes a brief user, if that is still possible. */
    final boolean enter() {
        while (true) {
            // The count before the look; who refuses users looks at the count afterwards.
            brief.increment();
            State now = state;
            if (now == State.OPEN) {
                return true;
            }
            brief.decrement();
            if (now != State.COUNTED) {
                return false;
            }
            Thread.onSpinWait();
        }
    }

    /** Ends being a brief user; true where somebody may wait for that. */
    final boolean exit() {
        brief.decrement();
        State now = state;
        return now == State.LEAVING || now == State.COUNTED;
    }

    /** Lets no brief users in, or lets them in again; the table's lock is held. */
    final void refuse(boolean refused) {
        if (state == (refused ? State.OPEN : State.LEAVING)) {
            state = refused ? State.LEAVING : State.OPEN;
        }
    }

    final long briefUsers() {
        return brief.sum();
    }

    /** Makes lasting holders of brief uses let go ({@code pre_destroy}); no lock is held. */
    void unplug() {}

    /** Called once, after the id is gone. Takes the object apart; cannot fail. */
    protected abstract void destroy();
}
