// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.kvm;

import dev.alcove.kernel.task.Task;
import java.util.concurrent.atomic.AtomicLong;

/** The statistics of a machine. Any thread. */
final class VmStatistics {
    private final Vm vm;
    private final String id;
    private final AtomicLong flushes = new AtomicLong();
    private final AtomicLong flushRequests = new AtomicLong();

    VmStatistics(Vm vm) {
        this.vm = vm;
        this.id = "kvm-" + vm.nextInode();
    }

    /** Name of the machine in statistics. */
    String id() {
        return id;
    }

    /** Counts a flush of the vCPUs' translations. */
    void flushed(boolean somebody) {
        flushRequests.incrementAndGet();
        if (somebody) {
            flushes.incrementAndGet();
        }
    }

    /** Whether the release counts shadow pages. */
    private boolean withShadowPages() {
        return vm.profile().atLeast(6, 18);
    }

    private long[] values() {
        long[] values = new long[Statistic.VM_VALUES];
        values[Statistic.VM_REMOTE_TLB_FLUSH] = flushes.get();
        values[Statistic.VM_REMOTE_TLB_FLUSH_REQUESTS] = flushRequests.get();
        for (Memslot slot : vm.slots().all()) {
            values[Statistic.VM_PAGES_4K] += slot.entries();
        }
        return withShadowPages() ? values : Statistic.withoutShadowPages(values);
    }

    /** KVM_GET_STATS_FD. */
    int open(Task task) {
        vm.get();
        return task.install(new StatsFile(vm, id, withShadowPages() ? Statistic.OF_VM : Statistic.OF_OLD_VM, this::values), true);
    }
}
