// SPDX-License-Identifier: Apache-2.0
/**
 * Runs an unmodified Linux program on an emulated kernel. A seccomp filter hands its calls that may concern the
 * emulated kernel to this JVM (user notification); {@link dev.alcove.kernel.supervisor.Supervisor} is where to start.
 *
 * <p>What the program holds for an open file of the emulated kernel is a {@code Placeholder}: a real descriptor, so
 * that dup, fork, exec, SCM_RIGHTS and close need no help. A thread of the program is a {@code Client}, the
 * {@link dev.alcove.kernel.task.Task} that the emulated kernel sees, and its address space a {@code ClientMemory}.
 *
 * <h2>Files that a subsystem adds to /proc, /sys and /dev</h2>
 * A subsystem puts them into the kernel's {@link dev.alcove.kernel.file.Vfs}, once, and both kinds of process see them:
 * {@code addText} and an {@link dev.alcove.kernel.file.Attribute} for a text file that is read or written,
 * {@code addLink}, {@code add} for a device, {@code addTaskText} for a file of each thread (/proc/PID/NAME and
 * /proc/PID/task/TID/NAME), directories by themselves. So that programs of the host's find them too, it calls
 * {@code claim(path, names)} for each subtree, before the program starts: opens, and what follows on the descriptor
 * (read, write, fstat, getdents64, openat from there), are then answered from the Vfs and never by the host, whether
 * there is such a file or not. With {@code names} that is true of stat, access and readlink as well, which then ask for
 * every path and cost some microseconds each. Not answered: the names
 * of what was claimed when a directory of the host's above it is read, and chdir.
 *
 * <h2>Numbers</h2>
 * Reads and writes ask by the descriptor's number, as the filter knows nothing else: {@code Copies} keeps copies in the
 * window of numbers that it looks at, or has a {@code Follower} go after the program. Who polls needs neither: see
 * {@code Readiness}.
 */
@NullMarked
package dev.alcove.kernel.supervisor;

import org.jspecify.annotations.NullMarked;
