// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vmm.conversion;

import dev.alcove.bindings.kvm.kvm;
import dev.alcove.discard.RangeSet;
import dev.alcove.kvm.Vm;
import dev.alcove.sys.SyscallException;

/**
 * The memory attributes of a VM, and what was set so far: the kernel has no call that reads them back.
 *
 * <p>The monitor protects the set; it is not held over the ioctl. Ranges that overlap are the caller's to exclude.
 */
final class KvmAttributes {
    private final Vm vm;
    /** Guest physical addresses that are private. */
    private final RangeSet privates = new RangeSet();

    KvmAttributes(Vm vm) {
        this.vm = vm;
    }

    /**
     * Sets a range; all of it or nothing.
     *
     * @throws SyscallException where the kernel refuses
     */
    void set(long gpa, long size, boolean toPrivate) {
        vm.setMemoryAttributes(gpa, size, toPrivate ? kvm.KVM_MEMORY_ATTRIBUTE_PRIVATE() : 0);
        synchronized (this) {
            if (toPrivate) {
                privates.add(gpa, size);
            } else {
                privates.remove(gpa, size);
            }
        }
    }

    synchronized RangeSet privates() {
        return privates.copy();
    }
}
