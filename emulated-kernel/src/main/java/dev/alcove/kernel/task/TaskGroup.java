// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.task;

import dev.alcove.kernel.fault.FaultInjection;
import dev.alcove.kernel.file.FileTable;
import dev.alcove.kernel.mm.AddressSpace;
import dev.alcove.kernel.mm.LockedMemory;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.IntSupplier;
import org.jspecify.annotations.Nullable;

/**
 * What the threads of a process share. A thread of the JVM becomes a thread of the process with its first call.
 *
 * @param files its descriptors
 * @param userLocked pages locked by its user
 * @param threads by thread number
 * @param faults which of their allocations fail
 * @param numbers where thread numbers come from
 */
public record TaskGroup(
        int pid,
        Credentials credentials,
        AddressSpace mm,
        FileTable files,
        Limits limits,
        LockedMemory userLocked,
        ConcurrentHashMap<Integer, ThreadTask> threads,
        FaultInjection faults,
        IntSupplier numbers) {
    /** Makes the calling thread of the JVM one of the process. */
    public ThreadTask join() {
        threads.values().removeIf(task -> {
            boolean ended = !task.alive();
            if (ended) {
                faults.ended(task.tid());
            }
            return ended;
        });
        ThreadTask task = new ThreadTask(this, numbers.getAsInt(), Thread.currentThread());
        threads.put(task.tid(), task);
        return task;
    }

    /** The living thread of this number, or null. */
    public @Nullable ThreadTask thread(int tid) {
        ThreadTask task = threads.get(tid);
        return task != null && task.alive() ? task : null;
    }
}
