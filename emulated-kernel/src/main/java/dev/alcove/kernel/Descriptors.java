// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel;

import dev.alcove.kernel.file.OpenFile;
import dev.alcove.kernel.task.Task;
import dev.alcove.kernel.task.TaskGroup;
import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;

/** close, dup and fcntl: what is done to descriptors rather than to files. */
final class Descriptors {
    private final TaskGroup group;

    Descriptors(TaskGroup group) {
        this.group = group;
    }

    int close(int fd) {
        OpenFile file = group.files().remove(fd);
        if (file == null) {
            return -Errno.EBADF;
        }
        file.put();
        return 0;
    }

    int duplicate(int fd, int from, boolean closeOnExec) {
        OpenFile file = group.files().get(fd);
        if (file == null) {
            return -Errno.EBADF;
        }
        int copy = group.files().install(file, closeOnExec, from, group.limits().soft(Linux.RLIMIT_NOFILE));
        if (copy < 0) {
            file.put();
        }
        return copy;
    }

    int control(Task task, int fd, int command, long argument) {
        OpenFile file = task.file(fd);
        if (file == null) {
            return -Errno.EBADF;
        }
        switch (command) {
            case Linux.F_DUPFD, Linux.F_DUPFD_CLOEXEC -> {
                long limit = group.limits().soft(Linux.RLIMIT_NOFILE);
                if (argument < 0 || (limit >= 0 && argument >= limit)) {
                    return -Errno.EINVAL;
                }
                return duplicate(fd, (int) argument, command == Linux.F_DUPFD_CLOEXEC);
            }
            case Linux.F_GETFD -> {
                return group.files().closeOnExec(fd) ? Linux.FD_CLOEXEC : 0;
            }
            case Linux.F_SETFD -> {
                group.files().setCloseOnExec(fd, (argument & Linux.FD_CLOEXEC) != 0);
                return 0;
            }
            case Linux.F_GETFL -> {
                return file.flags();
            }
            case Linux.F_SETFL -> {
                file.setFlags((int) argument);
                return 0;
            }
            case Linux.F_GET_SEALS, Linux.F_ADD_SEALS -> {
                return command == Linux.F_ADD_SEALS && !file.writable()
                        ? -Errno.EPERM
                        : file.seals(task, command, argument);
            }
            default -> {
                return -Errno.EINVAL;
            }
        }
    }
}
