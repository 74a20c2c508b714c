// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.supervisor;

import dev.alcove.sys.Errno;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.concurrent.locks.LockSupport;
import org.jspecify.annotations.Nullable;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

/**
 * A thread of the program under ptrace(2), for a moment. All calls come from the thread of this JVM that seized it; when
 * that one ends, the host's kernel lets the program's thread go on as if nothing had been.
 */
final class Tracee {
    static final long NR_PTRACE = 101;
    /** The stop that nobody's signal makes. */
    static final int EVENT_STOP = 128;

    private static final int SEIZE = 0x4206;
    private static final int INTERRUPT = 0x4207;
    private static final int GET_REGISTERS = 12;
    private static final int SET_REGISTERS = 13;
    private static final int TO_SYSCALL = 24;
    private static final int GET_SIGNAL_MASK = 0x420a;
    private static final int SET_SIGNAL_MASK = 0x420b;
    private static final int TRACE_SYSCALL_GOOD = 1;
    /** What a thread forks or starts is seized as well: PTRACE_O_TRACEFORK, _TRACEVFORK, _TRACECLONE. */
    static final int WITH_CHILDREN = 0xe;

    private static final int SYSCALL_STOP = 0x857f;
    private static final int WNOHANG = 1;
    private static final int WALL = 0x40000000;
    private static final long STEP_NANOS = 200_000;

    private static final long R10 = 56;
    private static final long R9 = 64;
    private static final long R8 = 72;
    private static final long RAX = 80;
    private static final long RDX = 96;
    private static final long RSI = 104;
    private static final long RDI = 112;
    private static final long ORIG_RAX = 120;
    private static final long RIP = 128;
    private static final long REGISTERS = 216;
    /** Length of the instruction {@code syscall}, and the instruction. */
    private static final int INSTRUCTION = 2;

    private static final short SYSCALL = 0x050f;

    private final Host host;
    private final int tid;
    private final MemorySegment saved;
    private final MemorySegment registers;
    private final MemorySegment mask;
    private final MemorySegment status;

    private Tracee(Host host, int tid, Arena arena) {
        this.host = host;
        this.tid = tid;
        saved = arena.allocate(REGISTERS, 8);
        registers = arena.allocate(REGISTERS, 8);
        mask = arena.allocate(16, 8);
        status = arena.allocate(JAVA_INT);
    }

    /** Seizes a thread and asks it to stop; {@code -EPERM} and such where that is not allowed. */
    static long seize(Host host, int tid) {
        return seize(host, tid, 0);
    }

    /** As {@link #seize(Host, int)}, with options. */
    static long seize(Host host, int tid, int options) {
        long answer = host.raw.call(NR_PTRACE, SEIZE, tid, 0, TRACE_SYSCALL_GOOD | options);
        return answer < 0 ? answer : host.raw.call(NR_PTRACE, INTERRUPT, tid, 0);
    }

    /**
     * Waits until a seized thread has stopped.
     *
     * @param nanos how long at most
     * @return false when it has not: it is deep in a call, and will stop before it runs again
     */
    static boolean awaitStop(Host host, int tid, long nanos) {
        long start = System.nanoTime();
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment status = arena.allocate(JAVA_INT);
            while (host.await(tid, status, WALL | WNOHANG) != tid) {
                if (System.nanoTime() - start > nanos) {
                    return false;
                }
                LockSupport.parkNanos(STEP_NANOS);
            }
            return (status.get(JAVA_INT, 0) & 0xff) == 0x7f;
        }
    }

    /** A stopped thread, with its registers kept and its signals held back; null when it is gone. */
    static @Nullable Tracee stopped(Host host, int tid, Arena arena) {
        Tracee tracee = new Tracee(host, tid, arena);
        tracee.mask.set(JAVA_LONG, 8, -1L);
        boolean ready = tracee.ptrace(GET_REGISTERS, 0, tracee.saved.address()) == 0
                && tracee.ptrace(GET_SIGNAL_MASK, 8, tracee.mask.address()) == 0
                && tracee.ptrace(SET_SIGNAL_MASK, 8, tracee.mask.address() + 8) == 0;
        return ready ? tracee : null;
    }

    /** A thread that has stopped before a call; null when it is gone. */
    static @Nullable Tracee atEntry(Host host, int tid, Arena arena) {
        Tracee tracee = new Tracee(host, tid, arena);
        return tracee.ptrace(GET_REGISTERS, 0, tracee.saved.address()) == 0 ? tracee : null;
    }

    private long ptrace(int request, long address, long data) {
        return host.raw.call(NR_PTRACE, request, tid, address, data);
    }

    /** Whether it has just come out of the instruction {@code syscall}. */
    boolean atSyscall() {
        MemorySegment code = MemorySegment.ofArray(new byte[INSTRUCTION]);
        return host.copyIn(tid, saved.get(JAVA_LONG, RIP) - INSTRUCTION, code) == 0
                && ((code.get(JAVA_BYTE, 0) & 0xff) | (code.get(JAVA_BYTE, 1) << 8)) == SYSCALL;
    }

    /** Lets it make a call; its answer, or {@code -ESRCH} when the thread is gone. */
    long call(long number, long a, long b, long c, long d, long e, long f) {
        registers.copyFrom(saved);
        registers.set(JAVA_LONG, RIP, saved.get(JAVA_LONG, RIP) - INSTRUCTION);
        registers.set(JAVA_LONG, RAX, number);
        registers.set(JAVA_LONG, ORIG_RAX, -1);
        registers.set(JAVA_LONG, RDI, a);
        registers.set(JAVA_LONG, RSI, b);
        registers.set(JAVA_LONG, RDX, c);
        registers.set(JAVA_LONG, R10, d);
        registers.set(JAVA_LONG, R8, e);
        registers.set(JAVA_LONG, R9, f);
        boolean done = ptrace(SET_REGISTERS, 0, registers.address()) == 0
                && toSyscallStop()
                && toSyscallStop()
                && ptrace(GET_REGISTERS, 0, registers.address()) == 0;
        return done ? registers.get(JAVA_LONG, RAX) : -Errno.ESRCH;
    }

    private boolean toSyscallStop() {
        int stop;
        do {
            if (ptrace(TO_SYSCALL, 0, 0) != 0
                    || host.await(tid, status, WALL) != tid) {
                return false;
            }
            stop = status.get(JAVA_INT, 0);
        } while ((stop & 0xff) == 0x7f && stop != SYSCALL_STOP);
        return stop == SYSCALL_STOP;
    }

    /** Makes it issue its own call once more, with the arguments it had, when it goes on. */
    void again(long number) {
        registers.copyFrom(saved);
        registers.set(JAVA_LONG, RIP, saved.get(JAVA_LONG, RIP) - INSTRUCTION);
        registers.set(JAVA_LONG, RAX, number);
        registers.set(JAVA_LONG, ORIG_RAX, -1);
        finish();
    }

    /** Makes its call have this answer when it goes on. */
    void answer(long value) {
        registers.copyFrom(saved);
        registers.set(JAVA_LONG, RAX, value);
        registers.set(JAVA_LONG, ORIG_RAX, -1);
        finish();
    }

    /** Leaves the call out before which it has stopped, and makes it have an answer. */
    void skip(long value) {
        registers.copyFrom(saved);
        registers.set(JAVA_LONG, RAX, value);
        registers.set(JAVA_LONG, ORIG_RAX, -1);
        ptrace(SET_REGISTERS, 0, registers.address());
    }

    private void finish() {
        ptrace(SET_REGISTERS, 0, registers.address());
        ptrace(SET_SIGNAL_MASK, 8, mask.address());
    }
}
