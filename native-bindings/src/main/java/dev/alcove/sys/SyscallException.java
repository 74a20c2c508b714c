// SPDX-License-Identifier: Apache-2.0
package dev.alcove.sys;

import org.jspecify.annotations.Nullable;

/** A system call that the kernel refused. */
public final class SyscallException extends AlcoveException {
    private static final long serialVersionUID = 1L;

    private final int errno;

    /**
     * @param operation the system call or ioctl by its name, such as {@code KVM_CREATE_VM}
     * @param subject the object and the arguments that matter, such as {@code slot 3 [0x100000, 0x200000)}
     * @param answer the errno, negated or not
     * @param hint what a person can do, or null
     */
    public SyscallException(String operation, String subject, long answer, @Nullable String hint) {
        super(
                operation + (subject.isEmpty() ? "" : " of " + subject) + ": " + Errno.name(answer) + " ("
                        + Errno.message(answer) + ")",
                hint,
                null);
        this.errno = (int) Math.abs(answer);
    }

    /** With the hint that the errno has wherever it comes from, if it has one. */
    public SyscallException(String operation, String subject, long answer) {
        this(operation, subject, answer, commonHint(answer));
    }

    private static @Nullable String commonHint(long answer) {
        return switch ((int) Math.abs(answer)) {
            case Errno.EMFILE -> "raise the limit of open files of this process: ulimit -n 65536";
            case Errno.ENFILE -> "the whole system is out of open files: raise the sysctl fs.file-max";
            default -> null;
        };
    }

    /** The error number, positive. */
    public int errno() {
        return errno;
    }

    /** Passes a good answer through, and turns a negated errno into an exception. */
    public static int check(int answer, String operation, String subject) {
        if (answer < 0) {
            throw new SyscallException(operation, subject, answer);
        }
        return answer;
    }
}
