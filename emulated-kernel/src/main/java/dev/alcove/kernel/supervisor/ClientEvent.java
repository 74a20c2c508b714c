// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.supervisor;

import dev.alcove.kernel.file.EventFile;
import dev.alcove.sys.Linux;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.concurrent.locks.LockSupport;
import java.util.function.Consumer;

import static java.lang.foreign.ValueLayout.JAVA_LONG;

/**
 * An eventfd of the program's that the emulated kernel signals or waits for. Whoever listens is told by a thread that
 * waits beside; it ends with the last reference.
 */
final class ClientEvent extends EventFile {
    private static final int PATIENCE = 100;
    private static final long PAUSE_NANOS = 100_000;

    private final Host host;
    private final int fd;
    private final Consumer<ClientEvent> gone;
    private volatile boolean released;
    private boolean watched;

    /**
     * @param fd own descriptor of it, taken over
     * @param gone called when nobody refers to it any more
     */
    ClientEvent(Host host, int fd, long inode, Consumer<ClientEvent> gone) {
        super(0, Linux.EFD_NONBLOCK, inode);
        this.host = host;
        this.fd = fd;
        this.gone = gone;
    }

    @Override
    public void signal(long count) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment value = arena.allocate(JAVA_LONG);
            value.set(JAVA_LONG, 0, count);
            host.calls.write(fd, value);
        }
    }

    @Override
    public long consume() {
        if (host.poll(fd, Linux.POLLIN, 0) <= 0) {
            return 0;
        }
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment value = arena.allocate(JAVA_LONG);
            return host.calls.read(fd, value) == Long.BYTES ? value.get(JAVA_LONG, 0) : 0;
        }
    }

    @Override
    @SuppressWarnings("UnsynchronizedOverridesSynchronized") // the counter is the host's
    public int poll() {
        return Math.max(0, host.poll(fd, Linux.POLLIN | Linux.POLLOUT, 0));
    }

    @Override
    protected synchronized void listened() {
        if (!watched) {
            watched = true;
            Thread.ofPlatform().daemon().name("eventfd " + fd).start(this::watch);
        }
    }

    /** Wakes the listeners whenever the counter is not zero; they consume it. */
    private void watch() {
        while (!released) {
            if (host.poll(fd, Linux.POLLIN, PATIENCE) > 0 && !released) {
                wake();
                // A counter that nobody takes away must not keep a processor busy.
                if (host.poll(fd, Linux.POLLIN, 0) > 0) {
                    LockSupport.parkNanos(PAUSE_NANOS);
                }
            }
        }
        host.close(fd);
    }

    @Override
    protected synchronized void release() {
        released = true;
        gone.accept(this);
        if (!watched) {
            host.close(fd);
        }
    }
}
