// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.vfio;

import dev.alcove.kernel.file.EventFile;
import dev.alcove.kernel.pci.PciFunction;
import dev.alcove.sys.Linux;

/**
 * An eventfd on which a driver acts (drivers/vfio/virqfd.c): a signal is taken off it at once, and work is done. It ends
 * when the eventfd is closed.
 *
 * <p>The work takes the function's lock, and that of its device model. A signal that comes with the function's lock
 * held, from one of the function's own interrupts, leaves the work to another thread.
 */
final class Virqfd implements EventFile.Actor {
    private final PciFunction function;
    private final EventFile file;
    private final Runnable work;
    private volatile boolean over;

    Virqfd(PciFunction function, EventFile file, Runnable work) {
        this.function = function;
        this.file = file;
        this.work = work;
    }

    /** A signal that came earlier counts, but stays where it is. */
    void start() {
        file.act(this);
        if ((file.poll() & Linux.POLLIN) != 0) {
            work.run();
        }
    }

    /** Whether the eventfd is closed. */
    boolean over() {
        return over;
    }

    @Override
    public void hungUp() {
        over = true;
    }

    void stop() {
        file.cease(this);
    }

    @Override
    public void signalled() {
        file.consume();
        if (Thread.holdsLock(function)) {
            Thread.startVirtualThread(work);
        } else {
            work.run();
        }
    }
}
