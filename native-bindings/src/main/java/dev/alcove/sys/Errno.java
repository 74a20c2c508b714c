// SPDX-License-Identifier: Apache-2.0
package dev.alcove.sys;

import java.util.Set;

/** Linux error numbers, as positive integers; names and messages come from jnr-constants. */
public final class Errno {
    public static final int EPERM = 1;
    public static final int ENOENT = 2;
    public static final int ESRCH = 3;
    public static final int EINTR = 4;
    public static final int EIO = 5;
    public static final int ENXIO = 6;
    public static final int E2BIG = 7;
    public static final int ENOEXEC = 8;
    public static final int EBADF = 9;
    public static final int ECHILD = 10;
    public static final int EAGAIN = 11;
    public static final int ENOMEM = 12;
    public static final int EACCES = 13;
    public static final int EFAULT = 14;
    public static final int EBUSY = 16;
    public static final int EEXIST = 17;
    public static final int EXDEV = 18;
    public static final int ENODEV = 19;
    public static final int ENOTDIR = 20;
    public static final int EISDIR = 21;
    public static final int EINVAL = 22;
    public static final int ENFILE = 23;
    public static final int EMFILE = 24;
    public static final int ENOTTY = 25;
    public static final int EFBIG = 27;
    public static final int ENOSPC = 28;
    public static final int ESPIPE = 29;
    public static final int EROFS = 30;
    public static final int EPIPE = 32;
    public static final int ERANGE = 34;
    public static final int EDEADLK = 35;
    public static final int ENAMETOOLONG = 36;
    public static final int ENOSYS = 38;
    public static final int ENOTEMPTY = 39;
    public static final int EBADE = 52;
    public static final int EBADFD = 77;
    public static final int EOVERFLOW = 75;
    public static final int EMSGSIZE = 90;
    public static final int EOPNOTSUPP = 95;
    public static final int EADDRINUSE = 98;
    public static final int ETIMEDOUT = 110;
    public static final int EALREADY = 114;
    public static final int EINPROGRESS = 115;
    public static final int EHWPOISON = 133;

    private static final Set<String> SECOND_NAMES = Set.of("EWOULDBLOCK", "EDEADLOCK", "ENOTSUP");

    private Errno() {}

    /**
     * The symbol of an error number.
     *
     * @param errno positive, or negated as a {@link Syscalls} method answers it
     * @return such as {@code EINVAL}, or {@code errno 4711} for a number that Linux does not have
     */
    public static String name(long errno) {
        long number = Math.abs(errno);
        for (var constant : jnr.constants.platform.linux.Errno.values()) {
            if (constant.longValue() == number && !SECOND_NAMES.contains(constant.name())) {
                return constant.name();
            }
        }
        return "errno " + number;
    }

    /** The message of an error number, such as {@code Invalid argument}. */
    public static String message(long errno) {
        long number = Math.abs(errno);
        for (var constant : jnr.constants.platform.linux.Errno.values()) {
            if (constant.longValue() == number) {
                return constant.toString();
            }
        }
        return "Unknown error " + number;
    }
}
