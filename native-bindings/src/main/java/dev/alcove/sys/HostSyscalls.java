// SPDX-License-Identifier: Apache-2.0
package dev.alcove.sys;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemoryLayout;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;
import org.jspecify.annotations.Nullable;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

/**
 * The host's own kernel, reached through libc.
 *
 * <p>The errno of a call is captured in memory of the calling thread, right when the call returns.
 */
@SuppressWarnings("restricted") // the one class that links natively
public final class HostSyscalls implements Syscalls {
    private static final Linker LINKER = Linker.nativeLinker();
    private static final Linker.Option ERRNO = Linker.Option.captureCallState("errno");
    private static final ValueLayout.OfInt ERRNO_LAYOUT = (ValueLayout.OfInt)
            Linker.Option.captureStateLayout().select(MemoryLayout.PathElement.groupElement("errno"));
    private static final long ERRNO_OFFSET =
            Linker.Option.captureStateLayout().byteOffset(MemoryLayout.PathElement.groupElement("errno"));

    private static final MethodHandle OPEN = variadic("open", 2, JAVA_INT, ADDRESS, JAVA_INT, JAVA_INT);
    private static final MethodHandle CLOSE = function("close", JAVA_INT, JAVA_INT);
    private static final MethodHandle FCNTL = variadic("fcntl", 2, JAVA_INT, JAVA_INT, JAVA_INT, JAVA_LONG);
    private static final MethodHandle DUP = function("dup", JAVA_INT, JAVA_INT);
    private static final MethodHandle READ = function("read", JAVA_LONG, JAVA_INT, ADDRESS, JAVA_LONG);
    private static final MethodHandle WRITE = function("write", JAVA_LONG, JAVA_INT, ADDRESS, JAVA_LONG);
    private static final MethodHandle PREAD = function("pread", JAVA_LONG, JAVA_INT, ADDRESS, JAVA_LONG, JAVA_LONG);
    private static final MethodHandle PWRITE = function("pwrite", JAVA_LONG, JAVA_INT, ADDRESS, JAVA_LONG, JAVA_LONG);
    private static final MethodHandle LSEEK = function("lseek", JAVA_LONG, JAVA_INT, JAVA_LONG, JAVA_INT);
    private static final MethodHandle FSTAT = function("fstat", JAVA_INT, JAVA_INT, ADDRESS);
    private static final MethodHandle IOCTL_POINTER = variadic("ioctl", 2, JAVA_INT, JAVA_INT, JAVA_LONG, ADDRESS);
    private static final MethodHandle IOCTL_VALUE = variadic("ioctl", 2, JAVA_INT, JAVA_INT, JAVA_LONG, JAVA_LONG);
    private static final MethodHandle MMAP =
            function("mmap", JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_INT, JAVA_INT, JAVA_INT, JAVA_LONG);
    private static final MethodHandle MUNMAP = function("munmap", JAVA_INT, JAVA_LONG, JAVA_LONG);
    private static final MethodHandle MADVISE = function("madvise", JAVA_INT, JAVA_LONG, JAVA_LONG, JAVA_INT);
    private static final MethodHandle FALLOCATE =
            function("fallocate", JAVA_INT, JAVA_INT, JAVA_INT, JAVA_LONG, JAVA_LONG);
    private static final MethodHandle FTRUNCATE = function("ftruncate", JAVA_INT, JAVA_INT, JAVA_LONG);
    private static final MethodHandle MEMFD_CREATE = function("memfd_create", JAVA_INT, ADDRESS, JAVA_INT);
    private static final MethodHandle EVENTFD = function("eventfd", JAVA_INT, JAVA_INT, JAVA_INT);
    private static final MethodHandle POLL = function("poll", JAVA_INT, ADDRESS, JAVA_LONG, JAVA_INT);
    private static final MethodHandle PRLIMIT = function("prlimit", JAVA_INT, JAVA_INT, JAVA_INT, ADDRESS, ADDRESS);
    private static final MethodHandle READLINK = function("readlink", JAVA_LONG, ADDRESS, ADDRESS, JAVA_LONG);
    private static final MethodHandle UNAME = function("uname", JAVA_INT, ADDRESS);
    private static final MethodHandle GETEUID = function("geteuid", JAVA_INT);
    private static final MethodHandle GETPID = function("getpid", JAVA_INT);
    /** syscall(2) with up to four arguments, for what libc hides or changes. */
    private static final MethodHandle SYSCALL =
            variadic("syscall", 1, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG);

