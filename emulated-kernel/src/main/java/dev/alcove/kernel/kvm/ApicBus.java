// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.kvm;

import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.ScheduledFuture;
import java.util.concurrent.ScheduledThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/**
 * What connects the local APICs of a machine: delivery of messages, and the clock of their timers.
 *
 * <p>Thread safe. Delivery takes the lock of one APIC at a time.
 */
final class ApicBus {
    private final List<Lapic> apics = new CopyOnWriteArrayList<>();

    /** Made by the first timer. Guarded by this. */
    private @Nullable ScheduledThreadPoolExecutor clock;

    private boolean stopped;

    void add(Lapic apic) {
        apics.add(apic);
    }

    void remove(Lapic apic) {
        apics.remove(apic);
    }

    /**
     * Delivers a message.
     *
     * @return how many APICs took it: those addressed that are enabled; -1 when the machine has none
     */
    int deliver(ApicMessage message) {
        int result = apics.isEmpty() ? -1 : 0;
        Lapic lowest = null;
        for (Lapic apic : apics) {
            if (!apic.matches(message.destination(), message.logical())) {
                continue;
            }
            if (message.mode() == ApicMessage.LOWEST_PRIORITY) {
                if (apic.enabled() && (lowest == null || apic.priority() < lowest.priority())) {
                    lowest = apic;
                }
                continue;
            }
            result += apic.accept(message) ? 1 : 0;
        }
        if (lowest != null) {
            result += lowest.accept(message) ? 1 : 0;
        }
        return result;
    }

    /** Delivers to all APICs, but {@code except} if it is not null. */
    void broadcast(ApicMessage message, @Nullable Lapic except) {
        for (Lapic apic : apics) {
            if (apic != except) {
                apic.accept(message);
            }
        }
    }

    /** Calls back after a time in nanoseconds; null when the machine is gone. */
    synchronized @Nullable ScheduledFuture<?> schedule(Runnable expiry, long nanos) {
        if (stopped) {
            return null;
        }
        ScheduledThreadPoolExecutor executor = clock;
        if (executor == null) {
            executor = new ScheduledThreadPoolExecutor(1, task -> {
                Thread thread = new Thread(task, "apic-timers");
                thread.setDaemon(true);
                return thread;
            });
            executor.setRemoveOnCancelPolicy(true);
            clock = executor;
        }
        return executor.schedule(expiry, nanos, TimeUnit.NANOSECONDS);
    }

    /** Stops all timers. */
    synchronized void stop() {
        stopped = true;
        if (clock != null) {
            clock.shutdownNow();
        }
    }
}
