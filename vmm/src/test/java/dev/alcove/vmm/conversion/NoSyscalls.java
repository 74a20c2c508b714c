// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vmm.conversion;

import dev.alcove.sys.Errno;
import dev.alcove.sys.Syscalls;
import java.lang.foreign.MemorySegment;
import org.jspecify.annotations.Nullable;

/** A kernel that has no system call. */
abstract class NoSyscalls implements Syscalls {
    private static final int NONE = -Errno.ENOSYS;

    @Override
    public int open(String path, int flags, int mode) {
        return NONE;
    }

    @Override
    public int close(int fd) {
        return NONE;
    }

    @Override
    public int fcntl(int fd, int command, long argument) {
        return NONE;
    }

    @Override
    public int dup(int fd) {
        return NONE;
    }

    @Override
    public long read(int fd, MemorySegment buffer) {
        return NONE;
    }

    @Override
    public long write(int fd, MemorySegment buffer) {
        return NONE;
    }

    @Override
    public long pread(int fd, MemorySegment buffer, long offset) {
        return NONE;
    }

    @Override
    public long pwrite(int fd, MemorySegment buffer, long offset) {
        return NONE;
    }

    @Override
    public long lseek(int fd, long offset, int whence) {
        return NONE;
    }

    @Override
    public int fstat(int fd, MemorySegment stat) {
        return NONE;
    }

    @Override
    public int ioctl(int fd, int request, MemorySegment argument) {
        return NONE;
    }

    @Override
    public int ioctl(int fd, int request, long argument) {
        return NONE;
    }

    @Override
    public long mmap(long address, long length, int protection, int flags, int fd, long offset) {
        return NONE;
    }

    @Override
    public int munmap(long address, long length) {
        return NONE;
    }

    @Override
    public int madvise(long address, long length, int advice) {
        return NONE;
    }

    @Override
    public int fallocate(int fd, int mode, long offset, long length) {
        return NONE;
    }

    @Override
    public int ftruncate(int fd, long length) {
        return NONE;
    }

    @Override
    public int memfdCreate(String name, int flags) {
        return NONE;
    }

    @Override
    public int eventfd(int initial, int flags) {
        return NONE;
    }

    @Override
    public int poll(MemorySegment pollfds, int timeoutMillis) {
        return NONE;
    }

    @Override
    public int prlimit(int resource, @Nullable MemorySegment newLimit, @Nullable MemorySegment oldLimit) {
        return NONE;
    }

    @Override
    public int getdents64(int fd, MemorySegment buffer) {
        return NONE;
    }

    @Override
    public int readlink(String path, MemorySegment buffer) {
        return NONE;
    }

    @Override
    public int uname(MemorySegment utsname) {
        return NONE;
    }

    @Override
    public int getpid() {
        return NONE;
    }

    @Override
    public int gettid() {
        return NONE;
    }

    @Override
    public int geteuid() {
        return NONE;
    }

    @Override
    public int tgkill(int tgid, int tid, int signal) {
        return NONE;
    }

    @Override
    public int sigprocmask(int how, @Nullable MemorySegment set, @Nullable MemorySegment old) {
        return NONE;
    }

    @Override
    public int sigtimedwait(MemorySegment set, long timeoutNanos) {
        return NONE;
    }
}
