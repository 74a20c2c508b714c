// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract;

import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import dev.alcove.sys.Syscalls;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Timeout;

import static dev.alcove.contract.Checks.fails;
import static dev.alcove.contract.Checks.ok;
import static org.junit.jupiter.api.Assertions.assertEquals;

/** Signals that stay blocked and are taken with sigtimedwait, as a kick of a vCPU thread uses them. */
@Surface("process")
@Timeout(60)
final class SignalContractTest {
    private static final int SIGNAL = Linux.SIGRTMIN + 3;
    private static final long SET = (1L << (SIGNAL - 1)) | (1L << SIGNAL);
    private static final long MINUTE = 60_000_000_000L;

    @EveryKernel
    void aBlockedSignalWaitsToBeTaken(KernelUnderTest kernel) {
        Syscalls sys = kernel.sys();
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment set = arena.allocateFrom(ValueLayout.JAVA_LONG, SET);
            MemorySegment old = arena.allocate(8, 8);
            MemorySegment now = arena.allocate(8, 8);
            ok(sys.sigprocmask(Linux.SIG_BLOCK, set, old));
            try {
                ok(sys.sigprocmask(Linux.SIG_BLOCK, null, now));
                assertEquals(old.get(ValueLayout.JAVA_LONG, 0) | SET, now.get(ValueLayout.JAVA_LONG, 0));
                fails(Errno.EINVAL, sys.sigprocmask(9, set, null));
                fails(Errno.EAGAIN, sys.sigtimedwait(set, 0));
                fails(Errno.EAGAIN, sys.sigtimedwait(set, 1_000_000));
                int pid = sys.getpid();
                int tid = sys.gettid();
                ok(sys.tgkill(pid, tid, 0));
                ok(sys.tgkill(pid, tid, SIGNAL + 1));
                ok(sys.tgkill(pid, tid, SIGNAL));
                ok(sys.tgkill(pid, tid, SIGNAL));
                assertEquals(SIGNAL, sys.sigtimedwait(set, 0));
                assertEquals(SIGNAL, sys.sigtimedwait(set, 0), "real-time signals queue");
                assertEquals(SIGNAL + 1, sys.sigtimedwait(set, 0));
                fails(Errno.EAGAIN, sys.sigtimedwait(set, 0));
                fails(Errno.EINVAL, sys.tgkill(pid, tid, 65));
                fails(Errno.EINVAL, sys.tgkill(0, tid, 0));
                fails(Errno.EINVAL, sys.tgkill(pid, 0, 0));
                fails(Errno.ESRCH, sys.tgkill(pid, 0x3fff_ffff, 0));
            } finally {
                ok(sys.sigprocmask(Linux.SIG_SETMASK, old, null));
            }
        }
    }

    @EveryKernel
    void anotherThreadCanBeSignalled(KernelUnderTest kernel) throws InterruptedException {
        Syscalls sys = kernel.sys();
        AtomicInteger tid = new AtomicInteger();
        AtomicInteger taken = new AtomicInteger();
        CountDownLatch blocked = new CountDownLatch(1);
        Thread target = new Thread(() -> {
            try (Arena arena = Arena.ofConfined()) {
                MemorySegment set = arena.allocateFrom(ValueLayout.JAVA_LONG, SET);
                sys.sigprocmask(Linux.SIG_BLOCK, set, null);
                tid.set(sys.gettid());
                blocked.countDown();
                taken.set(sys.sigtimedwait(set, MINUTE));
            }
        });
        target.start();
        blocked.await();
        ok(sys.tgkill(sys.getpid(), tid.get(), SIGNAL));
        target.join();
        assertEquals(SIGNAL, taken.get());
    }
}