    private static final long NR_RT_SIGPROCMASK = 14;
    private static final long NR_RT_SIGTIMEDWAIT = 128;
    private static final long NR_GETTID = 186;
    private static final long NR_GETDENTS64 = 217;
    private static final long NR_TGKILL = 234;
    private static final long NR_CACHESTAT = 451;
    private static final long SIGSET_BYTES = 8;

    /** Two cache lines, as processors fetch them in pairs: what is written with each call is a thread's own. */
    private static final long LINES = 128;

    // Of the arguments of cachestat(2): struct cachestat_range is two numbers, struct cachestat five.
    private static final long CACHESTAT_RANGE = 0;
    private static final long CACHESTAT = 16;
    private static final long CACHED = CACHESTAT;
    private static final long EVICTED = CACHESTAT + 24;

    private final ThreadLocal<MemorySegment> callState = ThreadLocal.withInitial(
            () -> Arena.ofAuto().allocate(LINES, LINES).asSlice(0, Linker.Option.captureStateLayout()));

    private final ThreadLocal<MemorySegment> cachestat =
            ThreadLocal.withInitial(() -> Arena.ofAuto().allocate(LINES, LINES));

    private static MethodHandle function(String name, MemoryLayout result, MemoryLayout... arguments) {
        return LINKER.downcallHandle(
                LINKER.defaultLookup().findOrThrow(name), FunctionDescriptor.of(result, arguments), ERRNO);
    }

    private static MethodHandle variadic(String name, int firstVariadic, MemoryLayout result, MemoryLayout... args) {
        return LINKER.downcallHandle(
                LINKER.defaultLookup().findOrThrow(name),
                FunctionDescriptor.of(result, args),
                ERRNO,
                Linker.Option.firstVariadicArg(firstVariadic));
    }

    /** The answer of a libc function in the kernel's own form. */
    private static long answer(long result, MemorySegment state) {
        return result == -1 ? -state.get(ERRNO_LAYOUT, ERRNO_OFFSET) : result;
    }

    private static int answer(int result, MemorySegment state) {
        return result == -1 ? -state.get(ERRNO_LAYOUT, ERRNO_OFFSET) : result;
    }

    /** A wrong argument (a closed segment, a bad string) keeps its exception. */
    private static AssertionError unexpected(Throwable thrown) {
        return switch (thrown) {
            case RuntimeException wrongArgument -> throw wrongArgument;
            case Error error -> throw error;
            default -> new AssertionError("a downcall has no checked exceptions", thrown);
        };
    }

    /** C would end the string at the first zero, and mean another file. */
    private static MemorySegment string(Arena arena, String text) {
        if (text.indexOf(0) >= 0) {
            throw new BadInputException("a path or name must not have a zero character in it");
        }
        return arena.allocateFrom(text);
    }

    private static MemorySegment orNull(@Nullable MemorySegment segment) {
        return segment == null ? MemorySegment.NULL : segment;
    }

    private long syscall(long number, long first, long second, long third, long fourth) {
        MemorySegment state = callState.get();
        try {
            return answer((long) SYSCALL.invokeExact(state, number, first, second, third, fourth), state);
        } catch (Throwable thrown) {
            throw unexpected(thrown);
        }
    }

    private static long address(@Nullable MemorySegment segment) {
        return segment == null ? 0 : segment.address();
    }

    @Override
    public int open(String path, int flags, int mode) {
        MemorySegment state = callState.get();
        try (Arena arena = Arena.ofConfined()) {
            return answer((int) OPEN.invokeExact(state, string(arena, path), flags, mode), state);
        } catch (Throwable thrown) {
            throw unexpected(thrown);
        }
    }

    @Override
    public int close(int fd) {
        MemorySegment state = callState.get();
        try {
            return answer((int) CLOSE.invokeExact(state, fd), state);
        } catch (Throwable thrown) {
            throw unexpected(thrown);
        }
    }

