// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vmm.cpu;

import dev.alcove.kvm.Vcpu;
import dev.alcove.kvm.VcpuKick;
import dev.alcove.sys.AlcoveException;
import dev.alcove.sys.Errno;
import dev.alcove.vmm.VmOutcome;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ThreadFactory;
import org.jspecify.annotations.Nullable;

/**
 * The thread of one vCPU. It runs until somebody completes the machine's outcome, this thread included.
 *
 * <p>To stop it: complete the outcome, then {@link #stop}. The order matters: a thread that is not in KVM_RUN yet
 * has made its kick known, or will see the outcome before it enters.
 */
public final class VcpuThread {
    private final Vcpu vcpu;
    private final ExitHandler handler;
    private final CompletableFuture<VmOutcome> outcome;
    private final Thread thread;
    private volatile @Nullable VcpuKick kick;

    /** @param outcome gets how the machine ends, or the error that ended this thread */
    public VcpuThread(Vcpu vcpu, ExitHandler handler, CompletableFuture<VmOutcome> outcome) {
        // A daemon: a vCPU that hangs in the kernel must not keep the JVM.
        this(vcpu, handler, outcome, Thread.ofPlatform().daemon().name("vcpu-" + vcpu.id()).factory());
    }

    /**
     * As above, on a thread of another make.
     *
     * @param threads asked for one thread
     */
    public VcpuThread(
            Vcpu vcpu, ExitHandler handler, CompletableFuture<VmOutcome> outcome, ThreadFactory threads) {
        this.vcpu = vcpu;
        this.handler = handler;
        this.outcome = outcome;
        this.thread = threads.newThread(this::body);
    }

    public void start() {
        thread.start();
    }

    /** Gets the thread out of KVM_RUN and waits for its end. The outcome must be complete. */
    public void stop() {
        boolean interrupted = false;
        while (true) {
            VcpuKick current = kick;
            if (current != null) {
                current.kick();
            }
            try {
                thread.join();
                break;
            } catch (InterruptedException _) {
                interrupted = true; // the vCPU must not run on: its memory is about to go
            }
        }
        if (interrupted) {
            Thread.currentThread().interrupt();
        }
    }

    private void body() {
        try (VcpuKick mine = VcpuKick.onThisThread(vcpu)) {
            kick = mine;
            while (!outcome.isDone()) {
                int answer = vcpu.run();
                if (answer == -Errno.EINTR) {
                    mine.settle();
                } else if (answer != -Errno.EAGAIN) { // EAGAIN: its start-up message came, run again
                    VmOutcome end = handler.handle(vcpu, answer);
                    if (end != null) {
                        outcome.complete(end);
                    }
                }
            }
        } catch (AlcoveException e) {
            outcome.complete(VmOutcome.of(e));
        } catch (RuntimeException | Error e) {
            outcome.completeExceptionally(e);
        }
    }
}
