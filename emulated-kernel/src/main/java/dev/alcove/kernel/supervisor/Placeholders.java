// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.supervisor;

import dev.alcove.kernel.file.Mapping;
import dev.alcove.kernel.file.MemoryFile;
import dev.alcove.kernel.file.OpenFile;
import dev.alcove.kernel.file.TextFile;
import dev.alcove.kernel.mm.PageStore;
import dev.alcove.kernel.task.Task;
import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import dev.alcove.sys.SyscallException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import org.jspecify.annotations.Nullable;

import static java.lang.foreign.ValueLayout.JAVA_INT;

/**
 * The real files that programs hold for open files of the emulated kernel.
 *
 * <p>Each is a memfd with two open file descriptions. The program gets the second one, locked; this side keeps the
 * first. inotify tells when a description of the second kind is closed for good, that is, when the last descriptor in
 * any process and the last mapping are gone; the lock proves that it was the one that counts, as anybody may open and
 * close a third through /proc. An event is there before the close that made it returns, so whoever drains the queue
 * before it serves a call sees every earlier close. It is also there before that close has given the lock up
 * (__fput() notifies first): a placeholder that is still locked is looked at again by every later {@link #drain}.
 *
 * <p>A file that can be polled is a FIFO instead, which has a byte in it while there is something to read: a
 * {@link Readiness}. What is read from and written to the file does not pass through it.
 *
 * <p>Thread safe: the table is concurrent, draining is guarded by the monitor.
 */
final class Placeholders implements AutoCloseable {
    private static final int QUEUE_BYTES = 1 << 16;
    private static final int IN_Q_OVERFLOW = 0x4000;
    /** How long a close that has been told of may take; one that takes longer is seen with the next call, or the next idle look. */
    private static final long CLOSE_NANOS = 100_000_000;

    /** One of them; {@code file} is null once the file was taken back. */
    static final class Placeholder {
        final Host.Identity identity;
        final int memory;
        final int watch;
        /** The pages that a mapping shows; null where there are none. */
        final @Nullable PageStore shown;
        /** Of a file that can be polled. */
        final @Nullable Readiness readiness;

        volatile @Nullable OpenFile file;
        /** What a trace calls it. */
        volatile String name = "";

        Placeholder(
                Host.Identity identity,
                int memory,
                int watch,
                @Nullable PageStore shown,
                @Nullable Readiness readiness,
                OpenFile file) {
            this.shown = shown;
            this.readiness = readiness;
            this.identity = identity;
            this.memory = memory;
            this.watch = watch;
            this.file = file;
        }
    }

    /** A placeholder and its second description, which goes to the program. */
    record Made(Placeholder placeholder, int end) {}

    private final Host host;
    private final int queue;
    private final Map<Host.Identity, Placeholder> all = new ConcurrentHashMap<>();
    /** Guarded by the monitor. */
    private final Map<Integer, Placeholder> byWatch = new HashMap<>();
    /** Told to be closed and still locked, and when that was told. Guarded by the monitor. */
    private final Map<Placeholder, Long> doubtful = new HashMap<>();

    private final Arena arena = Arena.ofShared();
    private final MemorySegment events = arena.allocate(QUEUE_BYTES, 8);

    Placeholders(Host host) {
        this.host = host;
        queue = host.inotify();
        if (queue < 0) {
            throw new SyscallException("inotify_init1", "", queue);
        }
    }

    /**
     * Makes one for a file whose reference it takes over.
     *
     * @param task on whose behalf
     * @return null when the host has no more descriptors or watches; the reference is the caller's then
     */
    @Nullable Made make(Task task, OpenFile file) {
        Readiness readiness = file.polls() ? Readiness.of(host, file) : null;
        int memory = readiness != null
                ? readiness.fifo()
                : file.polls() ? -1 : host.calls.memfdCreate("alcove", Linux.MFD_CLOEXEC);
        if (memory < 0) {
            return null;
        }
        boolean answers = !file.polls() || (file.poll() & Linux.POLLOUT) != 0;
        int mode = answers ? Linux.O_RDWR : Linux.O_RDONLY;
        int end = host.openAt(Host.AT_FDCWD, "/proc/self/fd/" + memory, mode);
        Host.Identity identity = host.identify(memory, "");
        PageStore shown = shown(task, file);
        if (end < 0 || identity == null || host.flock(end, Host.LOCK_EX) < 0 || !share(file, shown, memory)) {
            discard(end, memory, readiness);
            return null;
        }
        synchronized (this) {
            int watch = host.watch(queue, "/proc/self/fd/" + end, Host.IN_CLOSE);
            if (watch < 0) {
                discard(end, memory, readiness);
                return null;
            }
            Placeholder made = new Placeholder(identity, memory, watch, shown, readiness, file);
            byWatch.put(watch, made);
            all.put(identity, made);
            if (readiness != null) {
                readiness.begin();
            }
            return new Made(made, end);
        }
    }

