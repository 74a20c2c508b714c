// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vmm.conversion;

import dev.alcove.bindings.kvm.kvm;
import dev.alcove.discard.RangeSet;
import dev.alcove.discard.RegionSet;
import dev.alcove.kvm.Vm;
import dev.alcove.memory.InPlaceBacking;
import dev.alcove.memory.RamBlock;
import dev.alcove.sys.SyscallException;
import java.util.List;

/**
 * The memory attributes of a VM, or of its guest_memfds where they convert in place, and what was set so far: the kernel
 * has no call that reads them back.
 *
 * <p>Thread safe without a lock, as the set is. Ranges that overlap are the caller's to exclude.
 */
final class KvmAttributes {
    private final Vm vm;
    private final RamBlock[] blocks;
    /** What of each block is private, by its offsets. */
    private final RegionSet[] privates;

    /** The attributes of a VM of which all memory is shared. */
    KvmAttributes(Vm vm, List<RamBlock> blocks) {
        this.vm = vm;
        this.blocks = blocks.toArray(RamBlock[]::new);
        this.privates = blocks.stream()
                .map(block -> new RegionSet(block.range().size()))
                .toArray(RegionSet[]::new);
    }

    /**
     * Sets a range; all of it or nothing.
     *
     * @param number of the block that the range is in
     * @param offset in the block
     * @throws SyscallException where the kernel refuses
     */
    void set(int number, long offset, long size, boolean toPrivate) {
        RamBlock block = blocks[number];
        if (block.backing() instanceof InPlaceBacking inPlace) {
            inPlace.convert(offset, size, toPrivate);
        } else {
            long gpa = block.range().start().value() + offset;
            vm.setMemoryAttributes(gpa, size, toPrivate ? kvm.KVM_MEMORY_ATTRIBUTE_PRIVATE() : 0);
        }
        if (toPrivate) {
            privates[number].add(offset, size);
        } else {
            privates[number].remove(offset, size);
        }
    }

    /** Guest physical addresses that are private; where something changes meanwhile, of one moment in each block. */
    RangeSet privates() {
        RangeSet all = new RangeSet();
        for (int number = 0; number < blocks.length; number++) {
            long start = blocks[number].range().start().value();
            long size = blocks[number].range().size();
            privates[number].snapshot().forEach(0, size, (offset, length) -> all.add(start + offset, length));
        }
        return all;
    }
}
