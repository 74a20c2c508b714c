// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.supervisor;

import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;

import static java.lang.foreign.ValueLayout.JAVA_LONG;

/**
 * Makes memory of the program a memfd, so that a guest or a device can have the very same pages: private
 * memory, and shared memory that this side has not the privilege to open.
 *
 * <p>The program's threads are stopped by ptrace(2) while the contents go over to a memfd, and the thread whose call
 * needs the memory is made to map that memfd in its place and to issue its call once more. What changes for the
 * program: a child that it forks later shares this memory instead of getting a copy.
 */
final class Sharing {
    private static final int CLOSE = 3;
    private static final long PATIENCE_NANOS = 30_000_000;
    private static final long OWN_PATIENCE_NANOS = 5_000_000_000L;
    /** Pages whose presence is looked up at once. */
    private static final int STRETCH = 1 << 13;

    private static final long PRESENT_OR_SWAPPED = 3L << 62;

    private final Host host;
    private final Listener listener;

    Sharing(Host host, Listener listener) {
        this.host = host;
        this.listener = listener;
    }

    /**
     * Shares a range and has the call issued again.
     *
     * @param call which waits for an answer; it gets one here in any case
     * @param otherwise the answer if the memory cannot be shared
     */
    void share(Client client, Notification call, ClientMemory.Unshared range, long otherwise) {
        trace(() -> trace(client, call, range, otherwise));
    }

    /**
     * Makes a mapping and answers where it is, or {@code -ENOMEM}.
     *
     * @param call the mmap that waits for an answer; it gets one here in any case
     */
    void insert(Client client, Notification call, Insertion insertion) {
        client.setInserting(true);
        trace(() -> map(client, call, insertion));
    }

    private void map(Client client, Notification call, Insertion insertion) {
        boolean answered = false;
        try (Arena arena = Arena.ofConfined()) {
            boolean gives = insertion.file() >= 0;
            int number = Tracee.seize(host, client.tid()) < 0
                    ? -1
                    : gives ? listener.addFile(call.id(), insertion.file(), -1, true) : insertion.number();
            if (number < 0) {
                return;
            }
            answered = true;
            listener.answer(call.id(), -Errno.ENOMEM);
            Tracee tracee = Tracee.awaitStop(host, client.tid(), OWN_PATIENCE_NANOS)
                    ? Tracee.stopped(host, client.tid(), arena)
                    : null;
            if (tracee == null) {
                return;
            }
            long address = tracee.atSyscall() ? map(tracee, insertion, number) : -Errno.ENOMEM;
            if (gives) {
                tracee.call(CLOSE, number, 0, 0, 0, 0, 0);
            }
            tracee.answer(address);
        } finally {
            // Before the thread is let go, which happens when this one ends: its next call is its own again.
            client.setInserting(false);
            if (!answered) {
                listener.answer(call.id(), -Errno.ENOMEM);
            }
            host.close(insertion.file());
        }
    }

    /** Finds the room first, aligned, and then maps. */
    private static long map(Tracee tracee, Insertion insertion, int number) {
        long length = insertion.length();
        boolean fixed = insertion.fixed() != 0;
        long slack = fixed ? 0 : insertion.alignment();
        int reserve = Linux.MAP_PRIVATE | Linux.MAP_ANONYMOUS | Linux.MAP_NORESERVE | insertion.fixed();
        long room = tracee.call(Numbers.MMAP, insertion.address(), length + slack, Linux.PROT_NONE, reserve, -1, 0);
        if (Linux.isError(room)) {
            return room;
        }
        long address = fixed ? room : (room + slack) & -insertion.alignment();
        if (address > room) {
            tracee.call(Numbers.MUNMAP, room, address - room, 0, 0, 0, 0);
        }
        if (address + length < room + length + slack) {
            tracee.call(Numbers.MUNMAP, address + length, room + slack - address, 0, 0, 0, 0);
        }
        int flags = Linux.MAP_SHARED | Linux.MAP_FIXED | Linux.MAP_NORESERVE;
        return tracee.call(
                Numbers.MMAP, address, length, insertion.protection(), flags, number, insertion.offset());
    }

