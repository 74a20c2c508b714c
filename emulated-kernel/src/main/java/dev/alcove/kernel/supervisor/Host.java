// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.supervisor;

import dev.alcove.sys.Errno;
import dev.alcove.sys.HostSyscalls;
import dev.alcove.sys.Linux;
import dev.alcove.sys.RawSyscalls;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import org.jspecify.annotations.Nullable;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

/**
 * The host's kernel, as far as a supervisor needs it. Answers are values or negated errnos. Thread safe; buffers belong
 * to the calling thread.
 */
final class Host {
    static final int O_PATH = 0x200000;
    static final int AT_FDCWD = -100;
    static final int AT_EMPTY_PATH = 0x1000;
    static final int LOCK_EX = 2;
    static final int LOCK_NB = 4;
    static final int IN_CLOSE = 0x18;

    private static final int PIECE = 1 << 16;
    private static final long NR_POLL = 7;
    private static final long NR_WAIT4 = 61;
    private static final long NR_FLOCK = 73;
    private static final long NR_CAPGET = 125;
    private static final long NR_PRCTL = 157;
    private static final long PR_CAPBSET_READ = 23;
    private static final long NR_INOTIFY_ADD_WATCH = 254;
    private static final long NR_INOTIFY_RM_WATCH = 255;
    private static final long NR_INOTIFY_INIT1 = 294;
    private static final long NR_PIPE2 = 293;
    private static final long NR_OPENAT = 257;
    private static final long NR_NEWFSTATAT = 262;
    private static final long NR_READLINKAT = 267;
    private static final long NR_PRLIMIT64 = 302;
    private static final long NR_PROCESS_VM_READV = 310;
    private static final long NR_PROCESS_VM_WRITEV = 311;
    private static final long NR_PIDFD_OPEN = 434;
    private static final long NR_PIDFD_GETFD = 438;
    private static final int PIDFD_THREAD = 0x80;
    private static final int CAPABILITY_VERSION = 0x20080522;
    private static final int STAT_BYTES = 144;

    /** A file's place in the world. */
    record Identity(long device, long inode) {}

    /** Memory of one thread for the arguments of a call. */
    private static final class Scratch {
        private final Arena arena = Arena.ofAuto();
        final MemorySegment iov = arena.allocate(32, 8);
        final MemorySegment data = arena.allocate(PIECE, 8);
        final MemorySegment text = arena.allocate(4096, 8);
        final MemorySegment struct = arena.allocate(STAT_BYTES, 8);
    }

    final HostSyscalls calls = new HostSyscalls();
    final RawSyscalls raw = new RawSyscalls();
    private final ThreadLocal<Scratch> scratch = ThreadLocal.withInitial(Scratch::new);
    private final Map<Integer, Integer> ends = new ConcurrentHashMap<>();
    private final long anonymousDevice;

    Host() {
        int memfd = calls.memfdCreate("alcove", Linux.MFD_CLOEXEC);
        Identity identity = identify(memfd, "");
        anonymousDevice = identity == null ? -1 : identity.device();
        close(memfd);
    }

    /** Where memfds and shared anonymous memory are. */
    long anonymousDevice() {
        return anonymousDevice;
    }

    private static MemorySegment text(Scratch own, String text) {
        own.text.setString(0, text);
        return own.text;
    }

    int close(int fd) {
        return calls.close(fd);
    }

    int openAt(int directory, String path, int flags) {
        Scratch own = scratch.get();
        return (int) raw.call(NR_OPENAT, directory, text(own, path).address(), flags | Linux.O_CLOEXEC, 0);
    }

    /** Which file a path is, links followed; null when there is none. */
    @Nullable Identity identify(int directory, String path) {
        Scratch own = scratch.get();
        long answer = raw.call(
                NR_NEWFSTATAT, directory, text(own, path).address(), own.struct.address(), path.isEmpty() ? AT_EMPTY_PATH : 0);
        return answer < 0 ? null : new Identity(own.struct.get(JAVA_LONG, 0), own.struct.get(JAVA_LONG, 8));
    }

    /** Bytes of an open file, or a negated errno. */
    long size(int fd) {
        Scratch own = scratch.get();
        int answer = calls.fstat(fd, own.struct);
        return answer < 0 ? answer : own.struct.get(JAVA_LONG, 48);
    }