    @Override
    public int fcntl(int fd, int command, long argument) {
        MemorySegment state = callState.get();
        try {
            return answer((int) FCNTL.invokeExact(state, fd, command, argument), state);
        } catch (Throwable thrown) {
            throw unexpected(thrown);
        }
    }

    @Override
    public int dup(int fd) {
        MemorySegment state = callState.get();
        try {
            return answer((int) DUP.invokeExact(state, fd), state);
        } catch (Throwable thrown) {
            throw unexpected(thrown);
        }
    }

    @Override
    public long read(int fd, MemorySegment buffer) {
        MemorySegment state = callState.get();
        try {
            return answer((long) READ.invokeExact(state, fd, buffer, buffer.byteSize()), state);
        } catch (Throwable thrown) {
            throw unexpected(thrown);
        }
    }

    @Override
    public long write(int fd, MemorySegment buffer) {
        MemorySegment state = callState.get();
        try {
            return answer((long) WRITE.invokeExact(state, fd, buffer, buffer.byteSize()), state);
        } catch (Throwable thrown) {
            throw unexpected(thrown);
        }
    }

    @Override
    public long pread(int fd, MemorySegment buffer, long offset) {
        MemorySegment state = callState.get();
        try {
            return answer((long) PREAD.invokeExact(state, fd, buffer, buffer.byteSize(), offset), state);
        } catch (Throwable thrown) {
            throw unexpected(thrown);
        }
    }

    @Override
    public long pwrite(int fd, MemorySegment buffer, long offset) {
        MemorySegment state = callState.get();
        try {
            return answer((long) PWRITE.invokeExact(state, fd, buffer, buffer.byteSize(), offset), state);
        } catch (Throwable thrown) {
            throw unexpected(thrown);
        }
    }

    @Override
    public long lseek(int fd, long offset, int whence) {
        MemorySegment state = callState.get();
        try {
            return answer((long) LSEEK.invokeExact(state, fd, offset, whence), state);
        } catch (Throwable thrown) {
            throw unexpected(thrown);
        }
    }

    @Override
    public long cachestat(int fd, long offset, long length) {
        MemorySegment structs = cachestat.get();
        structs.set(JAVA_LONG, CACHESTAT_RANGE, offset);
        structs.set(JAVA_LONG, CACHESTAT_RANGE + 8, length);
        long range = structs.address() + CACHESTAT_RANGE;
        long answer = syscall(NR_CACHESTAT, fd, range, structs.address() + CACHESTAT, 0);
        return answer == 0 ? structs.get(JAVA_LONG, CACHED) + structs.get(JAVA_LONG, EVICTED) : answer;
    }

    @Override
    public int fstat(int fd, MemorySegment stat) {
        MemorySegment state = callState.get();
        try {
            return answer((int) FSTAT.invokeExact(state, fd, stat), state);
        } catch (Throwable thrown) {
            throw unexpected(thrown);
        }
    }

    @Override
    public int ioctl(int fd, int request, MemorySegment argument) {
        MemorySegment state = callState.get();
        try {
            return answer((int) IOCTL_POINTER.invokeExact(state, fd, Integer.toUnsignedLong(request), argument), state);
        } catch (Throwable thrown) {
            throw unexpected(thrown);
        }
    }

    @Override
    public int ioctl(int fd, int request, long argument) {
        MemorySegment state = callState.get();
        try {
            return answer((int) IOCTL_VALUE.invokeExact(state, fd, Integer.toUnsignedLong(request), argument), state);
        } catch (Throwable thrown) {
            throw unexpected(thrown);
        }
    }

    @Override
    public long mmap(long address, long length, int protection, int flags, int fd, long offset) {
        MemorySegment state = callState.get();
        try {
            return answer((long) MMAP.invokeExact(state, address, length, protection, flags, fd, offset), state);
        } catch (Throwable thrown) {
            throw unexpected(thrown);
        }
    }

    @Override
    public int munmap(long address, long length) {
        MemorySegment state = callState.get();
        try {
            return answer((int) MUNMAP.invokeExact(state, address, length), state);
        } catch (Throwable thrown) {
            throw unexpected(thrown);
        }
    }

    @Override
    public int madvise(long address, long length, int advice) {
        MemorySegment state = callState.get();
        try {
            return answer((int) MADVISE.invokeExact(state, address, length, advice), state);
        } catch (Throwable thrown) {
            throw unexpected(thrown);
        }
    }

