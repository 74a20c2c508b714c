// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vmm.timeline;

import dev.alcove.vmm.RunReport;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import java.util.function.Supplier;

/**
 * A thread that takes samples of a machine while it runs. A sample keeps conversions waiting for as long as it takes to
 * copy two references a block, once a millisecond at first and less often in a long run.
 *
 * <p>The timeline belongs to the thread until {@link #close}, then to the thread that closed.
 */
public final class TimelineRecorder implements AutoCloseable {
    private static final long FIRST_PERIOD = 1000;

    private final Supplier<MemorySample> memory;
    private final Supplier<List<BlockedAccess>> blocked;
    private final long start = System.nanoTime();
    private final Timeline timeline = new Timeline(FIRST_PERIOD);
    private final Thread thread;
    private volatile boolean closed;

    private TimelineRecorder(Supplier<MemorySample> memory, Supplier<List<BlockedAccess>> blocked) {
        this.memory = memory;
        this.blocked = blocked;
        this.thread = Thread.ofPlatform().daemon().name("timeline").unstarted(this::body);
    }

    /**
     * Takes the first sample and starts the thread.
     *
     * @param memory takes a sample; called by one thread at a time
     * @param blocked what the kernel remembers of DMA that it refused, ascending
     */
    public static TimelineRecorder start(Supplier<MemorySample> memory, Supplier<List<BlockedAccess>> blocked) {
        TimelineRecorder recorder = new TimelineRecorder(memory, blocked);
        recorder.sample();
        recorder.thread.start();
        return recorder;
    }

    private void body() {
        while (!closed) {
            LockSupport.parkNanos(TimeUnit.MICROSECONDS.toNanos(timeline.period()));
            if (!closed) {
                sample();
            }
        }
    }

    private void sample() {
        MemorySample sample = memory.get();
        List<BlockedAccess> refused = blocked.get();
        long micros = TimeUnit.NANOSECONDS.toMicros(System.nanoTime() - start);
        timeline.add(micros, sample);
        timeline.addBlocked(micros, refused);
    }

    /** The samples so far; only after {@link #close}. */
    public RunReport.Timeline report() {
        if (!closed) {
            throw new IllegalStateException("still recording");
        }
        return timeline.report();
    }

    /** Takes the last sample and ends the thread; a second call does nothing. */
    @Override
    public void close() {
        if (closed) {
            return;
        }
        closed = true;
        LockSupport.unpark(thread);
        boolean interrupted = false;
        while (thread.isAlive()) {
            try {
                thread.join();
            } catch (InterruptedException _) {
                interrupted = true; // the machine's memory goes next: the thread must be gone
            }
        }
        if (interrupted) {
            Thread.currentThread().interrupt();
        }
        sample();
    }
}
