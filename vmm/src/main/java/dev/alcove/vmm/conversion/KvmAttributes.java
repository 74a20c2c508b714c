// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vmm.conversion;

import dev.alcove.bindings.kvm.kvm;
import dev.alcove.discard.RangeSet;
import dev.alcove.kvm.Vm;
import dev.alcove.memory.InPlaceBacking;
import dev.alcove.memory.RamBlock;
import dev.alcove.sys.SyscallException;

/**
 * The memory attributes of a VM, or of its guest_memfds where they convert in place, and what was set so far: the kernel
 * has no call that reads them back.
 *
 * <p>Thread safe without a lock, as the set is. Ranges that overlap are the caller's to exclude.
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
     * @param block that the range is in
     * @param offset in the block
     * @throws SyscallException where the kernel refuses
     */
    void set(RamBlock block, long offset, long size, boolean toPrivate) {
        long gpa = block.range().start().value() + offset;
        if (block.backing() instanceof InPlaceBacking inPlace) {
            inPlace.convert(offset, size, toPrivate);
        } else {
            vm.setMemoryAttributes(gpa, size, toPrivate ? kvm.KVM_MEMORY_ATTRIBUTE_PRIVATE() : 0);
        }
        if (toPrivate) {
            privates.add(gpa, size);
        } else {
            privates.remove(gpa, size);
        }
    }

    RangeSet privates() {
        return privates.copy();
    }
}
