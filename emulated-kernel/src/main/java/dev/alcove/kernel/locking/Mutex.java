// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.locking;

import java.util.concurrent.locks.ReentrantLock;

/**
 * A lock whose waiters look for it a while before they sleep, as Linux's mutex does: the holder is nearly always done by
 * then, and to be woken up takes longer than what is done under the lock.
 */
public final class Mutex extends ReentrantLock {
    private static final long serialVersionUID = 1;

    @Override
    public void lock() {
        for (int look = 0; look < Spin.LOOKS; look++) {
            if ((!isLocked() || look == 0) && tryLock()) {
                return;
            }
            Spin.pause(look);
        }
        super.lock();
    }
}
