// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.kvm;

import java.util.concurrent.atomic.AtomicInteger;

/**
 * Whether one vCPU executes guest instructions right now, and whether it owes a TLB flush: the handshake of
 * {@link StageTwo}.
 *
 * <p>One word, changed by compare-and-set; the monitor only carries the wait of those who asked for a flush.
 */
final class GuestMode {
    /** The vCPU may use host addresses that it got earlier. */
    private static final int IN_GUEST = 1;

    /** The vCPU must forget its host addresses before it uses another one. */
    private static final int FLUSH = 2;

    private final AtomicInteger word = new AtomicInteger();
    private final Runnable attention;

    /** @param attention makes the processor call {@link VcpuBus#attend} soon; called from any thread */
    GuestMode(Runnable attention) {
        this.attention = attention;
    }

    /** vCPU: from now on no host address is used until {@link #enter} has succeeded. */
    void leave() {
        if ((word.getAndUpdate(w -> w & ~IN_GUEST) & FLUSH) != 0) {
            wake();
        }
    }

    /** vCPU: goes into guest mode; false, with nothing changed, while a flush is owed. */
    boolean enter() {
        int w;
        do {
            w = word.get();
            if ((w & FLUSH) != 0) {
                return false;
            }
        } while (!word.compareAndSet(w, w | IN_GUEST));
        return true;
    }

    /** vCPU: the flush that was owed is done, and nothing was looked up since. */
    void acknowledge() {
        word.getAndUpdate(w -> w & ~FLUSH);
        wake();
    }

    /** Others: the vCPU owes a flush; answers whether it is in guest mode, so that {@link #awaitFlush} may wait. */
    boolean request() {
        boolean inGuest = (word.getAndUpdate(w -> w | FLUSH) & IN_GUEST) != 0;
        if (inGuest) {
            attention.run();
        }
        return inGuest;
    }

    /** Others: waits until the vCPU has flushed or has left guest mode. */
    void awaitFlush() {
        boolean interrupted = false;
        synchronized (this) {
            while (word.get() == (IN_GUEST | FLUSH)) {
                try {
                    wait();
                } catch (InterruptedException e) {
                    interrupted = true; // an ioctl is not interruptible here; the caller sees the flag afterwards
                }
            }
        }
        if (interrupted) {
            Thread.currentThread().interrupt();
        }
    }

    private synchronized void wake() {
        notifyAll();
    }
}
