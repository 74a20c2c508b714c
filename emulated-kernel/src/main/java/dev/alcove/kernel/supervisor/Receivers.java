// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.supervisor;

import dev.alcove.sys.Errno;
import java.util.List;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.locks.LockSupport;
import java.util.concurrent.locks.ReentrantLock;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/**
 * The threads that serve the program's calls. One at a time leads: it receives, and serves on the spot what cannot
 * wait, which is the fastest way. Before it serves a call that may wait (KVM_RUN) it leaves the lead to another.
 *
 * <p>Locks: {@code lead} is above every lock of the emulated kernel.
 */
final class Receivers {
    /** How often the signals of threads in waiting calls are looked up. */
    private static final long GLANCE_NANOS = 1_000_000;

    private final Listener listener;
    private final Placeholders placeholders;
    private final Clients clients;
    private final Calls calls;
    private final MemoryCalls memoryCalls;
    private final Calls.Trouble trouble;
    private final int launcher;
    private final Sharing sharing;
    private final Supplier<Follower> followers;
    private final ReentrantLock lead = new ReentrantLock();
    private final AtomicInteger spare = new AtomicInteger();
    private final Set<Client> waiting = ConcurrentHashMap.newKeySet();
    private final CountDownLatch ended = new CountDownLatch(1);
    private final List<Thread> threads = new CopyOnWriteArrayList<>();
    private final Thread glancer = Thread.ofPlatform().daemon().name("signals").unstarted(this::glance);

    /** @param launcher the thread whose own calls are the host's, although the filter is on it */
    Receivers(
            Listener listener,
            Placeholders placeholders,
            Clients clients,
            Calls calls,
            Calls.Trouble trouble,
            Sharing sharing,
            Supplier<Follower> followers,
            int launcher) {
        this.listener = listener;
        this.placeholders = placeholders;
        this.clients = clients;
        this.calls = calls;
        memoryCalls = calls.memoryCalls();
        this.trouble = trouble;
        this.sharing = sharing;
        this.followers = followers;
        this.launcher = launcher;
    }

    void start() {
        glancer.start();
        threads.add(glancer);
        add();
        threads.add(Thread.ofPlatform().daemon().name("releases").start(this::tidy));
    }

    private void add() {
        spare.incrementAndGet();
        threads.add(Thread.ofPlatform().daemon().name("calls").start(this::run));
    }

    /** Waits until nobody is left who could make a call, and nobody serves one. */
    void awaitEnd() throws InterruptedException {
        ended.await();
        for (Thread thread : threads) {
            thread.join();
        }
    }

    private boolean finished() {
        return ended.getCount() == 0;
    }

    private void run() {
        while (!finished()) {
            lead.lock();
            try {
                spare.decrementAndGet();
                Runnable waits = null;
                while (waits == null && !finished()) {
                    waits = leadOnce();
                }
                if (waits != null) {
                    if (spare.get() == 0) {
                        add();
                    }
                    lead.unlock();
                    waits.run();
                }
            } finally {
                spare.incrementAndGet();
                if (lead.isHeldByCurrentThread()) {
                    lead.unlock();
                }
            }
        }
    }

    /** Receives a call and serves it; answers one that is to be served, or to be finished, without the lead. */
    private @Nullable Runnable leadOnce() {
        Notification call = listener.receive();
        if (call == null) {
            if (listener.ended()) {
                ended.countDown();
                LockSupport.unpark(glancer);
            }
            return null;
        }
        if (call.tid() == launcher) {
            listener.proceed(call.id());
            return null;
        }
        if (call.number() == Numbers.EXECVE || call.number() == Numbers.EXECVEAT) {
            clients.executes(call.tid());
            listener.proceed(call.id());
            return null;
        }
        memoryCalls.again(call.tid());
        if (MemoryCalls.concerns(call)) {
            Client client = clients.whoseMemoryMatters(call.tid());
            finish(call, client == null ? Calls.PROCEED : calls.serveSafely(client, call, trouble));
            LockSupport.unpark(glancer);
            return null;
        }
        placeholders.drain();
        if (Calls.mayWait(call, !waiting.isEmpty())) {
            return () -> serveWaiting(call);
        }
        Client client = clients.of(call.tid());
        if (client == null) {
            listener.proceed(call.id());
            return null;
        }
        long answer = calls.serveSafely(client, call, trouble);
        Insertion insertion = client.takeInsertion();
        if (insertion != null) {
            return () -> sharing.insert(client, call, insertion);
        }
        if (client.takeToFollow()) {
            return () -> follow(client, call, answer);
        }
        ClientMemory.Unshared unshared = client.mm().takeUnshared();
        if (unshared != null && answer == -Errno.EFAULT) {
            return () -> sharing.share(client, call, unshared, answer);
        }
        finish(call, answer);
        return null;
    }

    private void serveWaiting(Notification call) {
        Client client = clients.of(call.tid());
        if (client == null) {
            listener.proceed(call.id());
            return;
        }
        waiting.add(client);
        LockSupport.unpark(glancer);
        long answer;
        try {
            answer = calls.serveSafely(client, call, trouble);
        } finally {
            waiting.remove(client);
        }
        ClientMemory.Unshared unshared = client.mm().takeUnshared();
        if (unshared != null && answer == -Errno.EFAULT) {
            sharing.share(client, call, unshared, answer);
        } else {
            finish(call, answer);
        }
    }

    private void follow(Client client, Notification call, long answer) {
        try {
            threads.removeIf(thread -> !thread.isAlive());
            threads.add(followers.get().follow(client));
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        } finally {
            finish(call, answer);
        }
    }

    private void finish(Notification call, long answer) {
        if (answer == Calls.PROCEED) {
            listener.proceed(call.id());
        } else {
            listener.answer(call.id(), answer);
        }
    }

    /** Tells the threads in waiting calls of their signals. */
    private void glance() {
        while (!finished()) {
            if (waiting.isEmpty() && !memoryCalls.pending()) {
                LockSupport.park(this);
            } else {
                LockSupport.parkNanos(this, GLANCE_NANOS);
                waiting.forEach(Client::lookAtSignals);
                memoryCalls.again(0);
            }
        }
    }

    /** Releases what a program closes that makes no calls. */
    private void tidy() {
        while (!finished()) {
            boolean idle = !placeholders.await(500);
            placeholders.drain();
            if (idle) {
                clients.sweep();
            }
        }
    }
}
