// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.kvm;

import dev.alcove.kernel.task.Task;
import java.util.concurrent.atomic.AtomicLongArray;

/** The statistics of a vCPU. Its own thread counts, any thread looks. */
final class VcpuStatistics {
    private final Vm vm;
    private final int vcpu;
    private final AtomicLongArray values = new AtomicLongArray(Statistic.VCPU_VALUES);

    VcpuStatistics(Vm vm, int vcpu) {
        this.vm = vm;
        this.vcpu = vcpu;
    }

    /** Adds one; {@code what} is a place of {@link Statistic}. */
    void count(int what) {
        add(what, 1);
    }

    /** Adds to a value. */
    void add(int what, long amount) {
        values.setPlain(what, values.getPlain(what) + amount);
    }

    /** The vCPU sleeps from now on, or, after {@code nanos}, no longer. */
    void blocking(boolean begin, long nanos) {
        values.set(Statistic.BLOCKING, begin ? 1 : 0);
        if (!begin) {
            add(Statistic.HALT_WAIT_NS, nanos);
            int bucket = Math.min(31, Long.SIZE - Long.numberOfLeadingZeros(nanos));
            count(Statistic.HALT_WAIT_HISTOGRAM + bucket);
            count(Statistic.HALT_WAKEUP);
        }
    }

    private long[] snapshot() {
        long[] copy = new long[values.length()];
        for (int i = 0; i < copy.length; i++) {
            copy[i] = values.get(i);
        }
        return copy;
    }

    /** KVM_GET_STATS_FD. */
    int open(Task task) {
        vm.get();
        String id = vm.statistics().id() + "/vcpu-" + vcpu;
        return task.install(new StatsFile(vm, id, Statistic.OF_VCPU, this::snapshot), true);
    }
}