    /** Where a link leads, or "" where there is none. */
    String readLink(int directory, String path) {
        Scratch own = scratch.get();
        long length = raw.call(NR_READLINKAT, directory, text(own, path).address(), own.data.address(), 4096);
        return length < 0 ? "" : string(own.data, length);
    }

    /** A text file of procfs, up to 64 KiB of it; null when it cannot be read. */
    @Nullable String readText(int directory, String path) {
        int fd = openAt(directory, path, Linux.O_RDONLY);
        if (fd < 0) {
            return null;
        }
        Scratch own = scratch.get();
        long length = 0;
        long more;
        do {
            more = length == PIECE ? 0 : calls.read(fd, own.data.asSlice(length));
            length += Math.max(0, more);
        } while (more > 0);
        close(fd);
        return more < 0 ? null : string(own.data, length);
    }

    private static String string(MemorySegment bytes, long length) {
        return new String(bytes.asSlice(0, length).toArray(JAVA_BYTE), StandardCharsets.UTF_8);
    }

    /** A memfd with a text in it, at its start. */
    int textFile(String name, String text) {
        int fd = calls.memfdCreate(name, Linux.MFD_CLOEXEC);
        if (fd >= 0) {
            fill(fd, text.getBytes(StandardCharsets.UTF_8));
        }
        return fd;
    }

