// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel;

import dev.alcove.kernel.file.OpenFile;
import dev.alcove.kernel.task.Task;
import dev.alcove.kernel.task.Waiter;
import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import java.lang.foreign.MemorySegment;
import java.util.Objects;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

import static java.lang.foreign.ValueLayout.JAVA_INT_UNALIGNED;
import static java.lang.foreign.ValueLayout.JAVA_SHORT_UNALIGNED;

/** One poll(2). */
final class Poll {
    private static final int ENTRY = 8;
    private static final int EVENTS = 4;
    private static final int RETURNED = 6;

    private final Task task;
    private final MemorySegment entries;
    private final int count;
    private final @Nullable OpenFile[] files;

    Poll(Task task, MemorySegment entries) {
        this.task = task;
        this.entries = entries;
        count = (int) (entries.byteSize() / ENTRY);
        files = new OpenFile[count];
        for (int i = 0; i < count; i++) {
            int fd = entries.get(JAVA_INT_UNALIGNED, (long) i * ENTRY);
            files[i] = fd < 0 ? null : task.file(fd);
        }
    }

    /** @param timeoutMillis below 0 for none */
    int run(int timeoutMillis) {
        if (count > task.rlimit(Linux.RLIMIT_NOFILE) && task.rlimit(Linux.RLIMIT_NOFILE) >= 0) {
            return -Errno.EINVAL;
        }
        int ready = look();
        if (ready > 0 || timeoutMillis == 0) {
            return ready;
        }
        long start = System.nanoTime();
        long timeout = timeoutMillis < 0 ? Long.MAX_VALUE : timeoutMillis * 1_000_000L;
        OpenFile[] present = Stream.of(files).filter(Objects::nonNull).toArray(OpenFile[]::new);
        try (Waiter waiter = new Waiter(task, present)) {
            while (true) {
                ready = look();
                if (ready > 0) {
                    return ready;
                }
                int answer = waiter.await(start, timeout);
                if (answer != 0) {
                    return answer == -Errno.ETIMEDOUT ? 0 : answer;
                }
            }
        }
    }

    /** Fills in what holds now; how many entries have something. */
    private int look() {
        int ready = 0;
        for (int i = 0; i < count; i++) {
            long entry = (long) i * ENTRY;
            OpenFile file = files[i];
            int returned = 0;
            if (file != null) {
                int wanted = entries.get(JAVA_SHORT_UNALIGNED, entry + EVENTS) | Linux.POLLERR | Linux.POLLHUP;
                returned = file.poll() & wanted;
            } else if (entries.get(JAVA_INT_UNALIGNED, entry) >= 0) {
                returned = Linux.POLLNVAL;
            }
            entries.set(JAVA_SHORT_UNALIGNED, entry + RETURNED, (short) returned);
            ready += returned != 0 ? 1 : 0;
        }
        return ready;
    }
}
