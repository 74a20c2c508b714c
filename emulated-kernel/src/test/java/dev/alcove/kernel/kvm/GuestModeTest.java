// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.kvm;

import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

@Timeout(30)
final class GuestModeTest {
    private final AtomicInteger told = new AtomicInteger();
    private final GuestMode mode = new GuestMode(told::incrementAndGet);

    @Test
    void nobodyWaitsForAVcpuOutside() {
        assertFalse(mode.request());
        mode.awaitFlush();
        assertEquals(0, told.get());
        assertFalse(mode.enter(), "the flush is still owed");
        mode.acknowledge();
        assertTrue(mode.enter());
    }

    @Test
    void aVcpuInGuestModeIsToldAndAwaited() throws Exception {
        assertTrue(mode.enter());
        assertTrue(mode.request());
        assertEquals(1, told.get());
        try (ExecutorService threads = Executors.newSingleThreadExecutor()) {
            Future<?> waiting = threads.submit(mode::awaitFlush);
            mode.acknowledge();
            waiting.get();
        }
        assertTrue(mode.enter());
    }

    @Test
    void leavingEndsTheWaitButNotTheDebt() throws Exception {
        assertTrue(mode.enter());
        assertTrue(mode.request());
        try (ExecutorService threads = Executors.newSingleThreadExecutor()) {
            Future<?> waiting = threads.submit(mode::awaitFlush);
            mode.leave();
            waiting.get();
        }
        assertFalse(mode.enter());
    }
}
