// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.kvm;

import dev.alcove.bindings.kvm.kvm_userspace_memory_region;
import dev.alcove.bindings.kvm.kvm_userspace_memory_region2;
import dev.alcove.kernel.file.OpenFile;
import dev.alcove.kernel.gmem.GuestMemfd;
import dev.alcove.kernel.task.Task;
import dev.alcove.sys.Errno;
import java.lang.foreign.MemorySegment;
import org.jspecify.annotations.Nullable;

/**
 * KVM_SET_USER_MEMORY_REGION and KVM_SET_USER_MEMORY_REGION2: the checks in the kernel's order
 * ({@code kvm_set_memory_region}), then the change. The padding of the structs is not looked at.
 *
 * @param slot number of the slot in the low half, address space in the high half
 * @param flags KVM_MEM_ bits
 * @param gpa guest physical address of the first byte
 * @param size bytes; 0 deletes the slot
 * @param userspaceAddress of the first byte
 * @param gmemOffset bytes
 * @param gmemFd descriptor of the guest_memfd
 */
record MemoryRegion(int slot, int flags, long gpa, long size, long userspaceAddress, long gmemOffset, int gmemFd) {
    /** Slots a user may have: 32767 less three that x86 keeps for itself. */
    static final int MOST_SLOTS = 32764;

    /** Physical address bits of the emulated processor. */
    static final int PHYSICAL_BITS = 46;

    private static final long MOST_PAGES = (1L << 31) - 1;
    private static final long USER_END = (1L << 47) - 4096;

    static MemoryRegion v1(MemorySegment s) {
        return new MemoryRegion(
                kvm_userspace_memory_region.slot(s),
                kvm_userspace_memory_region.flags(s),
                kvm_userspace_memory_region.guest_phys_addr(s),
                kvm_userspace_memory_region.memory_size(s),
                kvm_userspace_memory_region.userspace_addr(s),
                0,
                0);
    }

    static MemoryRegion v2(MemorySegment s) {
        return new MemoryRegion(
                kvm_userspace_memory_region2.slot(s),
                kvm_userspace_memory_region2.flags(s),
                kvm_userspace_memory_region2.guest_phys_addr(s),
                kvm_userspace_memory_region2.memory_size(s),
                kvm_userspace_memory_region2.userspace_addr(s),
                kvm_userspace_memory_region2.guest_memfd_offset(s),
                kvm_userspace_memory_region2.guest_memfd(s));
    }

    private int id() {
        return slot & 0xffff;
    }

    private boolean withGmem() {
        return (flags & Memslot.GUEST_MEMFD) != 0;
    }

    private long baseGfn() {
        return gpa >>> 12;
    }

    private long pages() {
        return size >>> 12;
    }

    /** Applies the region; the machine's slots lock is held. Answers 0 or a negated errno. */
    int apply(Task task, Vm vm) {
        Memslots slots = vm.slots(slot >>> 16);
        if (slots == null || !sane(vm)) {
            return -Errno.EINVAL;
        }
        Memslot old = slots.get(id());
        if (size == 0) {
            if (old == null) {
                return -Errno.EINVAL;
            }
            if (!vm.charge("invalid memslot")) {
                return -Errno.ENOMEM;
            }
            replace(vm, slots, old, null);
            return 0;
        }
        if (old != null) {
            boolean changed = userspaceAddress != old.userspaceAddress
                    || pages() != old.pages
                    || ((flags ^ old.flags) & (Memslot.READONLY | Memslot.GUEST_MEMFD)) != 0;
            if (withGmem() || changed) {
                return -Errno.EINVAL;
            }
            if (baseGfn() == old.baseGfn && flags == old.flags) {
                return 0;
            }
        }
        boolean placed = old == null || baseGfn() != old.baseGfn;
        if (placed && slots.overlaps(id(), baseGfn(), baseGfn() + pages())) {
            return -Errno.EEXIST;
        }
        if (!vm.charge("memslot")) {
            return -Errno.ENOMEM;
        }
        return install(task, vm, slots, old, placed);
    }

