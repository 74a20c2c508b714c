// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.supervisor;

import dev.alcove.sys.Linux;
import java.util.concurrent.ConcurrentLinkedQueue;

/**
 * Calls that change the program's mappings: munmap, mremap, mprotect, madvise, and mmap over something. The host's
 * kernel carries them out; guests and devices forget what they know of the range.
 *
 * <p>They forget it twice: before the call, and when it is certainly over, as a virtual processor may have looked the
 * range up again in between. Nobody tells when that is, but for the thread's next call; so it is done again for some
 * milliseconds as well.
 */
final class MemoryCalls {
    private static final int MADV_FREE = 8;
    private static final long LONG_ENOUGH_NANOS = 20_000_000;

    private record Change(int tid, ClientMemory memory, long start, long end, long since) {}

    private final ConcurrentLinkedQueue<Change> changes = new ConcurrentLinkedQueue<>();

    /** Whether this is such a call: one that the host's kernel carries out in nearly every case. */
    static boolean concerns(Notification call) {
        return switch (call.number()) {
            case Numbers.MUNMAP, Numbers.MREMAP, Numbers.MPROTECT, Numbers.MADVISE -> true;
            case Numbers.MMAP ->
                (call.d() & Linux.MAP_ANONYMOUS) != 0 && (call.d() & Linux.MAP_HUGETLB) == 0;
            default -> false;
        };
    }

    /** {@link Calls#PROCEED}, or 0 where there is nothing left to do. */
    long serve(Client client, Notification call) {
        ClientMemory memory = client.mm();
        long start = call.a() & -Linux.PAGE_SIZE;
        long end = (call.a() + call.b() + Linux.PAGE_SIZE - 1) & -Linux.PAGE_SIZE;
        if (client.inserting() || start < 0 || end <= start) {
            return Calls.PROCEED;
        }
        boolean done = false;
        if (call.number() == Numbers.MADVISE) {
            done = switch ((int) call.c()) {
                case Linux.MADV_DONTNEED, MADV_FREE -> memory.discard(start, end);
                case Linux.MADV_REMOVE -> memory.remove(start, end);
                default -> false;
            };
        } else if (call.number() == Numbers.MREMAP && call.c() > call.b()) {
            memory.grow(start, call.c());
        }
        if (memory.hasNotifiers()) {
            memory.changed(start, end);
            if (!done) {
                changes.add(new Change(client.tid(), memory, start, end, System.nanoTime()));
            }
        }
        return done ? 0 : Calls.PROCEED;
    }

    /** Whether there are calls of which it is not known whether they are over. */
    boolean pending() {
        return !changes.isEmpty();
    }

    /** Has the ranges forgotten once more; a thread that makes another call has come to the end of the one before. */
    void again(int tid) {
        if (changes.isEmpty()) {
            return;
        }
        changes.removeIf(change -> {
            change.memory.changed(change.start, change.end);
            return change.tid == tid || System.nanoTime() - change.since > LONG_ENOUGH_NANOS;
        });
    }
}