    /** Writes bytes to the start of an own file. */
    void fill(int fd, byte[] bytes) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment copy = arena.allocate(Math.max(1, bytes.length));
            MemorySegment.copy(bytes, 0, copy, JAVA_BYTE, 0, bytes.length);
            calls.pwrite(fd, copy.asSlice(0, bytes.length), 0);
        }
    }

    // Another process.

    /** Copies memory of another process; 0, or {@code -EFAULT} with a part copied. */
    int copyIn(int tid, long address, MemorySegment into) {
        Scratch own = scratch.get();
        for (long done = 0; done < into.byteSize(); ) {
            long piece = Math.min(PIECE, into.byteSize() - done);
            if (transfer(own, NR_PROCESS_VM_READV, tid, address + done, piece) != piece) {
                return -Errno.EFAULT;
            }
            MemorySegment.copy(own.data, 0, into, done, piece);
            done += piece;
        }
        return 0;
    }

    /** Copies to the memory of another process; 0, or {@code -EFAULT} with a part copied. */
    int copyOut(int tid, long address, MemorySegment from) {
        Scratch own = scratch.get();
        for (long done = 0; done < from.byteSize(); ) {
            long piece = Math.min(PIECE, from.byteSize() - done);
            MemorySegment.copy(from, done, own.data, 0, piece);
            if (transfer(own, NR_PROCESS_VM_WRITEV, tid, address + done, piece) != piece) {
                return -Errno.EFAULT;
            }
            done += piece;
        }
        return 0;
    }

    private long transfer(Scratch own, long number, int tid, long address, long length) {
        own.iov.set(JAVA_LONG, 0, own.data.address());
        own.iov.set(JAVA_LONG, 8, length);
        own.iov.set(JAVA_LONG, 16, address);
        own.iov.set(JAVA_LONG, 24, length);
        return raw.call(number, tid, own.iov.address(), 1, own.iov.address() + 16, 1, 0);
    }

    /** A string of another process; null where it is not mapped, or longer than a path can be. */
    @Nullable String copyString(int tid, long address) {
        Scratch own = scratch.get();
        int length = 0;
        while (length < 4096) {
            long at = address + length;
            long piece = Math.min(4096 - length, Linux.PAGE_SIZE - (at & (Linux.PAGE_SIZE - 1)));
            if (transfer(own, NR_PROCESS_VM_READV, tid, at, piece) != piece) {
                return null;
            }
            MemorySegment.copy(own.data, 0, own.text, length, piece);
            for (int end = length + (int) piece; length < end; length++) {
                if (own.text.get(JAVA_BYTE, length) == 0) {
                    return string(own.text, length);
                }
            }
        }
        return null;
    }

    int pidfd(int tid) {
        int thread = (int) raw.call(NR_PIDFD_OPEN, tid, PIDFD_THREAD, 0);
        return thread == -Errno.EINVAL ? (int) raw.call(NR_PIDFD_OPEN, tid, 0, 0) : thread;
    }

    /** A copy of a descriptor of another process. */
    int takeFile(int tid, int fd) {
        int pidfd = pidfd(tid);
        if (pidfd < 0) {
            return pidfd;
        }
        int taken = (int) raw.call(NR_PIDFD_GETFD, pidfd, fd, 0);
        close(pidfd);
        return taken;
    }

    /**
     * wait4(2). The end of a child is told once, perhaps to a thread that traces it: {@link #end} has it then.
     *
     * @param status gets the status
     */
    int await(int pid, MemorySegment status, int options) {
        int ended = (int) raw.call(NR_WAIT4, pid, status.address(), options, 0);
        if (ended > 0 && (status.get(JAVA_INT, 0) & 0xff) != 0x7f) {
            ends.put(ended, status.get(JAVA_INT, 0));
        }
        return ended;
    }

    /** The status with which a child has ended, of which {@link #await} has told; null when it has not. */
    @Nullable Integer end(int pid) {
        return ends.get(pid);
    }

    /** The effective capabilities of a thread, as bits; none when it is gone. */
    long capabilities(int tid) {
        Scratch own = scratch.get();
        own.struct.set(JAVA_INT, 0, CAPABILITY_VERSION);
        own.struct.set(JAVA_INT, 4, tid);
        long sets = own.struct.address() + 8;
        if (raw.call(NR_CAPGET, own.struct.address(), sets, 0) < 0) {
            return 0;
        }
        return Integer.toUnsignedLong(own.struct.get(JAVA_INT, 8)) | ((long) own.struct.get(JAVA_INT, 20) << 32);
    }

    /** Whether no program can have a capability here, whoever runs it: a container's affair. */
    boolean withholds(int capability) {
        return raw.call(NR_PRCTL, PR_CAPBSET_READ, capability, 0) == 0;
    }

    /** A soft limit of a process; 0 when it is gone. */
    long limit(int tid, int resource) {
        Scratch own = scratch.get();
        long answer = raw.call(NR_PRLIMIT64, tid, resource, 0, own.struct.address());
        return answer < 0 ? 0 : own.struct.get(JAVA_LONG, 0);
    }

    // Own files.

    /** The ends of a new pipe, that for reading first, neither of which waits; null when there can be none. */
    int @Nullable [] pipe() {
        Scratch own = scratch.get();
        long answer = raw.call(NR_PIPE2, own.struct.address(), Linux.O_CLOEXEC | Linux.O_NONBLOCK, 0);
        return answer < 0 ? null : new int[] {own.struct.get(JAVA_INT, 0), own.struct.get(JAVA_INT, 4)};
    }

    /** Writes one byte, or reads one. */
    void move(int fd, boolean in) {
        Scratch own = scratch.get();
        MemorySegment one = own.struct.asSlice(0, 1);
        if (in) {
            calls.read(fd, one);
        } else {
            calls.write(fd, one);
        }
    }

    int flock(int fd, int operation) {
        return (int) raw.call(NR_FLOCK, fd, operation, 0);
    }

    int inotify() {
        return (int) raw.call(NR_INOTIFY_INIT1, Linux.O_CLOEXEC | Linux.O_NONBLOCK, 0, 0);
    }

    int watch(int inotify, String path, int mask) {
        return (int) raw.call(NR_INOTIFY_ADD_WATCH, inotify, text(scratch.get(), path).address(), mask);
    }

    void unwatch(int inotify, int watch) {
        raw.call(NR_INOTIFY_RM_WATCH, inotify, watch, 0);
    }

    /** Waits for one file; the events that hold, 0 after the time, or a negated errno. */
    int poll(int fd, int events, int timeoutMillis) {
        Scratch own = scratch.get();
        own.struct.set(JAVA_INT, 0, fd);
        own.struct.set(JAVA_INT, 4, events);
        long answer = raw.call(NR_POLL, own.struct.address(), 1, timeoutMillis);
        return answer <= 0 ? (int) answer : own.struct.get(JAVA_INT, 4) >>> 16;
    }
}
