// SPDX-License-Identifier: Apache-2.0
package dev.alcove.bench;

import java.util.concurrent.atomic.AtomicLongArray;

/**
 * How long a cache line takes from one processor to another at this moment, by two threads that answer each other.
 *
 * <p>Two processors with a common cache do it in some 30 ns, others take 100 ns to 200 ns. The processors of a virtual machine
 * can be either, and change from one second to the next: what two threads reach together depends on it.
 */
final class LineTransfer {
    private static final int ROUNDS = 5_000;

    /** Elements around the one in use, so that it has two lines to itself. */
    private static final int PADDING = 16;

    private LineTransfer() {}

    /** Nanoseconds for one way. Takes some milliseconds, in which nothing else should run. */
    static double measure() throws InterruptedException {
        AtomicLongArray line = new AtomicLongArray(2 * PADDING);
        long last = 2L * ROUNDS;
        Thread other = new Thread(() -> answer(line, 1, last), "line-transfer");
        other.start();
        answer(line, 0, 2);
        long start = System.nanoTime();
        answer(line, 2, last);
        long nanos = System.nanoTime() - start;
        other.join();
        return (double) nanos / (last - 2);
    }

    /** Waits for {@code first} and every second number after it, and puts the next one there, up to {@code last}. */
    private static void answer(AtomicLongArray line, long first, long last) {
        for (long turn = first; turn < last; turn += 2) {
            while (line.getAcquire(PADDING) != turn) {
                Thread.onSpinWait();
            }
            line.setRelease(PADDING, turn + 1);
        }
    }
}
