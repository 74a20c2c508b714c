// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.kvm;

import dev.alcove.bindings.kvm.kvm_clear_dirty_log;
import dev.alcove.bindings.kvm.kvm_dirty_log;
import dev.alcove.kernel.task.Task;
import dev.alcove.sys.Errno;
import java.lang.foreign.MemorySegment;
import org.jspecify.annotations.Nullable;

/** KVM_GET_DIRTY_LOG and KVM_CLEAR_DIRTY_LOG. */
final class DirtyLogs {
    /** KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE: reading the log leaves it. */
    static final long MANUAL = 1;

    /** KVM_DIRTY_LOG_INITIALLY_SET: a log starts with all pages. */
    static final long INITIALLY_SET = 2;

    /** The modes that KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2 offers. */
    static final long MODES = MANUAL | INITIALLY_SET;

    private DirtyLogs() {}

    static long get(Vm vm, Task task, long argument) {
        MemorySegment s = UserCopy.struct(kvm_dirty_log.sizeof());
        if (task.memory().copyIn(argument, s) != 0) {
            return -Errno.EFAULT;
        }
        int number = kvm_dirty_log.slot(s);
        vm.slotsLock.lock();
        try {
            if (vm.dirtyRingBytes() != 0) {
                return -Errno.ENXIO;
            }
            if (!valid(vm, number)) {
                return -Errno.EINVAL;
            }
            Memslot slot = find(vm, number);
            long[] bits = null;
            if (slot != null) {
                bits = (vm.dirtyLogMode() & MANUAL) != 0
                        ? vm.stageTwo().dirty(slot)
                        : vm.stageTwo().takeDirty(slot);
            }
            if (bits == null) {
                return -Errno.ENOENT;
            }
            return task.memory().copyOut(kvm_dirty_log.padding2(s), MemorySegment.ofArray(bits)) == 0
                    ? 0
                    : -Errno.EFAULT;
        } finally {
            vm.slotsLock.unlock();
        }
    }

    static long clear(Vm vm, Task task, long argument) {
        MemorySegment s = UserCopy.struct(kvm_clear_dirty_log.sizeof());
        if (task.memory().copyIn(argument, s) != 0) {
            return -Errno.EFAULT;
        }
        int number = kvm_clear_dirty_log.slot(s);
        long first = kvm_clear_dirty_log.first_page(s);
        long count = Integer.toUnsignedLong(kvm_clear_dirty_log.num_pages(s));
        vm.slotsLock.lock();
        try {
            if (vm.dirtyRingBytes() != 0) {
                return -Errno.ENXIO;
            }
            if (!valid(vm, number) || (first & 63) != 0) {
                return -Errno.EINVAL;
            }
            Memslot slot = find(vm, number);
            if (slot == null || (slot.flags & Memslot.LOG_DIRTY) == 0) {
                return -Errno.ENOENT;
            }
            if (Long.compareUnsigned(first, slot.pages) > 0
                    || count > slot.pages - first
                    || (count < slot.pages - first && (count & 63) != 0)) {
                return -Errno.EINVAL;
            }
            long[] bits = new long[(int) ((count + 63) >>> 6)];
            if (task.memory().copyIn(kvm_clear_dirty_log.padding2(s), MemorySegment.ofArray(bits)) != 0) {
                return -Errno.EFAULT;
            }
            vm.stageTwo().clearDirty(slot, (int) (first >>> 6), bits);
            return 0;
        } finally {
            vm.slotsLock.unlock();
        }
    }

    /** KVM_RESET_DIRTY_RINGS: how many entries were taken out; the next write to each of their pages is seen again. */
    static long resetRings(Vm vm, Task task) {
        if (vm.dirtyRingBytes() == 0) {
            return -Errno.EINVAL;
        }
        int count = 0;
        vm.slotsLock.lock();
        try {
            DirtyRing.Entry protect = (number, offset) -> {
                Memslot slot = valid(vm, number) ? find(vm, number) : null;
                if (slot != null && offset >= 0 && offset < slot.pages) {
                    vm.stageTwo().protect(slot, slot.baseGfn + offset);
                }
            };
            for (Vcpu vcpu : vm.vcpus()) {
                DirtyRing ring = vcpu.runPage().dirtyRing();
                while (ring != null && (task.signals().pending() & ~task.signals().blocked()) == 0 && ring.reset(protect)) {
                    count++;
                }
            }
        } finally {
            vm.slotsLock.unlock();
        }
        if (count != 0) {
            vm.stageTwo().flush();
        }
        return count;
    }

    private static boolean valid(Vm vm, int number) {
        return vm.slots(number >>> 16) != null && (number & 0xffff) < MemoryRegion.MOST_SLOTS;
    }

    private static @Nullable Memslot find(Vm vm, int number) {
        Memslots slots = vm.slots(number >>> 16);
        return slots == null ? null : slots.get(number & 0xffff);
    }
}
