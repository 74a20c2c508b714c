// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.kvm;

import dev.alcove.bindings.kvm.kvm_enable_cap;
import dev.alcove.kernel.task.Task;
import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import java.lang.foreign.MemorySegment;

/** KVM_ENABLE_CAP of a machine. */
final class EnableCapability {
    private EnableCapability() {}

    static long serve(Vm vm, Task task, long argument) {
        MemorySegment s = UserCopy.struct(kvm_enable_cap.sizeof());
        if (task.memory().copyIn(argument, s) != 0) {
            return -Errno.EFAULT;
        }
        long value = kvm_enable_cap.args(s, 0);
        int capability = kvm_enable_cap.cap(s);
        if (capability == Capabilities.DIRTY_LOG_RING || capability == Capabilities.DIRTY_LOG_RING_ACQ_REL) {
            return dirtyRing(vm, (int) value); // the only one that does not look at the flags
        }
        if (kvm_enable_cap.flags(s) != 0) {
            return -Errno.EINVAL;
        }
        return switch (capability) {
            case Capabilities.EXIT_HYPERCALL -> exitHypercall(vm, value);
            case Capabilities.SPLIT_IRQCHIP -> splitIrqchip(vm, value);
            case Capabilities.X2APIC_API -> x2apic(vm, value);
            case Capabilities.MAX_VCPU_ID -> mostVcpuIds(vm, value);
            case Capabilities.MANUAL_DIRTY_LOG_PROTECT -> dirtyLog(vm, value);
            case Capabilities.HALT_POLL -> value >>> 32 == 0 ? 0 : -Errno.EINVAL;
            default -> -Errno.EINVAL;
        };
    }

    private static int exitHypercall(Vm vm, long exits) {
        if ((exits & ~Capabilities.HYPERCALL_EXITS) != 0) {
            return -Errno.EINVAL;
        }
        vm.setHypercallExits(exits);
        return 0;
    }

    private static int x2apic(Vm vm, long flags) {
        if ((flags & ~Capabilities.X2APIC_FLAGS) != 0) {
            return -Errno.EINVAL;
        }
        vm.irqchip().x2apicFormat = (flags & 1) != 0;
        return 0;
    }

    private static int splitIrqchip(Vm vm, long reservedPins) {
        vm.lock.lock();
        try {
            if (Long.compareUnsigned(reservedPins, Irqchip.MOST_ROUTES) > 0) {
                return -Errno.EINVAL;
            }
            if (vm.splitIrqchip() || !vm.vcpus().isEmpty()) {
                return -Errno.EEXIST;
            }
            vm.setSplitIrqchip();
            return 0;
        } finally {
            vm.lock.unlock();
        }
    }

    /** The limit is set once, by the first vCPU at the latest; the same again is no error. */
    private static int mostVcpuIds(Vm vm, long count) {
        vm.lock.lock();
        try {
            if (Long.compareUnsigned(count, Capabilities.MOST_VCPU_IDS) > 0 || vm.bootCpuId() > count) {
                return -Errno.EINVAL;
            }
            if (vm.mostVcpuIds() == 0) {
                vm.setMostVcpuIds((int) count);
            }
            return vm.mostVcpuIds() == count ? 0 : -Errno.EINVAL;
        } finally {
            vm.lock.unlock();
        }
    }

    /** A power of two, set once, before the first vCPU. */
    private static int dirtyRing(Vm vm, int bytes) {
        if (Integer.bitCount(bytes) != 1 || (bytes > 0 && bytes < Linux.PAGE_SIZE)) {
            return -Errno.EINVAL;
        }
        if (Integer.compareUnsigned(bytes, DirtyRing.MOST_BYTES) > 0) {
            return -Errno.E2BIG;
        }
        vm.lock.lock();
        try {
            if (vm.dirtyRingBytes() != 0 || !vm.vcpus().isEmpty()) {
                return -Errno.EINVAL;
            }
            vm.setDirtyRingBytes(bytes);
            return 0;
        } finally {
            vm.lock.unlock();
        }
    }

    private static int dirtyLog(Vm vm, long mode) {
        long valid = (mode & DirtyLogs.MANUAL) != 0 ? DirtyLogs.MODES : 0;
        if ((mode & ~valid) != 0) {
            return -Errno.EINVAL;
        }
        vm.slotsLock.lock();
        try {
            vm.setDirtyLogMode(mode);
            return 0;
        } finally {
            vm.slotsLock.unlock();
        }
    }
}
