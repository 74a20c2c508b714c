// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.task;

import dev.alcove.kernel.file.OpenFile;
import dev.alcove.kernel.mm.AddressSpace;
import dev.alcove.kernel.mm.LockedMemory;
import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import java.lang.foreign.MemorySegment;
import java.lang.ref.WeakReference;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/**
 * A thread of an emulated process. Only its own thread uses it, but for its signals.
 */
public final class ThreadTask extends CallState implements Task, UserMemory {
    @SuppressWarnings("unused") // what all threads read may lie behind this object
    private long p0, p1, p2, p3, p4, p5, p6, p7, p8, p9, p10, p11, p12, p13, p14, p15;

    private final TaskGroup group;
    private final int tid;
    private final WeakReference<Thread> thread;
    private final ThreadSignals signals = new ThreadSignals();

    ThreadTask(TaskGroup group, int tid, Thread thread) {
        this.group = group;
        this.tid = tid;
        this.thread = new WeakReference<>(thread);
    }

    boolean alive() {
        Thread carrier = thread.get();
        return carrier != null && carrier.isAlive();
    }

    /** A call begins; {@code argument} is the segment it was handed, if any. */
    public void enter(@Nullable MemorySegment argument) {
        window = argument;
        if (argument != null) {
            windowStart = argument.address();
            windowSize = argument.byteSize();
        }
        group.faults().enter(tid);
    }

    /** The call is over. */
    public void leave() {
        window = null;
        group.faults().leave();
        while (borrowedEnd > FIRST) {
            OpenFile file = borrowed[--borrowedEnd];
            borrowed[borrowedEnd] = null;
            if (file != null) {
                file.giveBack();
            }
        }
    }

    @Override
    public @Nullable OpenFile file(int fd) {
        OpenFile file = group.files().borrow(fd);
        if (file != null) {
            if (borrowedEnd == borrowed.length) {
                borrowed = Arrays.copyOf(borrowed, 2 * borrowedEnd);
            }
            borrowed[borrowedEnd++] = file;
        }
        return file;
    }

    @Override
    public int install(OpenFile file, boolean closeOnExec) {
        if (!group.faults().charge("file")) {
            file.put();
            return -Errno.ENOMEM;
        }
        int fd = group.files().install(file, closeOnExec, 0, rlimit(Linux.RLIMIT_NOFILE));
        if (fd < 0) {
            file.put();
        }
        return fd;
    }

    @Override
    public void uninstall(int fd) {
        OpenFile file = group.files().remove(fd);
        if (file != null) {
            file.put();
        }
    }

    @Override
    public int copyIn(long address, MemorySegment into) {
        MemorySegment argument = window;
        long offset = address - windowStart;
        if (argument != null && inWindow(offset, into.byteSize())) {
            try {
                MemorySegment.copy(argument, offset, into, 0, into.byteSize());
                return 0;
            } catch (InternalError sigbus) {
                return -Errno.EFAULT;
            }
        }
        return group.mm().copyIn(address, into);
    }

    @Override
    public int copyOut(long address, MemorySegment from) {
        MemorySegment argument = window;
        long offset = address - windowStart;
        if (argument != null && inWindow(offset, from.byteSize())) {
            if (argument.isReadOnly()) {
                return -Errno.EFAULT;
            }
            try {
                MemorySegment.copy(from, 0, argument, offset, from.byteSize());
                return 0;
            } catch (InternalError sigbus) {
                return -Errno.EFAULT;
            }
        }
        return group.mm().copyOut(address, from);
    }

    private boolean inWindow(long offset, long length) {
        return offset >= 0 && length <= windowSize && offset <= windowSize - length;
    }

    @Override
    public int tgid() {
        return group.pid();
    }

    @Override
    public int tid() {
        return tid;
    }

    @Override
    public boolean sees(int pid, int thread) {
        return pid == group.pid() && (thread == pid || group.thread(thread) != null);
    }

    @Override
    public boolean capable(int capability) {
        return group.credentials().capable(capability);
    }

    @Override
    public long rlimit(int resource) {
        return group.limits().soft(resource);
    }

    @Override
    public UserMemory memory() {
        return this;
    }

    @Override
    public AddressSpace mm() {
        return group.mm();
    }

    @Override
    public LockedMemory userLocked() {
        return group.userLocked();
    }

    @Override
    public Signals signals() {
        return signals;
    }
}