    private void discard(int end, int memory, @Nullable Readiness readiness) {
        host.close(end);
        host.close(memory);
        if (readiness != null) {
            readiness.end();
        }
    }

    /**
     * Makes the pages that mmap shows those of the placeholder, so that the host's mmap of it maps them. A text file's
     * placeholder has the text in it, for descriptors outside of the window.
     */
    private boolean share(OpenFile file, @Nullable PageStore store, int memory) {
        if (file instanceof TextFile text) {
            host.fill(memory, text.text());
            return true;
        }
        // Pages that user space must not touch stay out of the file: an access past its end raises SIGBUS.
        return store == null
                || !store.userAccessible()
                || (host.calls.ftruncate(memory, store.pages() << Linux.PAGE_SHIFT) == 0 && store.showIn(memory) == 0);
    }

    private static @Nullable PageStore shown(Task task, OpenFile file) {
        return switch (file) {
            case MemoryFile memory -> memory.store();
            case MappedPages window -> window.store();
            default -> {
                int protection = Linux.PROT_READ | Linux.PROT_WRITE;
                yield file.map(task, 0, Linux.PAGE_SIZE, protection, Linux.MAP_SHARED) instanceof Mapping.Pages pages
                        ? pages.store()
                        : null;
            }
        };
    }

    /** As {@link #make}, for pages that are mapped without a file of the program's; null, with nothing kept, if it fails. */
    @Nullable Made makeWindow(Task task, MappedPages pages) {
        Made made = make(task, pages);
        if (made == null) {
            pages.put();
        }
        return made;
    }

    /** The placeholder that a file is, or null when it is none. */
    @Nullable Placeholder find(Host.Identity identity) {
        return all.get(identity);
    }

    /** The pages that a mapping of a placeholder shows; null where there are none to share. */
    @Nullable PageStore store(Host.Identity identity) {
        Placeholder placeholder = all.get(identity);
        OpenFile file = placeholder == null ? null : placeholder.file;
        return file instanceof MemoryFile memory ? memory.store() : null;
    }

    /** How many there are. */
    int count() {
        return all.size();
    }

    /** Takes the file out of a placeholder that the program keeps: calls on it answer EBADF from now on. */
    void empty(Placeholder placeholder) {
        OpenFile file;
        synchronized (this) {
            file = placeholder.file;
            placeholder.file = null;
        }
        if (placeholder.readiness != null) {
            placeholder.readiness.end();
        }
        if (file != null) {
            file.put();
        }
    }

    /** Releases the files whose placeholders have been closed. */
    synchronized void drain() {
        if (!doubtful.isEmpty()) {
            List.copyOf(doubtful.keySet()).forEach(this::releaseIfClosed);
        }
        while (true) {
            long length = host.calls.read(queue, events);
            if (length <= 0) {
                return;
            }
            for (long at = 0; at < length; at += 16 + events.get(JAVA_INT, at + 12)) {
                if ((events.get(JAVA_INT, at + 4) & IN_Q_OVERFLOW) != 0) {
                    Map.copyOf(byWatch).values().forEach(this::releaseIfClosed);
                    continue;
                }
                Placeholder placeholder = byWatch.get(events.get(JAVA_INT, at));
                if (placeholder != null) {
                    releaseIfClosed(placeholder);
                }
            }
        }
    }

    private void releaseIfClosed(Placeholder placeholder) {
        if (host.flock(placeholder.memory, Host.LOCK_EX | Host.LOCK_NB) == -Errno.EAGAIN) {
            doubtful.putIfAbsent(placeholder, System.nanoTime());
            return;
        }
        doubtful.remove(placeholder);
        byWatch.remove(placeholder.watch);
        all.remove(placeholder.identity);
        host.unwatch(queue, placeholder.watch);
        empty(placeholder);
        host.close(placeholder.memory);
    }

    /** Waits until there may be something to drain; false after the time. */
    boolean await(int timeoutMillis) {
        boolean closing = isClosing();
        return host.poll(queue, Linux.POLLIN, closing ? 1 : timeoutMillis) > 0 || closing;
    }

    private synchronized boolean isClosing() {
        long now = System.nanoTime();
        return doubtful.values().stream().anyMatch(told -> now - told < CLOSE_NANOS);
    }

    /** Drops every file; the programs are gone. */
    @Override
    public synchronized void close() {
        for (Placeholder placeholder : all.values()) {
            empty(placeholder);
            host.close(placeholder.memory);
        }
        all.clear();
        byWatch.clear();
        doubtful.clear();
        host.close(queue);
        arena.close();
    }
}
