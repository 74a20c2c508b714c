// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.supervisor;

import dev.alcove.kernel.file.OpenFile;
import dev.alcove.sys.Linux;
import org.jspecify.annotations.Nullable;

/**
 * A FIFO that the program polls in a file's stead: by poll(2), select(2) or epoll(7), at the host's own speed. It has a
 * byte in it while the file has something to read; a new byte takes the place of the old one with each change, so that
 * whoever waits for edges sees them all. The byte stays here: a read of the file is answered by the file.
 *
 * <p>The FIFO is guarded by the monitor, which is a leaf but for those that the file's {@code poll} takes.
 */
final class Readiness implements Runnable {
    private final Host host;
    private final OpenFile file;
    /** For reading; the placeholder closes it. */
    private final int fifo;

    private final int source;
    private boolean ready;
    private boolean over;

    private Readiness(Host host, OpenFile file, int fifo, int source) {
        this.host = host;
        this.file = file;
        this.fifo = fifo;
        this.source = source;
    }

    /** One for a file, which is not followed before {@link #begin}; null when the host has no more descriptors. */
    static @Nullable Readiness of(Host host, OpenFile file) {
        int[] ends = host.pipe();
        return ends == null ? null : new Readiness(host, file, ends[0], ends[1]);
    }

    /** Own descriptor of the FIFO, for reading. */
    int fifo() {
        return fifo;
    }

    void begin() {
        file.listen(this);
        run();
    }

    /** The file has changed. */
    @Override
    public synchronized void run() {
        if (over) {
            return;
        }
        boolean now = (file.poll() & Linux.POLLIN) != 0;
        if (now) {
            host.move(source, false);
        }
        if (ready) {
            host.move(fifo, true);
        }
        ready = now;
    }

    /** The file is gone; there is nothing to read any more. */
    void end() {
        file.unlisten(this);
        synchronized (this) {
            if (!over) {
                over = true;
                host.close(source);
            }
        }
    }
}
