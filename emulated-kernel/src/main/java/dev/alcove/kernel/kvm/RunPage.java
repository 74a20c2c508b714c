// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.kvm;

import dev.alcove.bindings.kvm.kvm_run;
import dev.alcove.kernel.mm.PageStore;
import dev.alcove.kernel.mm.PhysicalMemory;
import dev.alcove.sys.Linux;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import org.jspecify.annotations.Nullable;

/**
 * What a vCPU shares with user space by mmap: {@code struct kvm_run}, the page for port data, the page for coalesced
 * writes, which all vCPUs of a machine share, and the dirty ring. User space may write anywhere at any time, so nothing
 * that is read here is trusted.
 */
final class RunPage {
    /** Bytes that KVM_GET_VCPU_MMAP_SIZE answers. */
    static final int SIZE = 3 * Linux.PAGE_SIZE;

    static final int EXIT_UNKNOWN = 0;
    static final int EXIT_IO = 2;
    static final int EXIT_HYPERCALL = 3;
    static final int EXIT_HLT = 5;
    static final int EXIT_MMIO = 6;
    static final int EXIT_IRQ_WINDOW_OPEN = 7;
    static final int EXIT_SHUTDOWN = 8;
    static final int EXIT_FAIL_ENTRY = 9;
    static final int EXIT_INTR = 10;
    static final int EXIT_INTERNAL_ERROR = 17;
    static final int EXIT_DIRTY_RING_FULL = 31;
    static final int EXIT_MEMORY_FAULT = 39;

    /** KVM_PIO_PAGE_OFFSET and KVM_COALESCED_MMIO_PAGE_OFFSET. */
    private static final int PIO_PAGE = 1;

    static final int COALESCED_PAGE = 2;

    /** KVM_INTERNAL_ERROR_EMULATION. */
    static final int EMULATION = 1;

    /** KVM_INTERNAL_ERROR_DELIVERY_EV. */
    static final int DELIVERY = 3;

    /** Exit reason of an access to device space (Intel SDM appendix C). */
    private static final long EPT_MISCONFIGURATION = 49;

    /** KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON. */
    static final int UNEXPECTED_EXIT = 4;

    private static final long PRIVATE_FAULT = 1 << 3;

    private final PageStore store;
    private final MemorySegment run;
    private final MemorySegment data;
    private final MemorySegment coalesced;
    private final @Nullable DirtyRing dirtyRing;

    private RunPage(PageStore store, PhysicalMemory memory, @Nullable DirtyRing dirtyRing) {
        this.store = store;
        this.run = view(memory, store.frame(0));
        this.data = view(memory, store.frame(PIO_PAGE));
        this.coalesced = view(memory, store.frame(COALESCED_PAGE));
        this.dirtyRing = dirtyRing;
    }

    /**
     * Allocates the pages; null when there is no memory.
     *
     * @param first of the machine, which has the page for coalesced writes, or null for the first one itself
     * @param ringBytes size of the dirty ring, 0 for none
     */
    static @Nullable RunPage allocate(PhysicalMemory memory, @Nullable RunPage first, int ringBytes) {
        int ringPages = ringBytes / Linux.PAGE_SIZE;
        long own = SIZE / Linux.PAGE_SIZE;
        long pages = ringPages == 0 ? own : DirtyRing.PAGE_OFFSET + ringPages;
        PageStore store = new PageStore(memory, pages, true);
        store.bar(own, DirtyRing.PAGE_OFFSET);
        boolean there = first == null || store.place(COALESCED_PAGE, first.store.frame(COALESCED_PAGE)) == 0;
        for (int i = 0; there && i < own; i++) {
            there = store.frame(i) >= 0;
        }
        MemorySegment[] ring = new MemorySegment[ringPages];
        for (int i = 0; there && i < ringPages; i++) {
            long frame = store.frame(DirtyRing.PAGE_OFFSET + i);
            there = frame >= 0;
            if (there) {
                ring[i] = view(memory, frame);
            }
        }
        if (!there) {
            store.close();
            return null;
        }
        return new RunPage(store, memory, ringPages == 0 ? null : new DirtyRing(ring));
    }

    private static MemorySegment view(PhysicalMemory memory, long frame) {
        return memory.segment(frame, 1);
    }

    PageStore store() {
        return store;
    }

    /** The page for coalesced writes. */
    MemorySegment coalesced() {
        return coalesced;
    }

    /** Null where the machine has none. */
    @Nullable DirtyRing dirtyRing() {
        return dirtyRing;
    }

    boolean immediateExit() {
        return kvm_run.immediate_exit(run) != 0;
    }

    boolean wantsInterruptWindow() {
        return kvm_run.request_interrupt_window(run) != 0;
    }

    /** The parts of {@link #registers()} that user space wants to have at each exit. */
    long wantedRegisters() {
        return kvm_run.kvm_valid_regs(run);
    }

    /** The parts of {@link #registers()} that user space has changed. */
    long changedRegisters() {
        return kvm_run.kvm_dirty_regs(run);
    }

    void setChangedRegisters(long parts) {
        kvm_run.kvm_dirty_regs(run, parts);
    }

    /** {@code struct kvm_sync_regs}. */
    MemorySegment registers() {
        return run.asSlice(kvm_run.s$offset(), 2048);
    }

    long cr8() {
        return kvm_run.cr8(run);
    }

    void begin() {
        kvm_run.flags(run, (short) 0);
    }

    void exit(int reason) {
        kvm_run.exit_reason(run, reason);
    }

