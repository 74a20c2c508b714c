// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.supervisor;

import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import dev.alcove.sys.MissingFeatureException;
import dev.alcove.sys.SyscallException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import org.jspecify.annotations.Nullable;

import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

/**
 * The descriptor through which a seccomp filter asks. One thread at a time may {@link #receive}; answers may come from
 * any thread.
 */
final class Listener implements AutoCloseable {
    private static final long NR_PRCTL = 157;
    private static final long NR_SECCOMP = 317;
    private static final int PR_SET_NO_NEW_PRIVS = 38;
    private static final int SECCOMP_SET_MODE_FILTER = 1;
    private static final int NEW_LISTENER = 8;
    private static final int WAIT_KILLABLE_RECV = 32;
    private static final int RECV = 0xC0502100;
    private static final int SEND = 0xC0182101;
    private static final int ID_VALID = 0x40082102;
    private static final int ADDFD = 0x40182103;
    private static final int SET_FLAGS = 0x40082104;
    private static final int SYNC_WAKE_UP = 1;
    private static final int CONTINUE = 1;
    private static final int ADDFD_AT_NUMBER = 1;
    private static final int BYTES = 80;

    private final Host host;
    private final int fd;
    private final Arena arena = Arena.ofShared();
    private final MemorySegment received = arena.allocate(BYTES, 8);

    private Listener(Host host, int fd) {
        this.host = host;
        this.fd = fd;
    }

    /**
     * Puts a filter on the calling thread, for good: on what it starts as well, and on no other thread.
     *
     * @throws MissingFeatureException where the host's kernel or a container does not let it
     */
    static Listener install(Host host, Filter filter) {
        try (Arena arena = Arena.ofConfined()) {
            long privileges = host.raw.call(NR_PRCTL, PR_SET_NO_NEW_PRIVS, 1, 0);
            long fd = privileges < 0 ? privileges : host.raw.call(
                    NR_SECCOMP, SECCOMP_SET_MODE_FILTER, NEW_LISTENER | WAIT_KILLABLE_RECV, filter.program(arena).address());
            if (fd < 0) {
                throw new MissingFeatureException("seccomp: " + Errno.name(fd) + " (" + Errno.message(fd)
                        + "): this system does not let a program be supervised (user notification)", hint(fd));
            }
            return new Listener(host, (int) fd);
        }
    }

    private static String hint(long error) {
        String kernel = "; this is Linux " + System.getProperty("os.version");
        return switch ((int) -error) {
            case Errno.EBUSY -> "this process is supervised in the same way already, which cannot be nested: run it outside";
            case Errno.EPERM, Errno.EACCES -> "a container's seccomp profile forbids seccomp(2) with a listener:"
                    + " docker run --security-opt seccomp=unconfined, or allow \"seccomp\" in the profile" + kernel;
            default -> "it takes Linux 5.19 or newer with CONFIG_SECCOMP_FILTER" + kernel;
        };
    }

    /** Lets the answer's thread hand its processor to the one that waits: ten times faster where the kernel has it (6.6). */
    void wakeUpInStep() {
        host.calls.ioctl(fd, SET_FLAGS, (long) SYNC_WAKE_UP);
    }

    /** The next call; null when the thread that made it is gone, and when there is nobody left to make one. */
    @Nullable Notification receive() {
        MemorySegment own = received.fill((byte) 0);
        if (host.calls.ioctl(fd, RECV, own) < 0) {
            return null;
        }
        return new Notification(
                own.get(JAVA_LONG, 0),
                own.get(JAVA_INT, 8),
                own.get(JAVA_INT, 16),
                own.get(JAVA_LONG, 32),
                own.get(JAVA_LONG, 40),
                own.get(JAVA_LONG, 48),
                own.get(JAVA_LONG, 56),
                own.get(JAVA_LONG, 64),
                own.get(JAVA_LONG, 72));
    }

    /** Whether nobody is left who could make a call. */
    boolean ended() {
        return (host.poll(fd, Linux.POLLIN, 0) & Linux.POLLHUP) != 0;
    }

    /** Ends a call with a value or a negated errno. */
    void answer(long id, long value) {
        boolean failed = Linux.isError(value);
        send(id, failed ? 0 : value, failed ? (int) value : 0, 0);
    }

    /** Lets the host's kernel carry a call out. */
    void proceed(long id) {
        send(id, 0, 0, CONTINUE);
    }

    private void send(long id, long value, int error, int flags) {
        try (Arena own = Arena.ofConfined()) {
            MemorySegment response = own.allocate(24, 8);
            response.set(JAVA_LONG, 0, id);
            response.set(JAVA_LONG, 8, value);
            response.set(JAVA_INT, 16, error);
            response.set(JAVA_INT, 20, flags);
            int answer = host.calls.ioctl(fd, SEND, response);
            if (answer < 0 && answer != -Errno.ENOENT && answer != -Errno.EINPROGRESS) {
                throw new SyscallException("SECCOMP_IOCTL_NOTIF_SEND", "", answer);
            }
        }
    }

    /**
     * Gives the caller a descriptor.
     *
     * @param file own descriptor, which stays open
     * @param number which one it is to be, or -1 for the lowest free one
     * @return its number with the caller, or a negated errno
     */
    int addFile(long id, int file, int number, boolean closeOnExec) {
        try (Arena own = Arena.ofConfined()) {
            MemorySegment request = own.allocate(24, 8);
            request.set(JAVA_LONG, 0, id);
            request.set(JAVA_INT, 8, number < 0 ? 0 : ADDFD_AT_NUMBER);
            request.set(JAVA_INT, 12, file);
            request.set(JAVA_INT, 16, Math.max(0, number));
            request.set(JAVA_INT, 20, closeOnExec ? Linux.O_CLOEXEC : 0);
            return host.calls.ioctl(fd, ADDFD, request);
        }
    }

    /** Whether a call still waits: its thread lives, and was not interrupted for good. */
    boolean valid(long id) {
        try (Arena own = Arena.ofConfined()) {
            MemorySegment request = own.allocate(JAVA_LONG);
            request.set(JAVA_LONG, 0, id);
            return host.calls.ioctl(fd, ID_VALID, request) == 0;
        }
    }

    @Override
    public void close() {
        host.close(fd);
        arena.close();
    }
}
