// SPDX-License-Identifier: Apache-2.0
package dev.alcove.bench;

import dev.alcove.discard.Outcome;
import dev.alcove.discard.PopulatedRanges;
import dev.alcove.discard.RamDiscardListener;
import dev.alcove.discard.RamDiscardManager;
import dev.alcove.discard.RamSection;
import java.lang.management.ManagementFactory;
import java.util.SplittableRandom;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Fork;
import org.openjdk.jmh.annotations.Level;
import org.openjdk.jmh.annotations.Measurement;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OperationsPerInvocation;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.Warmup;

/**
 * The discard manager of a block of 1 TiB, of which every second extent is shared, against one bit for each page:
 * registering a listener, and changing single pages at random places.
 *
 * <p>With {@code -prof dev.alcove.bench.CpuTime}; {@code -t 2 point} for two threads in disjoint halves.
 */
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.NANOSECONDS)
@Warmup(iterations = 3, time = 1)
@Measurement(iterations = 5, time = 1)
@Fork(value = 1, jvmArgsAppend = {"-Xmx1g", "-XX:+UseParallelGC"})
@SuppressWarnings("NullAway.Init") // JMH calls build() before anything else
public class DiscardBenchmark {
    private static final long BLOCK = 1L << 40;
    private static final long PAGE = 4096;

    /** Does nothing: what is measured is the way to it. */
    private static class Deaf implements RamDiscardListener {
        @Override
        public Outcome populate(long offset, long size) {
            return Outcome.done();
        }

        @Override
        public Outcome discard(long offset, long size) {
            return Outcome.done();
        }
    }

    /** Counts what it is told, for one thread. */
    private static final class Counting extends Deaf {
        private long told;

        @Override
        public Outcome populate(long offset, long size) {
            told += size;
            return Outcome.done();
        }
    }

    /** What is shared, in both forms. */
    @State(Scope.Benchmark)
    public static class Extents {
        /** Shared extents, a power of two; as many private ones lie between them. */
        @Param({"1", "1048576"})
        public int extents;

        private RamDiscardManager manager;
        private PopulatedRanges state;
        private RamDiscardManager bare;
        private PageBitmap bitmap;
        private final RamDiscardListener deaf = new Deaf();
        private final AtomicInteger threads = new AtomicInteger();

        /** In random order, so that nodes of the tree are as full as they come to be. */
        @Setup(Level.Trial)
        public void build() {
            long step = BLOCK / extents;
            long[] order = new long[extents];
            SplittableRandom random = new SplittableRandom(1);
            for (int i = 0; i < extents; i++) {
                int other = random.nextInt(i + 1);
                order[i] = order[other];
                order[other] = i * step;
            }
            long before = used();
            state = new PopulatedRanges(BLOCK, PAGE, false);
            for (long offset : order) {
                state.populate(offset, step / 2);
            }
            System.out.printf("# state of %d extents: %.1f MiB%n", extents, (used() - before) / 1048576.0);
            bitmap = new PageBitmap(BLOCK);
            for (long offset : order) {
                bitmap.set(offset / PAGE, (offset + step / 2) / PAGE);
            }
            System.out.printf("# bitmap: %.1f MiB%n", BLOCK / PAGE / 8 / 1048576.0);
            manager = new RamDiscardManager(BLOCK);
            bare = new RamDiscardManager(BLOCK);
            check(manager.addSource(state));
            check(bare.addSource(state));
            check(manager.register(deaf, new RamSection(0, BLOCK)));
        }

        /** Whether a page was shared at first: each change is taken back. */
        private boolean isShared(long offset) {
            return (offset & BLOCK / extents - 1) < BLOCK / extents / 2;
        }

        private static long used() {
            for (int i = 0; i < 3; i++) {
                System.gc();
            }
            return ManagementFactory.getMemoryMXBean().getHeapMemoryUsage().getUsed();
        }
    }

    /** A thread's own part of the block. */
    @State(Scope.Thread)
    public static class Part {
        private long first;
        private long walked;
        private SplittableRandom random;

        @Setup(Level.Trial)
        public void begin(Extents extents) {
            int thread = extents.threads.getAndIncrement() & 1;
            first = thread * (BLOCK / 2);
            random = new SplittableRandom(thread);
        }

        private long neighbour() {
            walked = (walked + PAGE) % (BLOCK / 2);
            return first + walked;
        }

        private long next() {
            return first + (random.nextLong() >>> 1) % (BLOCK / 2 / PAGE) * PAGE;
        }
    }

    /** A listener comes, is told of all shared extents, and goes. */
    @Benchmark
    public long register(Extents extents) {
        Counting listener = new Counting();
        check(extents.bare.register(listener, new RamSection(0, BLOCK)));
        check(extents.bare.unregister(listener));
        return listener.told;
    }

    /** The same with a walk over all pages. */
    @Benchmark
    public long registerPeerByPages(Extents extents) {
        Counting listener = new Counting();
        extents.bitmap.replayByPages(listener);
        check(listener.discard(0, BLOCK));
        return listener.told;
    }

    /** The same with a search for the next bit that differs. */
    @Benchmark
    public long registerPeerByBits(Extents extents) {
        Counting listener = new Counting();
        extents.bitmap.replayByBits(listener);
        check(listener.discard(0, BLOCK));
        return listener.told;
    }

    /** The question whether devices may use a page. */
    @Benchmark
    public boolean pointQuery(Extents extents, Part part) {
        return extents.manager.isPopulated(part.next(), PAGE);
    }

    /** Telling alone: a page is discarded and populated again, at one listener. */
    @Benchmark
    @OperationsPerInvocation(2)
    public void pointNotify(Extents extents, Part part) {
        long offset = part.next();
        check(extents.manager.notifyDiscard(extents.state, offset, PAGE));
        check(extents.manager.notifyPopulate(extents.state, offset, PAGE));
    }

    /** As a conversion does it: a change with the listener and the state; the page changes, and changes back. */
    @Benchmark
    @OperationsPerInvocation(2)
    public void pointChange(Extents extents, Part part) {
        thereAndBack(extents, part.next());
    }

    /** The same, one page after the other: what is read is in the caches. */
    @Benchmark
    @OperationsPerInvocation(2)
    public void pointChangeNeighbours(Extents extents, Part part) {
        thereAndBack(extents, part.neighbour());
    }

    private static void thereAndBack(Extents extents, long offset) {
        boolean shared = extents.isShared(offset);
        change(extents, offset, !shared);
        change(extents, offset, shared);
    }

    private static void change(Extents extents, long offset, boolean populate) {
        try (RamDiscardManager.Change _ = extents.manager.change()) {
            if (populate) {
                extents.state.populate(offset, PAGE);
                check(extents.manager.notifyPopulate(extents.state, offset, PAGE));
            } else {
                check(extents.manager.notifyDiscard(extents.state, offset, PAGE));
                extents.state.discard(offset, PAGE);
            }
        }
    }

    /** The same with bits, and no lock at all, as QEMU has none there. */
    @Benchmark
    @OperationsPerInvocation(2)
    public void pointChangePeer(Extents extents, Part part) {
        long offset = part.next();
        boolean shared = extents.isShared(offset);
        changeBit(extents, offset, !shared);
        changeBit(extents, offset, shared);
    }

    private static void changeBit(Extents extents, long offset, boolean populate) {
        extents.bitmap.set(offset / PAGE, populate);
        check(populate ? extents.deaf.populate(offset, PAGE) : extents.deaf.discard(offset, PAGE));
    }

    private static void check(Outcome outcome) {
        if (!outcome.isDone()) {
            throw new IllegalStateException(outcome.toString());
        }
    }
}
