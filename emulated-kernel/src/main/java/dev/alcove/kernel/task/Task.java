// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.task;

import dev.alcove.kernel.file.OpenFile;
import dev.alcove.kernel.mm.LockedMemory;
import dev.alcove.kernel.mm.Mm;
import org.jspecify.annotations.Nullable;

/**
 * The thread that makes a system call. Kernel code knows its caller only through this interface, so that another
 * front end than {@code EmulatedProcess} can serve real processes.
 */
public interface Task {
    int CAP_IPC_LOCK = 14;
    int CAP_SYS_RAWIO = 17;
    int CAP_SYS_ADMIN = 21;
    int CAP_SYS_RESOURCE = 24;

    /** The process. */
    int tgid();

    /** The thread. */
    int tid();

    /** Whether a process has a thread, as far as procfs shows the caller; a process counts as its own first thread. */
    boolean sees(int pid, int thread);

    /** Whether the process has a capability, one of the {@code CAP_} numbers. */
    boolean capable(int capability);

    /** The soft limit of a resource, one of {@code RLIMIT_}; -1 for none. */
    long rlimit(int resource);

    /** The caller's memory, for arguments: address space plus whatever segment the call itself was handed. */
    UserMemory memory();

    /** The caller's address space, by identity ({@code current->mm}). */
    Mm mm();

    /**
     * Pages locked by the caller's user ({@code user->locked_vm}), against RLIMIT_MEMLOCK. Who keeps a charge keeps
     * this object too.
     */
    LockedMemory userLocked();

    /**
     * The open file behind a descriptor; null when there is none ({@code EBADF}). It stays open until the call
     * returns; who keeps it longer takes a reference.
     */
    @Nullable OpenFile file(int fd);

    /**
     * Makes a descriptor for a new file and takes over the caller's reference to it. On failure the reference is
     * dropped (so the file is released).
     *
     * @return the descriptor, or {@code -EMFILE}
     */
    int install(OpenFile file, boolean closeOnExec);

    /** Closes a descriptor that {@link #install} made, when a call fails after it ({@code EFAULT} on the response). */
    void uninstall(int fd);

    /** Signals of this thread: what is pending and what is blocked. */
    Signals signals();
}
