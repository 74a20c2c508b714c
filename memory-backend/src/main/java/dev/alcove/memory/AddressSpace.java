// SPDX-License-Identifier: Apache-2.0
package dev.alcove.memory;

import dev.alcove.bindings.kvm.kvm;
import dev.alcove.kvm.Memslot;
import dev.alcove.kvm.Vm;
import dev.alcove.sys.MissingFeatureException;
import dev.alcove.sys.SyscallException;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.TreeMap;

/**
 * The guest physical address space of a VM: regions, and the memslots that show them. The only one that numbers, makes
 * and deletes slots of its VM.
 *
 * <p>A change is a transaction: the new {@link FlatView} is planned, the difference is made with the least ioctls, and
 * when one is refused those before it are taken back. Slots with a guest_memfd cannot be moved or cut without being
 * deleted and made again, in which moment a vCPU that touches them leaves with KVM_EXIT_MMIO: as in QEMU.
 *
 * <p>Thread safe: the monitor protects everything, and is held over the ioctls. Below it there are only the kernel's
 * locks.
 */
public final class AddressSpace {
    /** What KVM has where it does not say how many. */
    private static final int FEWEST_SLOTS = 32;

    private final Vm vm;
    private final int limit;
    private final boolean readOnly;
    private final List<MemoryRegion> regions = new ArrayList<>();
    /** What KVM has, by number: also after an undo that failed half way. */
    private final TreeMap<Integer, Memslot> slots = new TreeMap<>();

    private long ioctls;

    /** The empty address space of a VM without slots. */
    public AddressSpace(Vm vm) {
        this.vm = vm;
        int slotLimit = vm.checkExtension(kvm.KVM_CAP_NR_MEMSLOTS());
        this.limit = slotLimit == 0 ? FEWEST_SLOTS : slotLimit;
        this.readOnly = vm.checkExtension(kvm.KVM_CAP_READONLY_MEM()) > 0;
    }

    /**
     * Adds a region.
     *
     * @throws SyscallException what KVM refused; nothing has changed
     * @throws MissingFeatureException it would take more slots than KVM has, or a ROM where KVM has none
     */
    public void add(MemoryRegion region) {
        change(List.of(), List.of(region));
    }

    /** Takes a region away; one that is not there is no error. */
    public void remove(MemoryRegion region) {
        change(List.of(region), List.of());
    }

    /**
     * Takes regions away and adds others, in one step: what moves is moved.
     *
     * @throws SyscallException what KVM refused; nothing has changed, but for what it attaches as suppressed
     * @throws MissingFeatureException it would take more slots than KVM has, or a ROM where KVM has none
     */
    public synchronized void change(Collection<MemoryRegion> removed, Collection<MemoryRegion> added) {
        List<MemoryRegion> next = new ArrayList<>(regions);
        removed.forEach(next::remove);
        next.addAll(added);
        FlatView view = FlatView.of(next);
        if (view.ranges().size() > limit) {
            throw new MissingFeatureException(
                    "the guest's address space needs " + view.ranges().size() + " memslots, and this KVM has " + limit
                            + " (KVM_CAP_NR_MEMSLOTS)",
                    "use fewer RAM blocks (--numa) or fewer devices");
        }
        if (!readOnly && added.stream().anyMatch(region -> region.content() instanceof MemoryRegion.Rom)) {
            throw new MissingFeatureException("this KVM has no read-only memslots (KVM_CAP_READONLY_MEM)");
        }
        make(SlotDiff.between(slots.values(), view));
        regions.clear();
        regions.addAll(next);
    }

    private void make(List<SlotChange> changes) {
        List<SlotChange> done = new ArrayList<>(changes.size());
        for (SlotChange change : changes) {
            try {
                make(change);
                done.add(change);
            } catch (SyscallException refused) {
                undo(done.reversed(), refused);
                throw refused;
            }
        }
    }

    private void undo(List<SlotChange> done, SyscallException cause) {
        for (SlotChange change : done) {
            try {
                make(change.inverse());
            } catch (SyscallException second) {
                cause.addSuppressed(second);
            }
        }
    }

    private void make(SlotChange change) {
        ioctls++;
        switch (change) {
            case SlotChange.Create(Memslot slot) -> set(slot);
            case SlotChange.Move(Memslot _, Memslot to) -> set(to);
            case SlotChange.Flags(Memslot _, Memslot to) -> set(to);
            case SlotChange.Delete(Memslot slot) -> {
                vm.deleteMemslot(slot.slot());
                slots.remove(slot.slot());
            }
        }
    }

    private void set(Memslot slot) {
        if (slot.gmemFd() < 0) {
            vm.setUserMemoryRegion(slot);
        } else {
            vm.setUserMemoryRegion2(slot);
        }
        slots.put(slot.slot(), slot);
    }

    /** What KVM has, by number. */
    public synchronized List<Memslot> slots() {
        return List.copyOf(slots.values());
    }

    /** The regions, in the order in which they came. */
    public synchronized List<MemoryRegion> regions() {
        return List.copyOf(regions);
    }

    /** KVM_CAP_NR_MEMSLOTS. */
    public int limit() {
        return limit;
    }

    /** How many KVM_SET_USER_MEMORY_REGION(2) calls were made so far. */
    public synchronized long ioctls() {
        return ioctls;
    }
}
