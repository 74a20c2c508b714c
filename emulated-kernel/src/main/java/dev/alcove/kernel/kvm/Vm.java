// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.kvm;

import dev.alcove.kernel.KernelProfile;
import dev.alcove.kernel.Proposal;
import dev.alcove.kernel.gmem.GmemOwner;
import dev.alcove.kernel.gmem.GuestMemfd;
import dev.alcove.kernel.gmem.MemoryAttributes;
import dev.alcove.kernel.locking.PercpuRwSemaphore;
import dev.alcove.kernel.mm.Allocator;
import dev.alcove.kernel.mm.Mm;
import dev.alcove.kernel.mm.MmuNotifier;
import dev.alcove.kernel.mm.PhysicalMemory;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.locks.Lock;
import java.util.concurrent.locks.ReentrantLock;
import org.jspecify.annotations.Nullable;

/**
 * A virtual machine ({@code struct kvm}). The machine's descriptor, every vCPU's and every guest_memfd's hold a
 * reference; with the last one it goes.
 *
 * <p>Locks, outer to inner: a vCPU's mutex, {@link #lock} (creation of vCPUs, capabilities), {@link #slotsLock}
 * (memslots, attributes), the lock of a guest_memfd, address spaces, page stores, the mmu lock of {@link StageTwo}.
 */
final class Vm implements GmemOwner {
    /** KVM_MEMORY_ATTRIBUTE_PRIVATE. */
    static final long ATTRIBUTE_PRIVATE = 1 << 3;

    /** KVM_X86_SW_PROTECTED_VM. */
    static final int SW_PROTECTED = 1;

    final ReentrantLock lock = new ReentrantLock();
    private final PercpuRwSemaphore slotsSemaphore = new PercpuRwSemaphore();
    final Lock slotsLock = slotsSemaphore.writeLock();
    private final Lock sharedSlotsLock = slotsSemaphore.readLock();
    private final Kvm kvm;
    private final int type;
    private final Mm mm;
    /** Of the address spaces: normal mode, and system management mode, which the emulated processor never enters. */
    private final Memslots[] slots = {new Memslots(), new Memslots()};

    private final MemoryAttributes attributes = new MemoryAttributes();
    private final StageTwo stageTwo;
    private final MmuNotifier notifier;
    private final Irqchip irqchip = new Irqchip();
    private final IoBus mmioBus = new IoBus();
    private final IoBus portBus = new IoBus();
    private final VmClock clock = new VmClock(this);
    private final IoEventFds ioEventFds = new IoEventFds(this);
    private final CoalescedWrites coalesced = new CoalescedWrites(this);
    private final VmStatistics statistics;

    /** Closing a vCPU's descriptor does not take it out: its number stays used. */
    private final List<Vcpu> vcpus = new CopyOnWriteArrayList<>();
    private final List<GuestMemfd> gmems = new CopyOnWriteArrayList<>();
    private final AtomicInteger references = new AtomicInteger(1);
    private final long boot = System.nanoTime();
    private volatile boolean splitIrqchip;
    private volatile long hypercallExits;

    /** Guarded by {@link #lock}. */
    private int bootCpuId;

    /** KVM_CAP_MAX_VCPU_ID, 0 until somebody has set it or made a vCPU. Guarded by {@link #lock}. */
    private int mostVcpuIds;

    /** KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2: KVM_DIRTY_LOG_ bits. Guarded by {@link #slotsLock}. */
    private long dirtyLogMode;

    /** Bytes of each vCPU's dirty ring, 0 without. Written with {@link #lock} held. */
    private volatile int dirtyRingBytes;

    /** The KVM-VFIO device. Guarded by {@link #lock}. */
    private @Nullable VfioLink vfio;

    Vm(Kvm kvm, int type, Mm mm) {
        this.kvm = kvm;
        this.type = type;
        this.mm = mm;
        statistics = new VmStatistics(this);
        stageTwo = new StageTwo(this, mm, kvm.memory(), slots[0]);
        notifier = stageTwo.userMappings();
        mm.register(notifier);
    }

    void get() {
        references.incrementAndGet();
    }

    @Override
    public void put() {
        if (references.decrementAndGet() == 0) {
            mm.unregister(notifier);
            irqchip.bus().stop();
            ioEventFds.release();
            kvm.gone(this);
            vcpus.forEach(vcpu -> vcpu.runPage().store().close());
        }
    }

    /** Takes a vCPU out again that has got no descriptor, so that its number is free. */
    void remove(Vcpu vcpu) {
        vcpus.remove(vcpu);
        stageTwo.remove(vcpu.mode());
        Lapic apic = vcpu.lapic();
        if (apic != null) {
            irqchip.bus().remove(apic);
        }
        vcpu.runPage().store().close();
    }

    @Override
    public void released(GuestMemfd file) {
        gmems.remove(file);
    }

    void created(GuestMemfd file) {
        gmems.add(file);
    }

    List<GuestMemfd> gmems() {
        return gmems;
    }

    KernelProfile profile() {
        return kvm.profile();
    }

    PhysicalMemory memory() {
        return kvm.memory();
    }

    Kvm kvm() {
        return kvm;
    }

    Mm mm() {
        return mm;
    }

    /** The memslots that processors see. */
    Memslots slots() {
        return slots[0];
    }

