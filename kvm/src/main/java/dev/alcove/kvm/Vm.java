// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kvm;

import dev.alcove.bindings.kvm.kvm;
import dev.alcove.bindings.kvm.kvm_coalesced_mmio_zone;
import dev.alcove.bindings.kvm.kvm_create_guest_memfd;
import dev.alcove.bindings.kvm.kvm_enable_cap;
import dev.alcove.bindings.kvm.kvm_ioeventfd;
import dev.alcove.bindings.kvm.kvm_irq_level;
import dev.alcove.bindings.kvm.kvm_irq_routing;
import dev.alcove.bindings.kvm.kvm_irq_routing_entry;
import dev.alcove.bindings.kvm.kvm_irq_routing_msi;
import dev.alcove.bindings.kvm.kvm_irqfd;
import dev.alcove.bindings.kvm.kvm_memory_attributes;
import dev.alcove.bindings.kvm.kvm_msi;
import dev.alcove.bindings.kvm.kvm_userspace_memory_region;
import dev.alcove.bindings.kvm.kvm_userspace_memory_region2;
import dev.alcove.sys.Errno;
import dev.alcove.sys.KernelFile;
import dev.alcove.sys.StructCache;
import dev.alcove.sys.SyscallException;
import dev.alcove.sys.Syscalls;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.List;

import static dev.alcove.sys.SyscallException.check;

/**
 * A virtual machine (Documentation/virt/kvm/api.rst, "VM ioctls"). Every ioctl answers EIO in another process than the
 * one that made the VM, and once the VM is dead. Methods may be called from any thread.
 */
public final class Vm extends KernelFile {
    private final int type;
    private final int vcpuMmapSize;
    private final StructCache attributes = new StructCache(kvm_memory_attributes.layout());
    private final StructCache messages = new StructCache(kvm_msi.layout());

    Vm(Syscalls syscalls, int fd, int type, int vcpuMmapSize) {
        super(syscalls, fd);
        this.type = type;
        this.vcpuMmapSize = vcpuMmapSize;
    }

    /** The type that the VM was made with, one of {@code KVM_X86_*_VM}. */
    public int type() {
        return type;
    }

    /** KVM_CHECK_EXTENSION of this VM. */
    public int checkExtension(int capability) {
        return check(
                syscalls.ioctl(fd(), kvm.KVM_CHECK_EXTENSION(), capability), "KVM_CHECK_EXTENSION", "" + capability);
    }

