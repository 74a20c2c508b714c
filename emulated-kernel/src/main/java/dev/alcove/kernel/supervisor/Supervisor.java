// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.supervisor;

import dev.alcove.kernel.EmulatedKernel;
import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import dev.alcove.sys.MissingFeatureException;
import dev.alcove.sys.SyscallException;
import dev.alcove.sys.trace.SupervisedTrace;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.locks.LockSupport;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

/**
 * Runs a program whose opens of /dev/kvm, /dev/iommu and /dev/vfio are answered by an emulated kernel. Everything else
 * it does is the host's, at the host's speed. It takes no privilege; what the program starts is supervised like it.
 */
public final class Supervisor {
    private static final long NR_KILL = 62;
    private static final int SIGTERM = 15;
    /** What a shell adds to the number of the signal that ended a program. */
    private static final int SIGNALLED = 128;

    private static final long PATIENCE_NANOS = 5_000_000_000L;
    private static final long STEP_NANOS = 1_000_000;

    private static final int MOST_DESCRIPTORS = 1024;

    private final EmulatedKernel kernel;
    private final Consumer<String> troubles;
    private final Host host = new Host();
    private @Nullable SupervisedTrace trace;
    private @Nullable Processors processors;

    /** @param troubles gets told of defects of this side, a line each */
    public Supervisor(EmulatedKernel kernel, Consumer<String> troubles) {
        this.kernel = kernel;
        this.troubles = troubles;
    }

    /** Gives the machine so many processors, which programs see instead of the host's. To be called before {@link #run}. */
    public void setProcessors(int count) {
        processors = Processors.of(kernel, count);
    }

    /** Has the calls recorded that are answered, and not by the host. To be called before {@link #run}. */
    public void traceTo(SupervisedTrace wanted) {
        trace = wanted;
    }

    /**
     * Runs a program to its end, and to that of what it has started.
     *
     * @param program absolute
     * @param arguments its name first
     * @param environment {@code NAME=value} each
     * @return its exit status; 128 and the signal's number when a signal ended it
     * @throws MissingFeatureException where the host does not let a program be supervised
     * @throws SyscallException where the program cannot be started
     */
    public int run(Path program, List<String> arguments, List<String> environment) throws InterruptedException {
        int end = Math.clamp(host.limit(0, Linux.RLIMIT_NOFILE), 16, MOST_DESCRIPTORS);
        Filter filter = Filter.of(host, end, kernel.vfs().claimsNames(), processors != null);
        // The launcher runs under the filter: everything it needs is loaded and linked by a first failure.
        host.raw.spawn("/", List.of("/"), List.of());
        CompletableFuture<Listener> installed = new CompletableFuture<>();
        CompletableFuture<Integer> launcherTid = new CompletableFuture<>();
        CompletableFuture<Boolean> go = new CompletableFuture<>();
        CompletableFuture<Integer> started = new CompletableFuture<>();
        Thread.ofPlatform().daemon().name("launcher").start(() -> {
            try {
                launcherTid.complete(host.calls.gettid());
                installed.complete(Listener.install(host, filter));
                if (go.join()) {
                    started.complete(host.raw.spawn(program.toString(), arguments, environment));
                }
            } catch (RuntimeException | Error e) {
                installed.completeExceptionally(e);
                started.completeExceptionally(e);
            }
        });
        try (Listener listener = installed.join(); Placeholders placeholders = new Placeholders(host)) {
            listener.wakeUpInStep();
            Clients clients = new Clients(host, listener, placeholders, kernel.memory(), kernel.faults(), filter);
            Calls calls = new Calls(
                    new Paths(kernel.vfs(), kernel.memory().hugePools(), host, clients),
                    new HugeCalls(kernel.memory(), placeholders, host),
                    new Copies(filter),
                    placeholders,
                    kernel.profile(),
                    processors,
                    trace == null ? null : new CallTrace(trace, host));
            Receivers receivers =
                    new Receivers(
                            listener,
                            placeholders,
                            clients,
                            calls,
                            this::report,
                            new Sharing(host, listener),
                            () -> new Follower(host, clients, calls, this::report, filter.windowStart()),
                            launcherTid.join());
            receivers.start();
            go.complete(true);
            int pid = started.join();
            if (pid < 0) {
                receivers.awaitEnd();
                throw new SyscallException("posix_spawn", program.toString(), pid);
            }
            raiseOwnLimit();
            int status = await(pid);
            receivers.awaitEnd();
            placeholders.drain();
            clients.close();
            return status;
        } catch (CompletionException e) {
            throw e.getCause() instanceof RuntimeException known ? known : e;
        }
    }

    /** Every open file of the program costs this side a descriptor. */
    private void raiseOwnLimit() {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment limit = arena.allocate(16, 8);
            if (host.calls.prlimit(Linux.RLIMIT_NOFILE, null, limit) == 0) {
                limit.set(JAVA_LONG, 0, limit.get(JAVA_LONG, 8));
                host.calls.prlimit(Linux.RLIMIT_NOFILE, limit, null);
            }
        }
    }

    private int await(int pid) {
        Thread terminate = new Thread(() -> host.raw.call(NR_KILL, pid, SIGTERM, 0));
        Runtime.getRuntime().addShutdownHook(terminate);
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment status = arena.allocate(JAVA_INT);
            int answer;
            // wait4 would also answer when the program is stopped for a moment by ptrace.
            int pidfd = host.pidfd(pid);
            while (pidfd >= 0 && host.poll(pidfd, Linux.POLLIN, -1) == -Errno.EINTR) {
                // Not yet.
            }
            host.close(pidfd);
            do {
                answer = host.await(pid, status, 0);
            } while (answer == -Errno.EINTR);
            int value = answer < 0 ? toldToATracer(pid, answer) : status.get(JAVA_INT, 0);
            return (value & 0x7f) == 0 ? value >>> 8 & 0xff : SIGNALLED + (value & 0x7f);
        } finally {
            removeHook(terminate);
        }
    }

    /** The status of a program whose end was told to the thread that traced it, a moment ago. */
    private int toldToATracer(int pid, int error) {
        for (long start = System.nanoTime(); System.nanoTime() - start < PATIENCE_NANOS; ) {
            Integer status = host.end(pid);
            if (status != null) {
                return status;
            }
            LockSupport.parkNanos(STEP_NANOS);
        }
        throw new SyscallException("wait4", "process " + pid, error);
    }

    private static void removeHook(Thread hook) {
        try {
            Runtime.getRuntime().removeShutdownHook(hook);
        } catch (IllegalStateException alreadyGoingDown) {
            // The hook runs, or has run.
        }
    }

    private void report(int tid, Notification call, Throwable error) {
        StringBuilder text = new StringBuilder("defect while serving system call ")
                .append(call.number()).append(" of thread ").append(tid).append(": ").append(error);
        for (StackTraceElement element : error.getStackTrace()) {
            text.append("\n    at ").append(element);
        }
        troubles.accept(text.toString());
    }
}
