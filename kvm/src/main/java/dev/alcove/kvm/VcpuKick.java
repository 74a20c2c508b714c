// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kvm;

import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import dev.alcove.sys.SyscallException;
import dev.alcove.sys.Syscalls;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;

import static java.lang.foreign.ValueLayout.JAVA_LONG;

/**
 * Gets a vCPU out of KVM_RUN from any thread, and no code ever runs in a signal handler.
 *
 * <p>The vCPU's thread blocks {@link #SIGNAL}; inside KVM_RUN alone it is open (KVM_SET_SIGNAL_MASK). A kick sets
 * {@code immediate_exit}, for a thread that has not entered the kernel yet, and sends the signal, for one that has.
 * KVM_RUN answers EINTR, and the thread calls {@link #settle}.
 *
 * <p>The lock of this object covers {@code open}: no signal goes to a thread that has closed its kick, where the
 * signal's default action would end the process.
 */
public final class VcpuKick implements AutoCloseable {
    /** The signal: a real-time one that neither libc nor the JVM uses. */
    public static final int SIGNAL = Linux.SIGRTMIN + 7;

    private static final long SET = 1L << (SIGNAL - 1);

    private final Syscalls syscalls;
    private final Vcpu vcpu;
    private final int tgid;
    private final int tid;
    private final MemorySegment set = Arena.ofAuto().allocate(JAVA_LONG);
    private boolean open = true;

    private VcpuKick(Vcpu vcpu, int tgid, int tid) {
        this.syscalls = vcpu.syscalls();
        this.vcpu = vcpu;
        this.tgid = tgid;
        this.tid = tid;
        set.set(JAVA_LONG, 0, SET);
    }

    /** Prepares the calling thread, which is the one that will run the vCPU and close the kick. */
    public static VcpuKick onThisThread(Vcpu vcpu) {
        Syscalls syscalls = vcpu.syscalls();
        VcpuKick kick = new VcpuKick(vcpu, syscalls.getpid(), syscalls.gettid());
        MemorySegment old = Arena.ofAuto().allocate(JAVA_LONG);
        int answer = syscalls.sigprocmask(Linux.SIG_BLOCK, kick.set, old);
        SyscallException.check(answer, "rt_sigprocmask", "signal " + SIGNAL);
        vcpu.setSignalMask(old.get(JAVA_LONG, 0) & ~SET);
        return kick;
    }

    /** Makes the running or the next KVM_RUN answer EINTR. From any thread; does nothing after close. */
    public synchronized void kick() {
        if (!open) {
            return;
        }
        vcpu.shared().immediateExit(true);
        int answer = syscalls.tgkill(tgid, tid, SIGNAL);
        // EAGAIN: the queue of signals is full. One is pending then, or immediate_exit does it alone.
        if (answer < 0 && answer != -Errno.EAGAIN) {
            throw new SyscallException("tgkill", "vCPU " + vcpu.id() + ", thread " + tid, answer);
        }
    }

    /**
     * Takes back all kicks so far; by the vCPU's thread, after EINTR and before it looks at what it was kicked for. A
     * kick that comes later shows in the next run.
     */
    public void settle() {
        vcpu.shared().immediateExit(false);
        int answer;
        do {
            answer = syscalls.sigtimedwait(set, 0);
        } while (answer > 0 || answer == -Errno.EINTR);
        if (answer != -Errno.EAGAIN) {
            throw new SyscallException("rt_sigtimedwait", "signal " + SIGNAL, answer);
        }
    }

    /** Ends the kicks, and takes what is left of them; by the vCPU's thread. The signal stays blocked there. */
    @Override
    public void close() {
        synchronized (this) {
            open = false;
        }
        settle();
    }
}
