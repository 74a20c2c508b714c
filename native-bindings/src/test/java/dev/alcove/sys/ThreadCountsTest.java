// SPDX-License-Identifier: Apache-2.0
package dev.alcove.sys;

import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;

import static org.junit.jupiter.api.Assertions.assertEquals;

class ThreadCountsTest {
    @Test
    void whatAllThreadsAddIsThere() throws InterruptedException {
        ThreadCounts counts = new ThreadCounts(2);
        int rounds = 30;
        // More threads than buckets over time, some at once; those that have ended leave their places with what is in them.
        for (int round = 0; round < rounds; round++) {
            List<Thread> threads = new ArrayList<>();
            for (int i = 0; i < 8; i++) {
                threads.add(Thread.ofPlatform().start(() -> {
                    long first = counts.own(0);
                    for (int n = 0; n < 1000; n++) {
                        counts.add(0, 1);
                        counts.add(1, -2);
                    }
                    assertEquals(1000, counts.own(0) - first);
                }));
            }
            for (Thread thread : threads) {
                thread.join();
            }
        }
        counts.add(1, 7);
        assertEquals(rounds * 8000L, counts.sum(0));
        assertEquals(7 - rounds * 16000L, counts.sum(1));
    }

    @Test
    void virtualThreadsToo() throws InterruptedException {
        ThreadCounts counts = new ThreadCounts(1);
        List<Thread> threads = new ArrayList<>();
        for (int i = 0; i < 500; i++) {
            threads.add(Thread.ofVirtual().start(() -> counts.add(0, 3)));
        }
        for (Thread thread : threads) {
            thread.join();
        }
        assertEquals(1500, counts.sum(0));
    }
}
