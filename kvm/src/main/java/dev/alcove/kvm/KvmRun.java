// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kvm;

import dev.alcove.bindings.kvm.kvm;
import dev.alcove.bindings.kvm.kvm_debug_exit_arch;
import dev.alcove.bindings.kvm.kvm_run;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;

/**
 * The page that a vCPU's thread and the kernel share ({@code struct kvm_run}). The single accessors do not allocate;
 * {@link #exit} makes a value of the whole. Valid until the vCPU is closed. Only {@link #immediateExit(boolean)} may be
 * called from another thread than the vCPU's.
 */
public final class KvmRun {
    private static final int WORDS = 16;

    final MemorySegment page;
    private final MemorySegment io;
    private final MemorySegment mmio;
    private final MemorySegment mmioData;
    private final MemorySegment hypercall;
    private final MemorySegment memoryFault;

    KvmRun(MemorySegment page) {
        this.page = page;
        this.io = kvm_run.io(page);
        this.mmio = kvm_run.mmio(page);
        this.mmioData = kvm_run.mmio.data(mmio);
        this.hypercall = kvm_run.hypercall(page);
        this.memoryFault = kvm_run.memory_fault(page);
    }

    /** One of {@code KVM_EXIT_*}. */
    public int exitReason() {
        return kvm_run.exit_reason(page);
    }

    /** Makes the next KVM_RUN answer EINTR before it enters the guest, as long as it is set. */
    public void immediateExit(boolean on) {
        ValueLayout.JAVA_BYTE.varHandle().setVolatile(page, kvm_run.immediate_exit$offset(), (byte) (on ? 1 : 0));
    }

    /** Asks for KVM_EXIT_IRQ_WINDOW_OPEN as soon as the guest can take an interrupt. */
    public void requestInterruptWindow(boolean on) {
        kvm_run.request_interrupt_window(page, (byte) (on ? 1 : 0));
    }

    /** Whether {@link Vcpu#interrupt} is possible now. */
    public boolean readyForInterruptInjection() {
        return kvm_run.ready_for_interrupt_injection(page) != 0;
    }

    /** Whether the guest's interrupt flag is set. */
    public boolean interruptFlag() {
        return kvm_run.if_flag(page) != 0;
    }

    /** The guest's CR8, where the local APIC is not in the kernel. */
    public long cr8() {
        return kvm_run.cr8(page);
    }

    /** {@code KVM_RUN_X86_*}: SMM, bus lock, nested guest. */
    public int flags() {
        return Short.toUnsignedInt(kvm_run.flags(page));
    }

    /** KVM_EXIT_IO: whether the guest writes. */
    public boolean ioOut() {
        return kvm_run.io.direction(io) == kvm.KVM_EXIT_IO_OUT();
    }

    public int ioPort() {
        return Short.toUnsignedInt(kvm_run.io.port(io));
    }

    /** Bytes of one access: 1, 2 or 4. */
    public int ioSize() {
        return kvm_run.io.size(io);
    }

    public int ioCount() {
        return kvm_run.io.count(io);
    }

    /** The data of all accesses, {@code ioSize * ioCount} bytes: what the guest writes, or room for what it reads. */
    public MemorySegment ioData() {
        return page.asSlice(kvm_run.io.data_offset(io), (long) ioSize() * ioCount());
    }

    /** The value of one access, not negative. */
    public int ioValue(int index) {
        long at = kvm_run.io.data_offset(io) + (long) index * ioSize();
        return switch (ioSize()) {
            case 1 -> Byte.toUnsignedInt(page.get(ValueLayout.JAVA_BYTE, at));
            case 2 -> Short.toUnsignedInt(page.get(ValueLayout.JAVA_SHORT_UNALIGNED, at));
            default -> page.get(ValueLayout.JAVA_INT_UNALIGNED, at);
        };
    }

    /** Answers one access of a port read; surplus bits are dropped. */
    public void ioValue(int index, int value) {
        long at = kvm_run.io.data_offset(io) + (long) index * ioSize();
        switch (ioSize()) {
            case 1 -> page.set(ValueLayout.JAVA_BYTE, at, (byte) value);
            case 2 -> page.set(ValueLayout.JAVA_SHORT_UNALIGNED, at, (short) value);
            default -> page.set(ValueLayout.JAVA_INT_UNALIGNED, at, value);
        }
    }

    /** KVM_EXIT_MMIO: whether the guest writes. */
    public boolean mmioWrite() {
        return kvm_run.mmio.is_write(mmio) != 0;
    }

    public long mmioGpa() {
        return kvm_run.mmio.phys_addr(mmio);
    }

    /** 1 to 8 bytes. */
    public int mmioLength() {
        return kvm_run.mmio.len(mmio);
    }

