// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vmm.conversion;

import dev.alcove.bindings.kvm.kvm;
import dev.alcove.discard.RangeSet;
import dev.alcove.kvm.Vm;
import dev.alcove.memory.InPlaceBacking;
import dev.alcove.memory.RamBlock;
import dev.alcove.sys.SyscallException;
import java.util.Arrays;

/**
 * The memory attributes of a VM, or of its guest_memfds where they convert in place, and what was set so far: the kernel
 * has no call that reads them back.
 *
 * <p>Thread safe without a lock, as the set is. Ranges that overlap are the caller's to exclude.
 */
final class KvmAttributes {
    /** Bytes of guest physical addresses that share a set, as a power of two; the next ones have another. */
    private static final int REGION_SHIFT = 24;

    /** A power of two. */
    private static final int SETS = 64;

    private final Vm vm;
    /** Guest physical addresses that are private, in several sets: vCPUs that convert far from each other share none. */
    private final RangeSet[] privates = new RangeSet[SETS];

    KvmAttributes(Vm vm) {
        this.vm = vm;
        Arrays.setAll(privates, number -> new RangeSet());
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
        long end = gpa + size;
        for (long at = gpa; at < end; ) {
            long limit = Math.min(end, ((at >>> REGION_SHIFT) + 1) << REGION_SHIFT);
            RangeSet set = privates[(int) (at >>> REGION_SHIFT) & SETS - 1];
            if (toPrivate) {
                set.add(at, limit - at);
            } else {
                set.remove(at, limit - at);
            }
            at = limit;
        }
    }

    /** All that is private; exact where nothing changes meanwhile. */
    RangeSet privates() {
        RangeSet all = new RangeSet();
        for (RangeSet set : privates) {
            set.forEach(0, Long.MAX_VALUE, all::add);
        }
        return all;
    }
}