    private static void trace(Runnable task) {
        // The program's threads are let go when the thread that stopped them ends.
        Thread tracer = Thread.ofPlatform().name("tracer").start(task);
        boolean interrupted = false;
        while (tracer.isAlive()) {
            try {
                tracer.join();
            } catch (InterruptedException e) {
                interrupted = true;
            }
        }
        if (interrupted) {
            Thread.currentThread().interrupt();
        }
    }

    private void trace(Client client, Notification call, ClientMemory.Unshared range, long otherwise) {
        int own = client.tid();
        boolean answered = false;
        try (Arena arena = Arena.ofConfined()) {
            int file = stopOthers(client) && Tracee.seize(host, own) == 0
                    ? copy(client, range)
                    : -1;
            int number = file < 0 ? file : listener.addFile(call.id(), file, -1, true);
            if (number < 0) {
                host.close(file);
                return;
            }
            client.mm().expect(file);
            answered = true;
            listener.answer(call.id(), otherwise);
            Tracee tracee = Tracee.awaitStop(host, own, OWN_PATIENCE_NANOS) ? Tracee.stopped(host, own, arena) : null;
            if (tracee == null) {
                return;
            }
            int flags = Linux.MAP_SHARED | Linux.MAP_FIXED | Linux.MAP_NORESERVE;
            long length = range.end() - range.start();
            boolean mapped = tracee.atSyscall()
                    && tracee.call(Numbers.MMAP, range.start(), length, range.protection(), flags, number, 0)
                            == range.start();
            tracee.call(CLOSE, number, 0, 0, 0, 0, 0);
            if (mapped) {
                client.mm().changed(range.start(), range.end());
                tracee.again(call.number());
            } else {
                tracee.answer(otherwise);
            }
        } finally {
            if (!answered) {
                listener.answer(call.id(), otherwise);
            }
        }
    }

    /** Stops every other thread, or sees that it is in a call and will stop at its end. */
    private boolean stopOthers(Client client) {
        List<Integer> others;
        try (Stream<Path> tasks = Files.list(Path.of("/proc/" + client.tgid() + "/task"))) {
            others = tasks.map(task -> Integer.parseInt(task.getFileName().toString()))
                    .filter(tid -> tid != client.tid())
                    .toList();
        } catch (IOException | UncheckedIOException gone) {
            return false;
        }
        for (int tid : others) {
            if (Tracee.seize(host, tid) < 0) {
                return false;
            }
        }
        others.forEach(tid -> Tracee.awaitStop(host, tid, PATIENCE_NANOS));
        return true;
    }

    /** A memfd with the contents of a range of the program's memory, or a negated errno. */
    private int copy(Client client, ClientMemory.Unshared range) {
        int file = host.calls.memfdCreate("alcove-memory", Linux.MFD_CLOEXEC);
        int pagemap = host.openAt(client.directory(), "pagemap", Linux.O_RDONLY);
        try (Arena arena = Arena.ofConfined()) {
            if (file < 0 || pagemap < 0 || host.calls.ftruncate(file, range.end() - range.start()) != 0) {
                host.close(file);
                return -1;
            }
            MemorySegment entries = arena.allocate(8L * STRETCH, 8);
            MemorySegment page = arena.allocate(Linux.PAGE_SIZE, 8);
            for (long at = range.start(); at < range.end(); at += (long) STRETCH << Linux.PAGE_SHIFT) {
                long pages = Math.min(STRETCH, (range.end() - at) >> Linux.PAGE_SHIFT);
                if (host.calls.pread(pagemap, entries.asSlice(0, 8 * pages), at >> Linux.PAGE_SHIFT << 3) != 8 * pages) {
                    host.close(file);
                    return -1;
                }
                for (int i = 0; i < pages; i++) {
                    long address = at + ((long) i << Linux.PAGE_SHIFT);
                    if ((range.file() || (entries.getAtIndex(JAVA_LONG, i) & PRESENT_OR_SWAPPED) != 0)
                            && client.copyIn(address, page) == 0) {
                        host.calls.pwrite(file, page, address - range.start());
                    }
                }
            }
            return file;
        } finally {
            host.close(pagemap);
        }
    }
}
