// SPDX-License-Identifier: Apache-2.0
package dev.alcove.sys.trace;

import java.time.Duration;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;

/** A thread for each recorded one; one of them works at a time. */
final class ReplayThreads implements AutoCloseable {
    /** @param thread that the executor has */
    private record Worker(ExecutorService executor, Thread thread) {}

    private final Map<String, Worker> threads = new HashMap<>();
    private final Map<Integer, String> names = new HashMap<>();

    /** A call that did not come back. */
    static final class Stuck extends Exception {
        private static final long serialVersionUID = 1L;
    }

    /**
     * Does something on a thread and waits for it.
     *
     * @throws Stuck it takes longer than the limit
     */
    void run(String name, Runnable work, Duration limit) throws Stuck {
        Worker worker = threads.computeIfAbsent(name, ReplayThreads::start);
        try {
            worker.executor.submit(work).get(limit.toMillis(), TimeUnit.MILLISECONDS);
        } catch (TimeoutException e) {
            throw new Stuck();
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new Stuck();
        } catch (ExecutionException e) {
            switch (e.getCause()) {
                case RuntimeException thrown -> throw thrown;
                case Error thrown -> throw thrown;
                case null, default -> throw new IllegalStateException(e);
            }
        }
    }

    private static Worker start(String name) {
        // A daemon: a call that hangs in the kernel must not keep the JVM.
        ExecutorService executor = Executors.newSingleThreadExecutor(
                Thread.ofPlatform().daemon().name("replay-" + name).factory());
        return new Worker(executor, CompletableFuture.supplyAsync(Thread::currentThread, executor).join());
    }

    /** A recorded thread has told its number. */
    void number(int recorded, String name) {
        names.put(recorded, name);
    }

    /** A recorded thread has ended: so must the one that stands for it. */
    void end(int recorded) {
        String name = names.get(recorded);
        Worker worker = name == null ? null : threads.remove(name);
        if (worker == null) {
            return;
        }
        worker.executor.shutdown();
        try {
            worker.thread.join();
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    @Override
    public void close() {
        threads.values().forEach(worker -> worker.executor.shutdownNow());
    }
}
