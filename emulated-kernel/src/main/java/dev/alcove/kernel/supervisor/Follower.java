// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.supervisor;

import dev.alcove.sys.Errno;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.stream.Stream;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

/**
 * Goes after a program that has a file of the emulated kernel under a number outside of the window, as a shell has for
 * {@code echo 9 > /proc/sys/vm/nr_hugepages}: its threads stop at each system call (ptrace(2)), those on such a number
 * are answered, and all others go on. That lasts until no such number is left; what the program forks or executes
 * meanwhile is followed too.
 *
 * <p>All calls come from one thread of this JVM. Should it end, the program goes on by itself.
 */
final class Follower {
    private static final int PTRACE_SYSCALL = 24;
    private static final int PTRACE_DETACH = 17;
    private static final int PTRACE_LISTEN = 0x4208;
    private static final int PTRACE_GET_SYSCALL_INFO = 0x420e;
    private static final int WALL = 0x40000000;
    /** Only those that this thread traces. */
    private static final int WNOTHREAD = 0x20000000;

    private static final int STOPPED = 0x7f;
    private static final int SIGTRAP = 5;
    private static final int SYSCALL_STOP = SIGTRAP | 0x80;
    private static final int INFO_BYTES = 88;
    private static final int INFO_NUMBER = 24;
    private static final int INFO_ARGUMENTS = 32;
    private static final byte ENTRY = 1;
    private static final byte EXIT = 2;

    /** Those that are answered here. */
    private static final int[] ANSWERED = {
        Numbers.READ, Numbers.WRITE, Numbers.PREAD64, Numbers.PWRITE64, Numbers.READV, Numbers.WRITEV, Numbers.LSEEK
    };

    private final Host host;
    private final Clients clients;
    private final Calls calls;
    private final Calls.Trouble trouble;
    private final int windowStart;
    private final CountDownLatch begun = new CountDownLatch(1);
    private int followed;

    /** @param windowStart numbers from here on need no follower */
    Follower(Host host, Clients clients, Calls calls, Calls.Trouble trouble, int windowStart) {
        this.host = host;
        this.clients = clients;
        this.calls = calls;
        this.trouble = trouble;
        this.windowStart = windowStart;
    }

    /**
     * Follows a program from its next system calls on.
     *
     * @return the thread that does, when all of the program's threads will stop
     */
    Thread follow(Client client) throws InterruptedException {
        Thread thread = Thread.ofPlatform().daemon().name("follower").start(() -> run(client.tgid()));
        begun.await();
        return thread;
    }

    private void run(int pid) {
        try (Arena arena = Arena.ofConfined()) {
            for (int tid : threads(pid)) {
                followed += Tracee.seize(host, tid, Tracee.WITH_CHILDREN) < 0 ? 0 : 1;
            }
            begun.countDown();
            MemorySegment status = arena.allocate(JAVA_INT);
            MemorySegment info = arena.allocate(INFO_BYTES, 8);
            int tid = followed == 0 ? -Errno.ECHILD : host.await(-1, status, WALL | WNOTHREAD);
            while (tid > 0 || tid == -Errno.EINTR) {
                int value = status.get(JAVA_INT, 0);
                if (tid > 0 && (value & 0xff) == STOPPED) {
                    stopped(arena, tid, value, info);
                }
                tid = host.await(-1, status, WALL | WNOTHREAD);
            }
        } finally {
            begun.countDown();
        }
    }

    private static List<Integer> threads(int pid) {
        try (Stream<Path> tasks = Files.list(Path.of("/proc/" + pid + "/task"))) {
            return tasks.map(task -> Integer.parseInt(task.getFileName().toString())).toList();
        } catch (IOException | UncheckedIOException gone) {
            return List.of();
        }
    }

    private void stopped(Arena arena, int tid, int status, MemorySegment info) {
        int signal = status >>> 8 & 0xff;
        int event = status >>> 16;
        int request = PTRACE_SYSCALL;
        int passed = 0;
        if (signal == SYSCALL_STOP) {
            request = atSyscall(arena, tid, info) ? PTRACE_SYSCALL : PTRACE_DETACH;
        } else if (event == Tracee.EVENT_STOP) {
            // A group stop lasts until SIGCONT.
            request = signal == SIGTRAP ? PTRACE_SYSCALL : PTRACE_LISTEN;
        } else if (event == 0) {
            passed = signal;
        }
        host.raw.call(Tracee.NR_PTRACE, request, tid, 0, passed);
    }

    /** Whether the thread is to be followed on. */
    private boolean atSyscall(Arena arena, int tid, MemorySegment info) {
        long got = host.raw.call(Tracee.NR_PTRACE, PTRACE_GET_SYSCALL_INFO, tid, INFO_BYTES, info.address());
        byte kind = got <= 0 ? 0 : info.get(JAVA_BYTE, 0);
        int number = (int) info.get(JAVA_LONG, INFO_NUMBER);
        if (kind == ENTRY && Arrays.stream(ANSWERED).anyMatch(answered -> answered == number)) {
            Client client = clients.of(tid);
            int fd = (int) info.get(JAVA_LONG, INFO_ARGUMENTS);
            if (client != null && fd >= 0 && fd < windowStart) {
                answer(arena, client, call(tid, number, info));
            }
        }
        return kind != EXIT || copies(tid);
    }

    private static Notification call(int tid, int number, MemorySegment info) {
        long[] arguments = new long[6];
        MemorySegment.copy(info, JAVA_LONG, INFO_ARGUMENTS, arguments, 0, arguments.length);
        return new Notification(
                Notification.NONE,
                tid,
                number,
                arguments[0],
                arguments[1],
                arguments[2],
                arguments[3],
                arguments[4],
                arguments[5]);
    }

    private void answer(Arena arena, Client client, Notification call) {
        long answer = calls.serveSafely(client, call, trouble);
        Tracee tracee = answer == Calls.PROCEED ? null : Tracee.atEntry(host, client.tid(), arena);
        if (tracee != null) {
            tracee.skip(answer);
        }
    }

    /** Whether a thread has one of the numbers that somebody has to look after. */
    private boolean copies(int tid) {
        Client client = clients.of(tid);
        return client != null && client.ownBelow(windowStart);
    }
}
