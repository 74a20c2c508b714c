// SPDX-License-Identifier: Apache-2.0
package dev.alcove.sys;

import java.lang.foreign.MemorySegment;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.Predicate;
import org.jspecify.annotations.Nullable;

/**
 * Makes system calls fail on purpose: a failed call answers its errno and does not reach the kernel. Thread safe.
 */
public final class FaultInjectingSyscalls implements Syscalls {
    private final Syscalls target;
    private final List<Fault> faults = new CopyOnWriteArrayList<>();

    public FaultInjectingSyscalls(Syscalls target) {
        this.target = target;
    }

    /**
     * A call, as a {@link Fault} chooses by it.
     *
     * @param name the method of {@link Syscalls}, such as {@code ioctl}
     * @param fd its descriptor, or -1
     * @param request the number of an ioctl, else 0
     */
    public record Call(String name, int fd, int request) {
        /** Chooses calls by name. */
        public static Predicate<Call> named(String name) {
            return call -> call.name.equals(name);
        }

        /** Chooses one ioctl by number; surplus upper bits are dropped, for the {@code long} ones of the bindings. */
        public static Predicate<Call> ioctl(long request) {
            return call -> call.name.equals("ioctl") && call.request == (int) request;
        }
    }

    /** One planned failure. */
    public static final class Fault {
        private final Predicate<Call> which;
        private final long nth;
        private final int errno;
        private final AtomicLong seen = new AtomicLong();

        private Fault(Predicate<Call> which, long nth, int errno) {
            this.which = which;
            this.nth = nth;
            this.errno = errno;
        }

        /** How many calls were chosen so far. */
        public long seen() {
            return seen.get();
        }

        /** Whether the failure has happened. */
        public boolean fired() {
            return nth > 0 && seen.get() >= nth;
        }

        private boolean hits(Call call) {
            return which.test(call) && seen.incrementAndGet() == nth;
        }
    }

    /**
     * Plans a failure.
     *
     * @param which the calls that count
     * @param nth which of them fails, from 1; 0 fails none and counts only
     * @param errno such as {@link Errno#ENOMEM}
     */
    public Fault failNth(Predicate<Call> which, long nth, int errno) {
        Fault fault = new Fault(which, nth, errno);
        faults.add(fault);
        return fault;
    }

    /** Forgets all plans. */
    public void clear() {
        faults.clear();
    }

    private int fault(String name, int fd, int request) {
        if (faults.isEmpty()) {
            return 0;
        }
        Call call = new Call(name, fd, request);
        int answer = 0;
        for (Fault fault : faults) {
            if (fault.hits(call)) {
                answer = -fault.errno;
            }
        }
        return answer;
    }

    @Override
    public int open(String path, int flags, int mode) {
        int fault = fault("open", -1, 0);
        return fault != 0 ? fault : target.open(path, flags, mode);
    }

    @Override
    public int close(int fd) {
        int fault = fault("close", fd, 0);
        return fault != 0 ? fault : target.close(fd);
    }

    @Override
    public int fcntl(int fd, int command, long argument) {
        int fault = fault("fcntl", fd, 0);
        return fault != 0 ? fault : target.fcntl(fd, command, argument);
    }

    @Override
    public int dup(int fd) {
        int fault = fault("dup", fd, 0);
        return fault != 0 ? fault : target.dup(fd);
    }

    @Override
    public long read(int fd, MemorySegment buffer) {
        int fault = fault("read", fd, 0);
        return fault != 0 ? fault : target.read(fd, buffer);
    }

    @Override
    public long write(int fd, MemorySegment buffer) {
        int fault = fault("write", fd, 0);
        return fault != 0 ? fault : target.write(fd, buffer);
    }

    @Override
    public long pread(int fd, MemorySegment buffer, long offset) {
        int fault = fault("pread", fd, 0);
        return fault != 0 ? fault : target.pread(fd, buffer, offset);
    }

    @Override
    public long pwrite(int fd, MemorySegment buffer, long offset) {
        int fault = fault("pwrite", fd, 0);
        return fault != 0 ? fault : target.pwrite(fd, buffer, offset);
    }

    @Override
    public long lseek(int fd, long offset, int whence) {
        int fault = fault("lseek", fd, 0);
        return fault != 0 ? fault : target.lseek(fd, offset, whence);
    }

