// SPDX-License-Identifier: Apache-2.0
package dev.alcove.bench;

import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLongArray;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Fork;
import org.openjdk.jmh.annotations.Measurement;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.Threads;
import org.openjdk.jmh.annotations.Warmup;
import org.openjdk.jmh.infra.Blackhole;

/**
 * What the machine allows two threads that use the same objects, as two vCPUs do that convert pages of one VM: steps of two
 * microseconds, of which a fifth is under one of a number of spin locks, one after the other, each in a cache line of its
 * own. A lock changes hands by its cache line's move to the other processor; the more of them a step takes, the less two
 * threads do.
 */
@State(Scope.Benchmark)
@BenchmarkMode(Mode.Throughput)
@OutputTimeUnit(TimeUnit.SECONDS)
@Warmup(iterations = 3, time = 1)
@Measurement(iterations = 5, time = 1)
@Fork(1)
public class SharedLocksBenchmark {
    /** Words between two locks: more than a cache line, and its neighbour, which is fetched with it. */
    private static final int STRIDE = 32;

    /** Tokens of JMH's that take about two microseconds. */
    private static final int WORK = 1000;

    /** Locks that a step takes. */
    @Param({"1", "4", "8", "16", "24"})
    public int locks;

    private final AtomicLongArray lines = new AtomicLongArray(STRIDE * 25);

    @Benchmark
    public void step() {
        for (int i = 1; i <= locks; i++) {
            int lock = i * STRIDE;
            Blackhole.consumeCPU(WORK * 4L / 5 / locks);
            while (lines.get(lock) != 0 || !lines.compareAndSet(lock, 0, 1)) {
                Thread.onSpinWait();
            }
            lines.setPlain(lock + 1, lines.getPlain(lock + 1) + 1);
            Blackhole.consumeCPU(WORK / 5 / locks);
            lines.setRelease(lock, 0);
        }
    }

    @Benchmark
    @Threads(2)
    public void stepOnTwo() {
        step();
    }
}
