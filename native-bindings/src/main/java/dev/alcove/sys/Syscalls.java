// SPDX-License-Identifier: Apache-2.0
package dev.alcove.sys;

import java.lang.foreign.MemorySegment;
import org.jspecify.annotations.Nullable;

/**
 * The system calls that Alcove makes, at the level of the Linux x86-64 system call interface.
 *
 * <p>Every method answers as the system call itself does: a value of zero or more, or a negated errno
 * ({@code -Errno.EINVAL}). Structs are real Linux structs. Nothing above this interface knows whether a real or an
 * emulated kernel answers.
 *
 * <p>A segment that is handed to a call directly may be any native segment. An address <em>inside</em> a struct
 * must lie in memory that came from {@link #mmap} of the same object ({@link UserArena} allocates there): the
 * emulated kernel answers {@code EFAULT} for the rest.
 *
 * <p>All methods may be called from any thread.
 */
public interface Syscalls {
    /** open(2). Flags as in {@link Linux}; the new descriptor is the lowest free one. */
    int open(String path, int flags, int mode);

    /** close(2). */
    int close(int fd);

    /** fcntl(2) with an integer argument: F_DUPFD_CLOEXEC, F_GETFD, F_SETFD, F_GETFL, F_GET_SEALS, F_ADD_SEALS. */
    int fcntl(int fd, int command, long argument);

    /** dup(2). */
    int dup(int fd);

    /** read(2) of up to {@code buffer.byteSize()} bytes. */
    long read(int fd, MemorySegment buffer);

    /** write(2) of {@code buffer.byteSize()} bytes. */
    long write(int fd, MemorySegment buffer);

    /** pread64(2). */
    long pread(int fd, MemorySegment buffer, long offset);

    /** pwrite64(2). */
    long pwrite(int fd, MemorySegment buffer, long offset);

    /** lseek(2). */
    long lseek(int fd, long offset, int whence);

    /**
     * cachestat(2): how many pages of a file the kernel has in memory, or in its swap space.
     *
     * @return the number; {@code -ENOSYS} from a kernel before 6.5 and from those that have other means
     */
    default long cachestat(int fd, long offset, long length) {
        return -Errno.ENOSYS;
    }

    /** fstat(2) into a {@code struct stat} of 144 bytes. */
    int fstat(int fd, MemorySegment stat);

    /** ioctl(2) whose argument is a pointer to a struct. */
    int ioctl(int fd, int request, MemorySegment argument);

    /** ioctl(2) whose argument is an integer, or a raw address. */
    int ioctl(int fd, int request, long argument);

    /** mmap(2); lengths and offsets in bytes. The answer is an address or a negated errno (above -4096). */
    long mmap(long address, long length, int protection, int flags, int fd, long offset);

    /** munmap(2). */
    int munmap(long address, long length);

    /** madvise(2). */
    int madvise(long address, long length, int advice);

    /** fallocate(2). */
    int fallocate(int fd, int mode, long offset, long length);

    /** ftruncate(2). */
    int ftruncate(int fd, long length);

    /** memfd_create(2). */
    int memfdCreate(String name, int flags);

    /** eventfd2(2). */
    int eventfd(int initial, int flags);

    /** poll(2) on an array of {@code struct pollfd} (8 bytes each); the segment's size gives their number. */
    int poll(MemorySegment pollfds, int timeoutMillis);

    /** prlimit64(2) of the calling process; each limit is two 64-bit words, soft and hard. */
    int prlimit(int resource, @Nullable MemorySegment newLimit, @Nullable MemorySegment oldLimit);

    /** getdents64(2). */
    int getdents64(int fd, MemorySegment buffer);

    /** readlink(2); the answer is the number of bytes, not terminated. */
    int readlink(String path, MemorySegment buffer);

    /** uname(2) into a {@code struct utsname} of 390 bytes (six fields of 65). */
    int uname(MemorySegment utsname);

    /** getpid(2). */
    int getpid();

    /** gettid(2) of the calling thread. */
    int gettid();

    /** geteuid(2). */
    int geteuid();

    /** tgkill(2). */
    int tgkill(int tgid, int tid, int signal);

    /** rt_sigprocmask(2) of the calling thread; the sets are 8 bytes. */
    int sigprocmask(int how, @Nullable MemorySegment set, @Nullable MemorySegment old);

    /** rt_sigtimedwait(2) with an 8 byte set; the answer is the signal's number, or {@code -EAGAIN} when none came. */
    int sigtimedwait(MemorySegment set, long timeoutNanos);
}
