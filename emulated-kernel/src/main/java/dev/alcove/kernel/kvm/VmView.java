// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.kvm;

import dev.alcove.kernel.gmem.GuestMemfd;
import dev.alcove.kernel.gmem.MemoryAttributes;
import dev.alcove.sys.Linux;
import java.util.ArrayList;
import java.util.List;

/** A machine as reports and tests may look at it: nothing here changes it. Any thread may call. */
public final class VmView {
    /**
     * Guest physical addresses that are private.
     *
     * @param start bytes
     * @param end bytes, exclusive
     */
    public record PrivateRange(long start, long end) {}

    /**
     * A memslot.
     *
     * @param flags KVM_MEM_ bits
     * @param hva user address of the first byte
     * @param gmemOffset bytes; -1 without a guest_memfd
     */
    public record Slot(int id, long gpa, long size, int flags, long hva, long gmemOffset) {}

    private final Vm vm;

    VmView(Vm vm) {
        this.vm = vm;
    }

    /** The private ranges, in order and disjoint. */
    public List<PrivateRange> privateRanges() {
        List<PrivateRange> ranges = new ArrayList<>();
        for (MemoryAttributes.Interval interval : vm.privateFrames()) {
            ranges.add(new PrivateRange(interval.first() << Linux.PAGE_SHIFT, interval.end() << Linux.PAGE_SHIFT));
        }
        return ranges;
    }

    /** What the guest sees in the address space of processors, in the order of addresses. */
    public List<Slot> slots() {
        return vm.slots().all().stream()
                .map(slot -> new Slot(
                        slot.id,
                        slot.baseGfn << Linux.PAGE_SHIFT,
                        slot.pages << Linux.PAGE_SHIFT,
                        slot.flags,
                        slot.userspaceAddress,
                        slot.hasGmem() ? slot.gmemOffset << Linux.PAGE_SHIFT : -1))
                .toList();
    }

    /** Whether a guest physical address is private. */
    public boolean isPrivate(long gpa) {
        return vm.isPrivate(gpa >>> Linux.PAGE_SHIFT);
    }

    /** Whether a frame is guest_memfd memory: what no device may reach while it is private. */
    public boolean holdsPrivately(long frame) {
        for (GuestMemfd gmem : vm.gmems()) {
            if (gmem.holdsPrivately(frame)) {
                return true;
            }
        }
        return false;
    }
}