    @Override
    public int fstat(int fd, MemorySegment stat) {
        int fault = fault("fstat", fd, 0);
        return fault != 0 ? fault : target.fstat(fd, stat);
    }

    @Override
    public int ioctl(int fd, int request, MemorySegment argument) {
        int fault = fault("ioctl", fd, request);
        return fault != 0 ? fault : target.ioctl(fd, request, argument);
    }

    @Override
    public int ioctl(int fd, int request, long argument) {
        int fault = fault("ioctl", fd, request);
        return fault != 0 ? fault : target.ioctl(fd, request, argument);
    }

    @Override
    public long mmap(long address, long length, int protection, int flags, int fd, long offset) {
        int fault = fault("mmap", fd, 0);
        return fault != 0 ? fault : target.mmap(address, length, protection, flags, fd, offset);
    }

    @Override
    public int munmap(long address, long length) {
        int fault = fault("munmap", -1, 0);
        return fault != 0 ? fault : target.munmap(address, length);
    }

    @Override
    public int madvise(long address, long length, int advice) {
        int fault = fault("madvise", -1, 0);
        return fault != 0 ? fault : target.madvise(address, length, advice);
    }

    @Override
    public int fallocate(int fd, int mode, long offset, long length) {
        int fault = fault("fallocate", fd, 0);
        return fault != 0 ? fault : target.fallocate(fd, mode, offset, length);
    }

    @Override
    public int ftruncate(int fd, long length) {
        int fault = fault("ftruncate", fd, 0);
        return fault != 0 ? fault : target.ftruncate(fd, length);
    }

    @Override
    public int memfdCreate(String name, int flags) {
        int fault = fault("memfdCreate", -1, 0);
        return fault != 0 ? fault : target.memfdCreate(name, flags);
    }

    @Override
    public int eventfd(int initial, int flags) {
        int fault = fault("eventfd", -1, 0);
        return fault != 0 ? fault : target.eventfd(initial, flags);
    }

    @Override
    public int poll(MemorySegment pollfds, int timeoutMillis) {
        int fault = fault("poll", -1, 0);
        return fault != 0 ? fault : target.poll(pollfds, timeoutMillis);
    }

    @Override
    public int prlimit(int resource, @Nullable MemorySegment newLimit, @Nullable MemorySegment oldLimit) {
        int fault = fault("prlimit", -1, 0);
        return fault != 0 ? fault : target.prlimit(resource, newLimit, oldLimit);
    }

    @Override
    public int getdents64(int fd, MemorySegment buffer) {
        int fault = fault("getdents64", fd, 0);
        return fault != 0 ? fault : target.getdents64(fd, buffer);
    }

    @Override
    public int readlink(String path, MemorySegment buffer) {
        int fault = fault("readlink", -1, 0);
        return fault != 0 ? fault : target.readlink(path, buffer);
    }

    @Override
    public int uname(MemorySegment utsname) {
        int fault = fault("uname", -1, 0);
        return fault != 0 ? fault : target.uname(utsname);
    }

    @Override
    public int getpid() {
        int fault = fault("getpid", -1, 0);
        return fault != 0 ? fault : target.getpid();
    }

    @Override
    public int gettid() {
        int fault = fault("gettid", -1, 0);
        return fault != 0 ? fault : target.gettid();
    }

    @Override
    public int geteuid() {
        int fault = fault("geteuid", -1, 0);
        return fault != 0 ? fault : target.geteuid();
    }

    @Override
    public int tgkill(int tgid, int tid, int signal) {
        int fault = fault("tgkill", -1, 0);
        return fault != 0 ? fault : target.tgkill(tgid, tid, signal);
    }

    @Override
    public int sigprocmask(int how, @Nullable MemorySegment set, @Nullable MemorySegment old) {
        int fault = fault("sigprocmask", -1, 0);
        return fault != 0 ? fault : target.sigprocmask(how, set, old);
    }

    @Override
    public int sigtimedwait(MemorySegment set, long timeoutNanos) {
        int fault = fault("sigtimedwait", -1, 0);
        return fault != 0 ? fault : target.sigtimedwait(set, timeoutNanos);
    }
}