    private boolean sane(Vm vm) {
        int valid = Memslot.LOG_DIRTY | Memslot.READONLY;
        if (withGmem()) {
            valid = vm.allowsGmem() ? Memslot.GUEST_MEMFD : 0;
        }
        boolean aligned = ((size | gpa | userspaceAddress) & 4095) == 0;
        boolean userRange = size >= 0 && size <= USER_END && userspaceAddress >= 0 && userspaceAddress <= USER_END - size;
        boolean gmemRange = !withGmem()
                || ((gmemOffset & 4095) == 0 && Long.compareUnsigned(gmemOffset + size, gmemOffset) >= 0);
        return (flags & ~valid) == 0
                && aligned
                && userRange
                && gmemRange
                && id() < MOST_SLOTS
                && Long.compareUnsigned(gpa + size, gpa) >= 0
                && pages() <= MOST_PAGES;
    }

    private int install(Task task, Vm vm, Memslots slots, @Nullable Memslot old, boolean placed) {
        Memslot fresh =
                new Memslot(vm.stageTwo(), id(), baseGfn(), pages(), userspaceAddress, flags, gmemOffset >>> 12);
        GuestMemfd gmem = null;
        if (withGmem()) {
            OpenFile file = task.file(gmemFd);
            if (file == null) {
                return -Errno.EBADF;
            }
            if (!(file instanceof GuestMemfd candidate) || !candidate.ownedBy(vm)) {
                return -Errno.EINVAL;
            }
            gmem = candidate;
            fresh.attach(gmem);
            int refused = gmem.bind(fresh, gmemOffset, size);
            if (refused != 0) {
                return refused;
            }
        }
        boolean moved = placed && old != null;
        int error = moved && !vm.charge("invalid memslot") ? -Errno.ENOMEM : 0;
        if (error == 0) {
            error = prepare(vm, old, fresh, placed);
            if (error != 0 && moved) {
                slots.advance(); // the old slot was taken out, and is put back
            }
        }
        if (error != 0) {
            if (gmem != null) {
                gmem.unbind(fresh);
            }
            return error;
        }
        boolean allDirty = (vm.dirtyLogMode() & DirtyLogs.INITIALLY_SET) != 0;
        if (fresh.logs() && vm.dirtyRingBytes() == 0) {
            fresh.startLog(old, allDirty);
        }
        if (old != null && !placed) {
            changeFlags(vm, slots, old, fresh, fresh.logs() && !allDirty);
        } else {
            replace(vm, slots, old, fresh);
        }
        return 0;
    }

    /** What comes before a slot is seen: 0; {@code -EINVAL} beyond the processor's addresses; {@code -ENOMEM}. */
    private int prepare(Vm vm, @Nullable Memslot old, Memslot fresh, boolean placed) {
        boolean newLog = fresh.logs() && vm.dirtyRingBytes() == 0 && (old == null || !old.hasLog());
        if (newLog && !vm.charge("dirty bitmap")) {
            return -Errno.ENOMEM;
        }
        if (!placed) {
            return 0;
        }
        if (baseGfn() + pages() - 1 > (1L << (PHYSICAL_BITS - 12)) - 1) {
            return -Errno.EINVAL;
        }
        boolean memory = vm.charge("large pages of a memslot") && vm.charge("huge pages of a memslot");
        return memory ? 0 : -Errno.ENOMEM;
    }

    /** The guest's path to the pages stays, but for writes that have to be seen from now on. */
    private static void changeFlags(Vm vm, Memslots slots, Memslot old, Memslot fresh, boolean protect) {
        vm.stageTwo().succeed(slots, old, fresh, protect);
        vm.stageTwo().flush();
    }

    private static void replace(Vm vm, Memslots slots, @Nullable Memslot old, @Nullable Memslot fresh) {
        StageTwo stageTwo = vm.stageTwo();
        if (old != null) {
            stageTwo.retire(old);
            GuestMemfd gmem = old.gmem();
            if (gmem != null) {
                gmem.unbind(old);
            }
            if (!vm.hasPrivateMemory()) {
                stageTwo.zapAll(); // KVM_X86_QUIRK_SLOT_ZAP_ALL: the reads that follow count as writes in dirty logs
            }
            slots.remove(old);
        }
        if (fresh != null) {
            slots.add(fresh);
        }
        if (old != null) {
            stageTwo.invalidateEnd(old.baseGfn, old.endGfn());
        }
        stageTwo.flush(); // processors also remember where there was no slot
    }
}