    /**
     * KVM_ENABLE_CAP of this VM.
     *
     * @param capability one of {@code KVM_CAP_*}
     * @param arguments up to four words whose meaning the capability defines
     * @throws SyscallException EINVAL where the kernel does not know the capability or an argument
     */
    public void enableCap(int capability, long... arguments) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment struct = enableCapStruct(arena, capability, arguments);
            check(syscalls.ioctl(fd(), (int) kvm.KVM_ENABLE_CAP(), struct), "KVM_ENABLE_CAP", "" + capability);
        }
    }

    static MemorySegment enableCapStruct(Arena arena, int capability, long... arguments) {
        MemorySegment struct = kvm_enable_cap.allocate(arena);
        kvm_enable_cap.cap(struct, capability);
        for (int i = 0; i < arguments.length; i++) {
            kvm_enable_cap.args(struct, i, arguments[i]);
        }
        return struct;
    }

    /**
     * KVM_CREATE_VCPU, and the mapping of its shared page.
     *
     * @param id APIC id, from 0
     * @throws SyscallException EEXIST the id is in use, EINVAL the id is too high
     */
    public Vcpu createVcpu(int id) {
        int fd = check(syscalls.ioctl(fd(), kvm.KVM_CREATE_VCPU(), id), "KVM_CREATE_VCPU", "vCPU " + id);
        return Vcpu.map(syscalls, fd, id, vcpuMmapSize);
    }

    /**
     * KVM_SET_USER_MEMORY_REGION2: makes, moves or changes a slot.
     *
     * @throws SyscallException EINVAL unaligned, wrapping, a bad flag, or a change the slot does not allow; EEXIST it
     *     overlaps another slot; EBADF the descriptor is not open
     */
    public void setUserMemoryRegion2(Memslot memslot) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment region = kvm_userspace_memory_region2.allocate(arena);
            kvm_userspace_memory_region2.slot(region, memslot.slot());
            kvm_userspace_memory_region2.flags(region, memslot.flags());
            kvm_userspace_memory_region2.guest_phys_addr(region, memslot.gpa());
            kvm_userspace_memory_region2.memory_size(region, memslot.size());
            kvm_userspace_memory_region2.userspace_addr(region, memslot.hva());
            kvm_userspace_memory_region2.guest_memfd(region, memslot.gmemFd());
            kvm_userspace_memory_region2.guest_memfd_offset(region, memslot.gmemOffset());
            int answer = syscalls.ioctl(fd(), (int) kvm.KVM_SET_USER_MEMORY_REGION2(), region);
            check(answer, "KVM_SET_USER_MEMORY_REGION2", memslot.toString());
        }
    }

    /** KVM_SET_USER_MEMORY_REGION: as {@link #setUserMemoryRegion2}, for slots without a guest_memfd. */
    public void setUserMemoryRegion(Memslot memslot) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment region = kvm_userspace_memory_region.allocate(arena);
            kvm_userspace_memory_region.slot(region, memslot.slot());
            kvm_userspace_memory_region.flags(region, memslot.flags());
            kvm_userspace_memory_region.guest_phys_addr(region, memslot.gpa());
            kvm_userspace_memory_region.memory_size(region, memslot.size());
            kvm_userspace_memory_region.userspace_addr(region, memslot.hva());
            int answer = syscalls.ioctl(fd(), (int) kvm.KVM_SET_USER_MEMORY_REGION(), region);
            check(answer, "KVM_SET_USER_MEMORY_REGION", memslot.toString());
        }
    }

    /** Deletes a slot (KVM_SET_USER_MEMORY_REGION with size 0); EINVAL where there is none. */
    public void deleteMemslot(int slot) {
        setUserMemoryRegion(Memslot.of(slot, 0, 0, 0));
    }

    /**
     * KVM_CREATE_GUEST_MEMFD.
     *
     * @param size bytes, a multiple of 4096
     * @param flags {@link GuestMemfd#FLAG_MMAP}, {@link GuestMemfd#FLAG_INIT_SHARED}
     * @throws SyscallException EINVAL a bad size or an unknown flag, EMFILE
     */
    public GuestMemfd createGuestMemfd(long size, long flags) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment struct = kvm_create_guest_memfd.allocate(arena);
            kvm_create_guest_memfd.size(struct, size);
            kvm_create_guest_memfd.flags(struct, flags);
            int fd = syscalls.ioctl(fd(), (int) kvm.KVM_CREATE_GUEST_MEMFD(), struct);
            check(fd, "KVM_CREATE_GUEST_MEMFD", size + " bytes, flags " + flags);
            return new GuestMemfd(syscalls, fd, size, flags);
        }
    }

    /**
     * KVM_SET_MEMORY_ATTRIBUTES of a range.
     *
     * @param gpa a multiple of 4096
     * @param size bytes, a multiple of 4096, not 0
     * @param value KVM_MEMORY_ATTRIBUTE_PRIVATE, or 0 for shared
     * @throws SyscallException EINVAL unaligned, zero, wrapping or an unknown attribute; ENOTTY the kernel or the VM
     *     type has none; ENOMEM; E2BIG; EINTR is tried again
     */
    public void setMemoryAttributes(long gpa, long size, long value) {
        MemorySegment struct = attributes.take();
        int answer;
        try {
            kvm_memory_attributes.address(struct, gpa);
            kvm_memory_attributes.size(struct, size);
            kvm_memory_attributes.attributes(struct, value);
            kvm_memory_attributes.flags(struct, 0);
            do {
                answer = syscalls.ioctl(fd(), (int) kvm.KVM_SET_MEMORY_ATTRIBUTES(), struct);
            } while (answer == -Errno.EINTR);
        } finally {
            attributes.give(struct);
        }
        if (answer < 0) {
            throw new SyscallException(
                    "KVM_SET_MEMORY_ATTRIBUTES",
                    "[0x" + Long.toHexString(gpa) + ", 0x" + Long.toHexString(gpa + size) + ") to " + value,
                    answer);
        }
    }

    /** KVM_SET_TSS_ADDR: three pages of guest physical memory that Intel's real mode needs, below 4 GiB. */
    public void setTssAddr(long gpa) {
        check(syscalls.ioctl(fd(), kvm.KVM_SET_TSS_ADDR(), gpa), "KVM_SET_TSS_ADDR", "0x" + Long.toHexString(gpa));
    }

    /** KVM_CREATE_IRQCHIP: PIC, IOAPIC and local APICs in the kernel; before the first vCPU. EEXIST, EINVAL. */
    public void createIrqchip() {
        check(syscalls.ioctl(fd(), kvm.KVM_CREATE_IRQCHIP(), 0), "KVM_CREATE_IRQCHIP", "VM");
    }

    /** KVM_CAP_SPLIT_IRQCHIP: local APICs in the kernel, the rest here; before the first vCPU. EEXIST, EINVAL. */
    public void splitIrqchip(int ioapicPins) {
        enableCap(kvm.KVM_CAP_SPLIT_IRQCHIP(), ioapicPins);
    }

    /** KVM_IRQ_LINE: sets a pin of the kernel's interrupt controllers. ENXIO without KVM_CREATE_IRQCHIP. */
    public void irqLine(int gsi, boolean high) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment struct = kvm_irq_level.allocate(arena);
            kvm_irq_level.irq(struct, gsi);
            kvm_irq_level.level(struct, high ? 1 : 0);
            check(syscalls.ioctl(fd(), (int) kvm.KVM_IRQ_LINE(), struct), "KVM_IRQ_LINE", "gsi " + gsi);
        }
    }

    /**
     * KVM_SIGNAL_MSI: delivers a message as if a device had written it.
     *
     * @return above 0 when it was delivered, 0 when the guest blocked it
     * @throws SyscallException ENXIO or EINVAL without an interrupt controller in the kernel
     */
    public int signalMsi(long address, int data) {
        MemorySegment struct = messages.take();
        int answer;
        try {
            kvm_msi.address_lo(struct, (int) address);
            kvm_msi.address_hi(struct, (int) (address >>> 32));
            kvm_msi.data(struct, data);
            answer = syscalls.ioctl(fd(), (int) kvm.KVM_SIGNAL_MSI(), struct);
        } finally {
            messages.give(struct);
        }
        if (answer < 0) {
            throw new SyscallException("KVM_SIGNAL_MSI", "0x" + Long.toHexString(address) + " data " + data, answer);
        }
        return answer;
    }

    /**
     * KVM_IRQFD: a signal of the eventfd raises the interrupt.
     *
     * @param deassign ends it
     * @throws SyscallException EBADF, EINVAL not an eventfd or no interrupt controller, EBUSY it is bound already
     */
    public void irqfd(int eventfd, int gsi, boolean deassign) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment struct = kvm_irqfd.allocate(arena);
            kvm_irqfd.fd(struct, eventfd);
            kvm_irqfd.gsi(struct, gsi);
            kvm_irqfd.flags(struct, deassign ? kvm.KVM_IRQFD_FLAG_DEASSIGN() : 0);
            int answer = syscalls.ioctl(fd(), (int) kvm.KVM_IRQFD(), struct);
            check(answer, "KVM_IRQFD", "eventfd " + eventfd + " gsi " + gsi + (deassign ? " off" : ""));
        }
    }

    /**
     * KVM_IOEVENTFD: a write of the guest signals the eventfd, and does not leave the guest.
     *
     * @param address guest physical, or a port
     * @param length 1, 2, 4 or 8 bytes; 0 for writes of any length
     * @param flags KVM_IOEVENTFD_FLAG_*: DATAMATCH, PIO, DEASSIGN
     * @param data what the write must be, with DATAMATCH
     * @throws SyscallException EINVAL a bad length or flag, or not an eventfd; EBADF; EEXIST there is one that such a
     *     write would signal too; ENOENT there is none to deassign
     */
    public void ioeventfd(int eventfd, long address, int length, int flags, long data) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment struct = kvm_ioeventfd.allocate(arena);
            kvm_ioeventfd.fd(struct, eventfd);
            kvm_ioeventfd.addr(struct, address);
            kvm_ioeventfd.len(struct, length);
            kvm_ioeventfd.flags(struct, flags);
            kvm_ioeventfd.datamatch(struct, data);
            int answer = syscalls.ioctl(fd(), (int) kvm.KVM_IOEVENTFD(), struct);
            check(answer, "KVM_IOEVENTFD", "eventfd " + eventfd + " at 0x" + Long.toHexString(address));
        }
    }

    /**
     * KVM_REGISTER_COALESCED_MMIO: writes to a range wait in the ring that all vCPUs' mappings have.
     *
     * @param address guest physical, or a port
     * @throws SyscallException ENOSPC there are 1000 already
     */
    public void registerCoalesced(long address, int size, boolean port) {
        coalesced(kvm.KVM_REGISTER_COALESCED_MMIO(), "KVM_REGISTER_COALESCED_MMIO", address, size, port);
    }

    /** KVM_UNREGISTER_COALESCED_MMIO: ends it for all registered ranges that hold this one. */
    public void unregisterCoalesced(long address, int size, boolean port) {
        coalesced(kvm.KVM_UNREGISTER_COALESCED_MMIO(), "KVM_UNREGISTER_COALESCED_MMIO", address, size, port);
    }

    private void coalesced(long request, String name, long address, int size, boolean port) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment struct = kvm_coalesced_mmio_zone.allocate(arena);
            kvm_coalesced_mmio_zone.addr(struct, address);
            kvm_coalesced_mmio_zone.size(struct, size);
            kvm_coalesced_mmio_zone.pio(struct, port ? 1 : 0);
            check(syscalls.ioctl(fd(), (int) request, struct), name, "0x" + Long.toHexString(address));
        }
    }

    /**
     * KVM_RESET_DIRTY_RINGS: takes the collected entries out of all vCPUs' rings.
     *
     * @return how many
     * @throws SyscallException EINVAL without KVM_CAP_DIRTY_LOG_RING
     */
    public int resetDirtyRings() {
        return check(syscalls.ioctl(fd(), kvm.KVM_RESET_DIRTY_RINGS(), 0), "KVM_RESET_DIRTY_RINGS", "VM");
    }

    /** KVM_GET_STATS_FD of this VM. */
    public KvmStats stats() {
        return KvmStats.open(syscalls, fd(), "VM");
    }

    /** KVM_SET_GSI_ROUTING: replaces the whole table. EINVAL without an interrupt controller in the kernel. */
    public void setGsiRouting(List<MsiRoute> routes) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment table = arena.allocate(
                    kvm_irq_routing.sizeof() + routes.size() * kvm_irq_routing_entry.sizeof(), 8);
            kvm_irq_routing.nr(table, routes.size());
            for (int i = 0; i < routes.size(); i++) {
                MemorySegment entry = table.asSlice(
                        kvm_irq_routing.sizeof() + i * kvm_irq_routing_entry.sizeof(),
                        kvm_irq_routing_entry.sizeof());
                MsiRoute route = routes.get(i);
                kvm_irq_routing_entry.gsi(entry, route.gsi());
                kvm_irq_routing_entry.type(entry, kvm.KVM_IRQ_ROUTING_MSI());
                MemorySegment msi = kvm_irq_routing_entry.u.msi(kvm_irq_routing_entry.u(entry));
                kvm_irq_routing_msi.address_lo(msi, (int) route.address());
                kvm_irq_routing_msi.address_hi(msi, (int) (route.address() >>> 32));
                kvm_irq_routing_msi.data(msi, route.data());
            }
            int answer = syscalls.ioctl(fd(), (int) kvm.KVM_SET_GSI_ROUTING(), table);
            check(answer, "KVM_SET_GSI_ROUTING", routes.size() + " routes");
        }
    }
}