    /** The memslots of an address space, or null where there is none with this number. */
    @Nullable Memslots slots(int addressSpace) {
        return addressSpace < Capabilities.addressSpaces(this) ? slots[addressSpace] : null;
    }

    StageTwo stageTwo() {
        return stageTwo;
    }

    Irqchip irqchip() {
        return irqchip;
    }

    /** The devices in the kernel that the guest reaches by memory accesses. */
    IoBus mmioBus() {
        return mmioBus;
    }

    /** The devices in the kernel that the guest reaches by port accesses. */
    IoBus portBus() {
        return portBus;
    }

    VmClock clock() {
        return clock;
    }

    IoEventFds ioEventFds() {
        return ioEventFds;
    }

    CoalescedWrites coalesced() {
        return coalesced;
    }

    VmStatistics statistics() {
        return statistics;
    }

    int dirtyRingBytes() {
        return dirtyRingBytes;
    }

    void setDirtyRingBytes(int bytes) {
        dirtyRingBytes = bytes;
    }

    List<Vcpu> vcpus() {
        return vcpus;
    }

    int type() {
        return type;
    }

    /** Whether pages of this machine can be private. */
    @Override
    public boolean hasPrivateMemory() {
        return type == SW_PROTECTED;
    }

    /** Whether a memslot may have a guest_memfd: since 6.18 in every machine. */
    boolean allowsGmem() {
        return hasPrivateMemory() || profile().guestMemfdMmap();
    }

    /** Whether a guest frame is private. */
    boolean isPrivate(long gfn) {
        return type == SW_PROTECTED && (inPlace() ? isPrivateInPlace(gfn) : attributes.isPrivate(gfn));
    }

    /** Whether the guest_memfds say which pages are private, and not the machine. */
    boolean inPlace() {
        return profile().has(Proposal.IN_PLACE_CONVERSION);
    }

    private boolean isPrivateInPlace(long gfn) {
        Memslot slot = slots[0].find(gfn);
        GuestMemfd gmem = slot == null ? null : slot.gmem();
        return slot != null && gmem != null && gmem.isPrivate(slot.gmemIndex(gfn));
    }

    /** The guest frames that are private, in order. */
    List<MemoryAttributes.Interval> privateFrames() {
        if (!inPlace()) {
            return attributes.intervals();
        }
        List<MemoryAttributes.Interval> frames = new ArrayList<>();
        for (Memslot slot : slots[0].all()) {
            GuestMemfd gmem = slot.gmem();
            List<MemoryAttributes.Interval> pages = gmem == null ? List.of() : gmem.privatePages();
            for (MemoryAttributes.Interval run : pages) {
                long first = Math.max(run.first(), slot.gmemOffset);
                long end = Math.min(run.end(), slot.gmemOffset + slot.pages);
                if (first < end) {
                    long shift = slot.baseGfn - slot.gmemOffset;
                    frames.add(new MemoryAttributes.Interval(first + shift, end + shift));
                }
            }
        }
        return frames;
    }

    boolean splitIrqchip() {
        return splitIrqchip;
    }

    void setSplitIrqchip() {
        splitIrqchip = true;
    }

    long hypercallExits() {
        return hypercallExits;
    }

    void setHypercallExits(long mask) {
        hypercallExits = mask;
    }

    int bootCpuId() {
        return bootCpuId;
    }

    void setBootCpuId(int id) {
        bootCpuId = id;
    }

    /** How many vCPU numbers there are, or 0 while that can still be chosen. */
    int mostVcpuIds() {
        return mostVcpuIds;
    }

    void setMostVcpuIds(int count) {
        mostVcpuIds = count;
    }

    long dirtyLogMode() {
        return dirtyLogMode;
    }

    void setDirtyLogMode(long mode) {
        dirtyLogMode = mode;
    }

    @Nullable VfioLink vfio() {
        return vfio;
    }

    void setVfio(@Nullable VfioLink link) {
        vfio = link;
    }

    /** Time stamp counter of the machine: nanoseconds since it was made. */
    long tsc() {
        return System.nanoTime() - boot;
    }

    long nextInode() {
        return kvm.nextInode();
    }

    @Override
    public boolean charge(String what) {
        return kvm.allocator().charge(what);
    }

    Allocator allocator() {
        return kvm.allocator();
    }

    void trouble(String what) {
        kvm.trouble(what);
    }

    /** Instructions that all vCPUs have executed. */
    long instructions() {
        long sum = 0;
        for (Vcpu vcpu : vcpus) {
            sum += vcpu.cpu().instructions();
        }
        return sum;
    }

    /**
     * Sets the attribute of guest frames [first, end); false without memory. Linux holds the slots lock alone; here those
     * who each change one word of the attributes share it. Their changes are atomic, so that it is as if they had come
     * one after the other, and each has an invalidation of its own.
     */
    boolean setAttribute(long first, long end, boolean isPrivate) {
        Lock held = MemoryAttributes.withinWord(first, end) ? sharedSlotsLock : slotsLock;
        held.lock();
        try {
            return changeAttribute(first, end, isPrivate);
        } finally {
            held.unlock();
        }
    }

    private boolean changeAttribute(long first, long end, boolean isPrivate) {
        if (attributes.uniform(first, end, isPrivate)) {
            return true;
        }
        if (!charge("memory attributes")) {
            return false;
        }
        stageTwo.invalidateStart(first, end);
        attributes.set(first, end, isPrivate);
        stageTwo.invalidateEnd(first, end);
        return true;
    }
}
