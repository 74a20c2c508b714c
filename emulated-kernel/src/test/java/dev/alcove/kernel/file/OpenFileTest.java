// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.file;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CyclicBarrier;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

/** A file is released once, after its last reference and its last borrower. */
class OpenFileTest {
    private static final class Counted extends OpenFile {
        final AtomicInteger releases = new AtomicInteger();

        Counted() {
            super(0);
        }

        @Override
        protected void release() {
            releases.incrementAndGet();
        }

        @Override
        public Stat stat() {
            throw new UnsupportedOperationException();
        }
    }

    @Test
    void theBorrowerKeepsIt() {
        Counted file = new Counted();
        assertTrue(file.borrow());
        file.put();
        assertEquals(0, file.releases.get());
        assertFalse(file.borrow());
        assertFalse(file.tryGet());
        // A call that runs may still give the file to somebody who keeps it.
        file.get();
        file.giveBack();
        assertEquals(0, file.releases.get());
        file.put();
        assertEquals(1, file.releases.get());
    }

    @Test
    void releasedOnceWhoeverIsLast() throws Exception {
        int users = 3;
        CyclicBarrier start = new CyclicBarrier(users);
        List<Counted> files = new ArrayList<>();
        for (int i = 0; i < 20_000; i++) {
            files.add(new Counted());
        }
        try (ExecutorService threads = Executors.newFixedThreadPool(users)) {
            List<Future<?>> all = new ArrayList<>();
            for (int user = 0; user < users; user++) {
                boolean closes = user == 0;
                all.add(threads.submit(() -> {
                    start.await();
                    for (Counted file : files) {
                        use(file, closes);
                    }
                    return null;
                }));
            }
            for (Future<?> one : all) {
                one.get();
            }
        }
        files.forEach(file -> assertEquals(1, file.releases.get()));
    }

    private static void use(Counted file, boolean closes) {
        if (closes) {
            file.put();
        } else if (file.borrow()) {
            assertEquals(0, file.releases.get());
            file.get();
            file.put();
            assertEquals(0, file.releases.get());
            file.giveBack();
        }
    }
}