    /** What is true of the vCPU at every return to user space. */
    void save(boolean interruptFlag, boolean readyForInterrupt, long cr8, long apicBase) {
        kvm_run.if_flag(run, (byte) (interruptFlag ? 1 : 0));
        kvm_run.ready_for_interrupt_injection(run, (byte) (readyForInterrupt ? 1 : 0));
        kvm_run.cr8(run, cr8);
        kvm_run.apic_base(run, apicBase);
    }

    /** KVM_EXIT_IO of one element; its data is at the start of the second page. */
    void io(boolean write, int port, int size, long value) {
        MemorySegment io = kvm_run.io(run);
        kvm_run.io.direction(io, (byte) (write ? 1 : 0));
        kvm_run.io.size(io, (byte) size);
        kvm_run.io.port(io, (short) port);
        kvm_run.io.count(io, 1);
        kvm_run.io.data_offset(io, Linux.PAGE_SIZE);
        if (write) {
            data.set(ValueLayout.JAVA_LONG, 0, value);
        }
        exit(EXIT_IO);
    }

    /** What user space has put in for a read, {@code size} bytes. */
    long ioData(int size) {
        return data.get(ValueLayout.JAVA_LONG, 0) & -1L >>> (64 - size * 8);
    }

    /** KVM_EXIT_MMIO. */
    void mmio(boolean write, long gpa, int size, long value) {
        MemorySegment mmio = kvm_run.mmio(run);
        kvm_run.mmio.phys_addr(mmio, gpa);
        mmio.set(ValueLayout.JAVA_LONG_UNALIGNED, kvm_run.mmio.data$offset(), write ? value : 0);
        kvm_run.mmio.len(mmio, size);
        kvm_run.mmio.is_write(mmio, (byte) (write ? 1 : 0));
        exit(EXIT_MMIO);
    }

    long mmioData(int size) {
        return kvm_run.mmio(run).get(ValueLayout.JAVA_LONG_UNALIGNED, kvm_run.mmio.data$offset())
                & -1L >>> (64 - size * 8);
    }

    /**
     * KVM_EXIT_HYPERCALL for KVM_HC_MAP_GPA_RANGE.
     *
     * @param preset whether the answer is success until user space gives another (since 6.13), and not what is there
     */
    void mapGpaRange(long gpa, long pages, long attributes, boolean longMode, boolean preset) {
        MemorySegment hypercall = kvm_run.hypercall(run);
        kvm_run.hypercall.nr(hypercall, Hypercalls.MAP_GPA_RANGE);
        kvm_run.hypercall.args(hypercall, 0, gpa);
        kvm_run.hypercall.args(hypercall, 1, pages);
        kvm_run.hypercall.args(hypercall, 2, attributes);
        if (preset) {
            kvm_run.hypercall.ret(hypercall, 0);
        }
        kvm_run.hypercall.flags(hypercall, longMode ? 1 : 0);
        exit(EXIT_HYPERCALL);
    }

    long hypercallResult() {
        return kvm_run.hypercall.ret(kvm_run.hypercall(run));
    }

    /** KVM_EXIT_MEMORY_FAULT of one page. */
    void memoryFault(long gpa, boolean isPrivate) {
        MemorySegment fault = kvm_run.memory_fault(run);
        kvm_run.memory_fault.flags(fault, isPrivate ? PRIVATE_FAULT : 0);
        kvm_run.memory_fault.gpa(fault, gpa);
        kvm_run.memory_fault.size(fault, Linux.PAGE_SIZE);
        exit(EXIT_MEMORY_FAULT);
    }

    /** KVM_EXIT_FAIL_ENTRY: the state cannot be entered. */
    void failEntry(long reason) {
        MemorySegment fail = kvm_run.fail_entry(run);
        kvm_run.fail_entry.hardware_entry_failure_reason(fail, reason);
        kvm_run.fail_entry.cpu(fail, 0);
        exit(EXIT_FAIL_ENTRY);
    }

    /** KVM_EXIT_INTERNAL_ERROR of an event whose delivery has met device space. */
    void deliveryError(long gpa) {
        MemorySegment failure = kvm_run.internal(run);
        kvm_run.internal.suberror(failure, DELIVERY);
        kvm_run.internal.ndata(failure, 5);
        kvm_run.internal.data(failure, 0, 0);
        kvm_run.internal.data(failure, 1, EPT_MISCONFIGURATION);
        kvm_run.internal.data(failure, 2, 0);
        kvm_run.internal.data(failure, 3, gpa);
        kvm_run.internal.data(failure, 4, 0);
        exit(EXIT_INTERNAL_ERROR);
    }

    /** KVM_EXIT_INTERNAL_ERROR with the bytes of the instruction, as far as they are known. */
    void internalError(int suberror, byte[] instruction) {
        MemorySegment failure = kvm_run.emulation_failure(run);
        kvm_run.emulation_failure.suberror(failure, suberror);
        int size = Math.min(instruction.length, 15);
        kvm_run.emulation_failure.ndata(failure, size == 0 ? 1 : 3);
        kvm_run.emulation_failure.flags(failure, size == 0 ? 0 : 1);
        failure.asSlice(16, 16).fill((byte) 0);
        failure.set(ValueLayout.JAVA_BYTE, 16, (byte) size);
        MemorySegment.copy(instruction, 0, failure, ValueLayout.JAVA_BYTE, 17, size);
        exit(EXIT_INTERNAL_ERROR);
    }
}
