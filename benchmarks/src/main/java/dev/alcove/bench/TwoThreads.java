// SPDX-License-Identifier: Apache-2.0
package dev.alcove.bench;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.atomic.AtomicLongArray;
import java.util.concurrent.locks.LockSupport;

/**
 * What two threads do more than one: {@code benchmarks/run --main TwoThreads WORK [SECONDS]}.
 *
 * <p>One JVM runs one thread and two in turn, for a fifth of a second each, and measures before and after how long a cache line
 * takes between the processors ({@link LineTransfer}). Slices are told apart by that; one in which it changed does not count.
 *
 * <p>WORK is {@code convert}, {@code convert-two-blocks} or {@code convert-two-vms}, a VM for each thread, the most that there
 * can be (as {@link ConversionBenchmark}: one page to private and back, with {@code cut}), {@code map} or {@code map-domain}
 * (as {@link MappingBenchmark}: 4 KiB, an address space for each thread).
 */
public final class TwoThreads {
    private static final int THREADS = 2;
    private static final int BATCH = 50;
    private static final long WARM_UP_MILLIS = 15_000;
    private static final long SLICE_MILLIS = 200;
    private static final int MEASURED_SECONDS = 60;

    /** Lines that move faster than this are in a common cache; slower than {@link #FAR}, they are not. Nanoseconds. */
    private static final double NEAR = 80;

    private static final double FAR = 110;

    /** Elements between the counters of two threads. */
    private static final int STRIDE = 32;

    private final List<Runnable> work;
    private final int operations;
    private final AtomicLongArray done = new AtomicLongArray((THREADS + 1) * STRIDE);

    /** How many threads are to run; the others wait. */
    private volatile int wanted;

    private volatile boolean over;

    /** @param operations in one call of a thread's work */
    private TwoThreads(List<Runnable> work, int operations) {
        this.work = work;
        this.operations = operations;
    }

    /**
     * Measures, and prints a line for near and one for far processors.
     *
     * @param args the work, and for how many seconds it is measured (60)
     * @throws InterruptedException never in practice
     */
    public static void main(String[] args) throws InterruptedException {
        String name = args.length > 0 ? args[0] : "";
        int seconds = args.length > 1 ? Integer.parseInt(args[1]) : MEASURED_SECONDS;
        TwoThreads threads =
                switch (name) {
                    case "convert" -> new TwoThreads(conversions(1, 1), 2);
                    case "convert-two-blocks" -> new TwoThreads(conversions(1, THREADS), 2);
                    case "convert-two-vms" -> new TwoThreads(conversions(THREADS, 1), 2);
                    case "map" -> new TwoThreads(mappings(false), 1);
                    case "map-domain" -> new TwoThreads(mappings(true), 1);
                    default -> throw new IllegalArgumentException(
                            "TwoThreads: not a work: '" + name
                                    + "'; convert, convert-two-blocks, convert-two-vms, map, map-domain");
                };
        threads.measure(name, seconds);
    }

    private static List<Runnable> conversions(int vms, int blocks) {
        List<ConversionBenchmark> machines = new ArrayList<>();
        for (int i = 0; i < vms; i++) {
            ConversionBenchmark vm = new ConversionBenchmark();
            vm.strategy = "cut";
            vm.bytes = 4096;
            vm.blocks = blocks;
            vm.start();
            machines.add(vm);
        }
        List<Runnable> work = new ArrayList<>();
        for (int i = 0; i < THREADS; i++) {
            ConversionBenchmark vm = machines.get(i % vms);
            ConversionBenchmark.Vcpu vcpu = new ConversionBenchmark.Vcpu();
            vcpu.start(vm);
            work.add(() -> vm.convert(vcpu));
        }
        return work;
    }

    private static List<Runnable> mappings(boolean domain) {
        MappingBenchmark benchmark = new MappingBenchmark();
        MappingBenchmark.Machine machine = new MappingBenchmark.Machine();
        machine.start();
        List<Runnable> work = new ArrayList<>();
        for (int i = 0; i < THREADS; i++) {
            MappingBenchmark.Space space = new MappingBenchmark.Space();
            space.domain = domain;
            space.start(machine);
            work.add(() -> benchmark.page(space));
        }
        return work;
    }

    private void measure(String name, int seconds) throws InterruptedException {
        List<Thread> threads = new ArrayList<>();
        for (int i = 0; i < THREADS; i++) {
            int number = i;
            Thread thread = new Thread(() -> body(number), "worker-" + i);
            thread.setDaemon(true);
            thread.start();
            threads.add(thread);
        }
        wanted = THREADS;
        Thread.sleep(WARM_UP_MILLIS);

        List<List<Double>> near = List.of(new ArrayList<>(), new ArrayList<>());
        List<List<Double>> far = List.of(new ArrayList<>(), new ArrayList<>());
        double before = idle();
        for (long slice = 0; slice < seconds * 1000L / SLICE_MILLIS; slice++) {
            int running = (int) (slice % THREADS) + 1;
            double rate = slice(running);
            double after = idle();
            if (before < NEAR && after < NEAR) {
                near.get(running - 1).add(rate);
            } else if (before > FAR && after > FAR) {
                far.get(running - 1).add(rate);
            }
            before = after;
        }
        over = true;
        for (Thread thread : threads) {
            thread.join();
        }
        report(name + ", a line in under " + (int) NEAR + " ns", near);
        report(name + ", a line in more than " + (int) FAR + " ns", far);
    }

    /** Operations a second of so many threads. */
    private double slice(int running) throws InterruptedException {
        long start = System.nanoTime();
        long operationsBefore = sum();
        wanted = running;
        Thread.sleep(SLICE_MILLIS);
        long operationsAfter = sum();
        return (operationsAfter - operationsBefore) * 1e9 / (System.nanoTime() - start);
    }

    /** Nanoseconds of a line's way, with the workers at rest. */
    private double idle() throws InterruptedException {
        wanted = 0;
        long last;
        long now = sum();
        do {
            last = now;
            Thread.sleep(2);
            now = sum();
        } while (now != last);
        return LineTransfer.measure();
    }

    private long sum() {
        long sum = 0;
        for (int i = 1; i <= THREADS; i++) {
            sum += done.getOpaque(i * STRIDE);
        }
        return sum;
    }

    private void body(int number) {
        Runnable mine = work.get(number);
        long count = 0;
        while (!over) {
            if (number >= wanted) {
                LockSupport.parkNanos(100_000);
                continue;
            }
            for (int i = 0; i < BATCH; i++) {
                mine.run();
            }
            count += (long) BATCH * operations;
            done.setOpaque((number + 1) * STRIDE, count);
        }
    }

    private static void report(String what, List<List<Double>> rates) {
        if (rates.getFirst().isEmpty() || rates.getLast().isEmpty()) {
            System.out.println(what + ": never seen");
            return;
        }
        double one = median(rates.getFirst());
        double two = median(rates.getLast());
        System.out.printf(
                "%s: one thread %.0f/s, two %.0f/s: %.2fx (medians of %d and %d slices)%n",
                what, one, two, two / one, rates.getFirst().size(), rates.getLast().size());
    }

    private static double median(List<Double> rates) {
        List<Double> sorted = new ArrayList<>(rates);
        Collections.sort(sorted);
        return sorted.get(sorted.size() / 2);
    }
}
