// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.supervisor;

/** System call numbers of x86-64. */
final class Numbers {
    static final int READ = 0;
    static final int WRITE = 1;
    static final int OPEN = 2;
    static final int STAT = 4;
    static final int FSTAT = 5;
    static final int LSTAT = 6;
    static final int LSEEK = 8;
    static final int MMAP = 9;
    static final int MPROTECT = 10;
    static final int MUNMAP = 11;
    static final int IOCTL = 16;
    static final int PREAD64 = 17;
    static final int PWRITE64 = 18;
    static final int READV = 19;
    static final int WRITEV = 20;
    static final int ACCESS = 21;
    static final int MREMAP = 25;
    static final int MADVISE = 28;
    static final int DUP = 32;
    static final int DUP2 = 33;
    static final int EXECVE = 59;
    static final int FCNTL = 72;
    static final int FSYNC = 74;
    static final int FTRUNCATE = 77;
    static final int READLINK = 89;
    static final int FCHMOD = 91;
    static final int SCHED_SETAFFINITY = 203;
    static final int SCHED_GETAFFINITY = 204;
    static final int GETDENTS64 = 217;
    static final int OPENAT = 257;
    static final int NEWFSTATAT = 262;
    static final int READLINKAT = 267;
    static final int FACCESSAT = 269;
    static final int FALLOCATE = 285;
    static final int DUP3 = 292;
    static final int EXECVEAT = 322;
    static final int MEMFD_CREATE = 319;
    static final int STATX = 332;
    static final int OPENAT2 = 437;
    static final int FACCESSAT2 = 439;

    /** Those that ask whatever their arguments. */
    static final int[] ALWAYS = {OPENAT2, FALLOCATE, EXECVE, EXECVEAT};

    /** Those that change mappings, whatever their arguments. */
    static final int[] ON_MEMORY = {MUNMAP, MREMAP, MPROTECT};

    /** Those that ask for a descriptor in the window. */
    static final int[] ON_WINDOW = {
        READ, WRITE, FSTAT, NEWFSTATAT, LSEEK, PREAD64, PWRITE64, READV, WRITEV, FTRUNCATE, FCHMOD, FSYNC, GETDENTS64,
        STATX, READLINKAT, FACCESSAT, FACCESSAT2, DUP, DUP2, DUP3, FCNTL
    };

    /** Those that ask for a path, where names are claimed: by the path alone. */
    static final int[] ON_PATH = {STAT, LSTAT, ACCESS, READLINK};

    /** Those that ask for a path, where names are claimed: by a directory and the path. */
    static final int[] ON_DIRECTORY = {NEWFSTATAT, STATX, READLINKAT, FACCESSAT, FACCESSAT2};

    /** Those that ask when the machine has processors of its own. */
    static final int[] ON_PROCESSORS = {SCHED_SETAFFINITY, SCHED_GETAFFINITY};

    private Numbers() {}
}