    /** The bytes that the guest writes, little-endian. */
    public long mmioValue() {
        long value = mmioData.get(ValueLayout.JAVA_LONG_UNALIGNED, 0);
        int unused = Long.SIZE - Byte.SIZE * mmioLength();
        return unused <= 0 ? value : value << unused >>> unused;
    }

    /** Answers a read, little-endian. */
    public void mmioValue(long value) {
        mmioData.set(ValueLayout.JAVA_LONG_UNALIGNED, 0, value);
    }

    /** KVM_EXIT_HYPERCALL: one of {@code KVM_HC_*}. */
    public long hypercallNr() {
        return kvm_run.hypercall.nr(hypercall);
    }

    /** Argument 0 to 5. */
    public long hypercallArgument(int index) {
        return kvm_run.hypercall.args(hypercall, index);
    }

    /** What the guest finds in RAX: 0, or a negated {@code KVM_E*}. */
    public void hypercallReturn(long value) {
        kvm_run.hypercall.ret(hypercall, value);
    }

    /** Whether the guest made the hypercall in 64-bit mode. */
    public boolean hypercallLongMode() {
        return (kvm_run.hypercall.flags(hypercall) & kvm.KVM_EXIT_HYPERCALL_LONG_MODE()) != 0;
    }

    /** KVM_EXIT_MEMORY_FAULT: KVM_MEMORY_EXIT_FLAG_PRIVATE or 0. */
    public long memoryFaultFlags() {
        return kvm_run.memory_fault.flags(memoryFault);
    }

    public long memoryFaultGpa() {
        return kvm_run.memory_fault.gpa(memoryFault);
    }

    /** Bytes. */
    public long memoryFaultSize() {
        return kvm_run.memory_fault.size(memoryFault);
    }

    /** The exit as a value. */
    public VmExit exit() {
        int reason = exitReason();
        if (reason == kvm.KVM_EXIT_IO()) {
            return new VmExit.Io(ioOut(), ioPort(), ioSize(), ioCount());
        } else if (reason == kvm.KVM_EXIT_MMIO()) {
            return new VmExit.Mmio(mmioWrite(), mmioGpa(), mmioLength(), mmioWrite() ? mmioValue() : 0);
        } else if (reason == kvm.KVM_EXIT_HLT()) {
            return new VmExit.Hlt();
        } else if (reason == kvm.KVM_EXIT_HYPERCALL()) {
            return new VmExit.Hypercall(
                    hypercallNr(),
                    hypercallArgument(0),
                    hypercallArgument(1),
                    hypercallArgument(2),
                    hypercallArgument(3),
                    hypercallArgument(4),
                    hypercallArgument(5),
                    hypercallLongMode());
        } else if (reason == kvm.KVM_EXIT_MEMORY_FAULT()) {
            return new VmExit.MemoryFault(memoryFaultFlags(), memoryFaultGpa(), memoryFaultSize());
        } else if (reason == kvm.KVM_EXIT_SHUTDOWN()) {
            return new VmExit.Shutdown();
        } else if (reason == kvm.KVM_EXIT_INTR()) {
            return new VmExit.Interrupted();
        } else if (reason == kvm.KVM_EXIT_IRQ_WINDOW_OPEN()) {
            return new VmExit.IrqWindowOpen();
        }
        return rareExit(reason);
    }

    private VmExit rareExit(int reason) {
        if (reason == kvm.KVM_EXIT_FAIL_ENTRY()) {
            MemorySegment entry = kvm_run.fail_entry(page);
            return new VmExit.FailEntry(
                    kvm_run.fail_entry.hardware_entry_failure_reason(entry), kvm_run.fail_entry.cpu(entry));
        } else if (reason == kvm.KVM_EXIT_INTERNAL_ERROR()) {
            MemorySegment error = kvm_run.internal(page);
            int words = Math.clamp(kvm_run.internal.ndata(error), 0, WORDS);
            List<Long> data = new ArrayList<>(words);
            for (int i = 0; i < words; i++) {
                data.add(kvm_run.internal.data(error, i));
            }
            return new VmExit.InternalError(kvm_run.internal.suberror(error), List.copyOf(data));
        } else if (reason == kvm.KVM_EXIT_SYSTEM_EVENT()) {
            MemorySegment event = kvm_run.system_event(page);
            long data = kvm_run.system_event.ndata(event) > 0 ? kvm_run.system_event.data(event, 0) : 0;
            return new VmExit.SystemEvent(kvm_run.system_event.type(event), data);
        } else if (reason == kvm.KVM_EXIT_DEBUG()) {
            MemorySegment arch = kvm_run.debug.arch(kvm_run.debug(page));
            return new VmExit.Debug(kvm_debug_exit_arch.exception(arch), kvm_debug_exit_arch.pc(arch));
        }
        return new VmExit.Unknown(reason, kvm_run.hw.hardware_exit_reason(kvm_run.hw(page)));
    }
}
