// SPDX-License-Identifier: Apache-2.0
/**
 * Runs an unmodified Linux program on an emulated kernel. A seccomp filter hands its calls that may concern the
 * emulated kernel to this JVM (user notification); {@link dev.alcove.kernel.supervisor.Supervisor} is where to start.
 *
 * <p>What the program holds for an open file of the emulated kernel is a {@code Placeholder}: a real descriptor, so
 * that dup, fork, exec, SCM_RIGHTS and close need no help. A thread of the program is a {@code Client}, the
 * {@link dev.alcove.kernel.task.Task} that the emulated kernel sees, and its address space a {@code ClientMemory}.
 */
@NullMarked
package dev.alcove.kernel.supervisor;

import org.jspecify.annotations.NullMarked;