    @Override
    public int fallocate(int fd, int mode, long offset, long length) {
        MemorySegment state = callState.get();
        try {
            return answer((int) FALLOCATE.invokeExact(state, fd, mode, offset, length), state);
        } catch (Throwable thrown) {
            throw unexpected(thrown);
        }
    }

    @Override
    public int ftruncate(int fd, long length) {
        MemorySegment state = callState.get();
        try {
            return answer((int) FTRUNCATE.invokeExact(state, fd, length), state);
        } catch (Throwable thrown) {
            throw unexpected(thrown);
        }
    }

    @Override
    public int memfdCreate(String name, int flags) {
        MemorySegment state = callState.get();
        try (Arena arena = Arena.ofConfined()) {
            return answer((int) MEMFD_CREATE.invokeExact(state, string(arena, name), flags), state);
        } catch (Throwable thrown) {
            throw unexpected(thrown);
        }
    }

    @Override
    public int eventfd(int initial, int flags) {
        MemorySegment state = callState.get();
        try {
            return answer((int) EVENTFD.invokeExact(state, initial, flags), state);
        } catch (Throwable thrown) {
            throw unexpected(thrown);
        }
    }

    @Override
    public int poll(MemorySegment pollfds, int timeoutMillis) {
        MemorySegment state = callState.get();
        try {
            return answer((int) POLL.invokeExact(state, pollfds, pollfds.byteSize() / 8, timeoutMillis), state);
        } catch (Throwable thrown) {
            throw unexpected(thrown);
        }
    }

    @Override
    public int prlimit(int resource, @Nullable MemorySegment newLimit, @Nullable MemorySegment oldLimit) {
        MemorySegment state = callState.get();
        try {
            return answer((int) PRLIMIT.invokeExact(state, 0, resource, orNull(newLimit), orNull(oldLimit)), state);
        } catch (Throwable thrown) {
            throw unexpected(thrown);
        }
    }

    @Override
    public int getdents64(int fd, MemorySegment buffer) {
        return (int) syscall(NR_GETDENTS64, fd, buffer.address(), buffer.byteSize(), 0);
    }

    @Override
    public int readlink(String path, MemorySegment buffer) {
        MemorySegment state = callState.get();
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment name = string(arena, path);
            return (int) answer((long) READLINK.invokeExact(state, name, buffer, buffer.byteSize()), state);
        } catch (Throwable thrown) {
            throw unexpected(thrown);
        }
    }

    @Override
    public int uname(MemorySegment utsname) {
        MemorySegment state = callState.get();
        try {
            return answer((int) UNAME.invokeExact(state, utsname), state);
        } catch (Throwable thrown) {
            throw unexpected(thrown);
        }
    }

    @Override
    public int getpid() {
        MemorySegment state = callState.get();
        try {
            return answer((int) GETPID.invokeExact(state), state);
        } catch (Throwable thrown) {
            throw unexpected(thrown);
        }
    }

    @Override
    public int gettid() {
        return (int) syscall(NR_GETTID, 0, 0, 0, 0);
    }

    @Override
    public int geteuid() {
        MemorySegment state = callState.get();
        try {
            return answer((int) GETEUID.invokeExact(state), state);
        } catch (Throwable thrown) {
            throw unexpected(thrown);
        }
    }

    @Override
    public int tgkill(int tgid, int tid, int signal) {
        return (int) syscall(NR_TGKILL, tgid, tid, signal, 0);
    }

    @Override
    public int sigprocmask(int how, @Nullable MemorySegment set, @Nullable MemorySegment old) {
        return (int) syscall(NR_RT_SIGPROCMASK, how, address(set), address(old), SIGSET_BYTES);
    }

    @Override
    public int sigtimedwait(MemorySegment set, long timeoutNanos) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment timespec = arena.allocate(16, 8);
            timespec.set(JAVA_LONG, 0, timeoutNanos / 1_000_000_000L);
            timespec.set(JAVA_LONG, 8, timeoutNanos % 1_000_000_000L);
            return (int) syscall(NR_RT_SIGTIMEDWAIT, set.address(), 0, timespec.address(), SIGSET_BYTES);
        }
    }
}
