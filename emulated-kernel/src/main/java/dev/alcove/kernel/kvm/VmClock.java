// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.kvm;

import dev.alcove.bindings.kvm.kvm_clock_data;
import dev.alcove.kernel.task.Task;
import dev.alcove.sys.Errno;
import java.lang.foreign.MemorySegment;
import java.time.Instant;
import java.time.temporal.ChronoUnit;

/** The clock of a machine (KVM_GET_CLOCK), nanoseconds since it was made or since what user space has set. Any thread. */
final class VmClock {
    private static final int TSC_STABLE = 2;
    private static final int REALTIME = 4;
    private static final int HOST_TSC = 8;
    static final int VALID_FLAGS = TSC_STABLE | REALTIME | HOST_TSC;

    private final Vm vm;
    private volatile long offset;

    VmClock(Vm vm) {
        this.vm = vm;
    }

    long get(Task task, long argument) {
        MemorySegment s = UserCopy.struct(kvm_clock_data.sizeof());
        long tsc = vm.tsc();
        kvm_clock_data.clock(s, tsc + offset);
        kvm_clock_data.realtime(s, realTime());
        kvm_clock_data.host_tsc(s, tsc);
        kvm_clock_data.flags(s, VALID_FLAGS);
        return task.memory().copyOut(argument, s);
    }

    long set(Task task, long argument) {
        MemorySegment s = UserCopy.struct(kvm_clock_data.sizeof());
        if (task.memory().copyIn(argument, s) != 0) {
            return -Errno.EFAULT;
        }
        int flags = kvm_clock_data.flags(s);
        if ((flags & ~VALID_FLAGS) != 0) {
            return -Errno.EINVAL;
        }
        long clock = kvm_clock_data.clock(s);
        long passed = realTime() - kvm_clock_data.realtime(s);
        if ((flags & REALTIME) != 0 && passed > 0) {
            clock += passed;
        }
        offset = clock - vm.tsc();
        return 0;
    }

    private static long realTime() {
        return ChronoUnit.NANOS.between(Instant.EPOCH, Instant.now());
    }
}
