// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.kvm;

import dev.alcove.cpu.Cpu;
import dev.alcove.cpu.GuestBus;
import dev.alcove.kernel.mm.DevicePage;
import dev.alcove.sys.Errno;
import java.lang.foreign.MemorySegment;
import org.jspecify.annotations.Nullable;

/**
 * What the processor of one vCPU sees: guest memory through {@link StageTwo}, the local APIC, device registers that the
 * machine's user has mapped, MSRs and CPUID. All methods but the constructor run on the thread that is in KVM_RUN.
 */
final class VcpuBus implements GuestBus {
    /**
     * Why a page could not be had.
     *
     * @param errno what KVM_RUN answers, positive
     * @param exit whether it comes with KVM_EXIT_MEMORY_FAULT
     */
    private record Fault(long gpa, boolean isPrivate, int errno, boolean exit) {}

    private final Vm vm;
    private final Vcpu vcpu;
    private final StageTwo stageTwo;
    private final GuestMode mode;
    private final @Nullable GuestSteps steps;

    /** Where the last lookup ended; its table is empty when it is no longer a slot of the machine. */
    private @Nullable Memslot last;

    private @Nullable Fault fault;
    private boolean retry;
    private final long[] word = new long[1];

    VcpuBus(Vm vm, Vcpu vcpu, GuestMode mode) {
        this.vm = vm;
        this.vcpu = vcpu;
        this.stageTwo = vm.stageTwo();
        this.mode = mode;
        this.steps = vm.kvm().steps();
    }

    @Override
    public long page(long gpa, boolean write) {
        long gfn = gpa >>> 12;
        Memslot slot = last;
        // In guest mode an entry that was just seen cannot go before the next attend.
        long entry = slot == null || !slot.contains(gfn) ? 0 : slot.entry(gfn);
        if (entry == 0) {
            slot = vm.slots().find(gfn);
            last = slot;
            entry = slot == null ? 0 : slot.entry(gfn);
        }
        if (entry != 0 && (!write || (entry & Memslot.WRITABLE) != 0)) {
            return entry & Memslot.ADDRESS;
        }
        last = null;
        mode.leave();
        vcpu.statistics().count(Statistic.PF_TAKEN);
        long answer = stageTwo.fault(this, gfn, write);
        if (answer != BLOCKED) {
            vcpu.statistics().count(answer == MMIO ? Statistic.PF_MMIO_SPTE_CREATED : Statistic.PF_FIXED);
        }
        if (steps != null) {
            steps.lookedUp(vcpu.id, gpa, write);
        }
        if (!mode.enter() || vcpu.dirtyRingFull()) {
            retry = true;
            fault = null;
            return BLOCKED;
        }
        return answer;
    }

    /** Where the vCPU's writes are noted, or null. */
    @Nullable DirtyRing dirtyRing() {
        return vcpu.runPage().dirtyRing();
    }

    /** Notes a fault that user space is told of by KVM_EXIT_MEMORY_FAULT. */
    long memoryFault(long gfn, boolean isPrivate, int errno) {
        fault = new Fault(gfn << 12, isPrivate, errno, true);
        return BLOCKED;
    }

    /** Notes a fault that user space only sees as an errno: its own mapping is bad. */
    long bareFault(int errno) {
        fault = new Fault(0, false, errno, false);
        return BLOCKED;
    }

    /**
     * Takes the fault that the last {@link #BLOCKED} stands for, and tells of it in the run page.
     *
     * @return the negated errno
     */
    int reportFault() {
        Fault taken = fault;
        fault = null;
        if (taken == null) {
            return -Errno.EFAULT;
        }
        if (taken.exit) {
            vcpu.runPage().memoryFault(taken.gpa, taken.isPrivate);
        }
        return -taken.errno;
    }

    /** Whether the last {@link #BLOCKED} only asks to start the instruction again. */
    boolean takeRetry() {
        boolean was = retry;
        retry = false;
        return was;
    }

    /** As the kernel's emulator does: through the user's mapping of the slot, whatever the guest's own path would be. */
    @Override
    public boolean memoryRead(long gpa, int size, long[] answer) {
        long address = stageTwo.userAddress(gpa, false);
        if (address == -1) {
            return false;
        }
        mode.leave();
        word[0] = 0;
        boolean read = vm.mm().copyIn(address, MemorySegment.ofArray(word).asSlice(0, size)) == 0;
        resume();
        answer[0] = word[0];
        return read;
    }

    @Override
    public boolean memoryWrite(long gpa, int size, long value) {
        long address = stageTwo.userAddress(gpa, true);
        if (address == -1) {
            return false;
        }
        mode.leave();
        word[0] = value;
        boolean written = vm.mm().copyOut(address, MemorySegment.ofArray(word).asSlice(0, size)) == 0;
        if (written) {
            stageTwo.markDirty(gpa >>> 12, dirtyRing());
        }
        resume();
        return written;
    }

    @Override
    public boolean mmioRead(long gpa, int size, long[] answer) {
        Lapic apic = vcpu.lapic();
        if (apic != null && apic.covers(gpa)) {
            vcpu.tprToApic();
            int offset = (int) gpa & 4095;
            long value = (offset & 15) + size > 4 ? 0 : apic.read(offset >>> 4) >>> (8 * (offset & 15));
            answer[0] = value & -1L >>> (64 - size * 8);
            return true;
        }
        DevicePage device = device(gpa);
        if (device == null) {
            return false;
        }
        mode.leave();
        long value = 0;
        for (int at = 0; at < size; ) {
            int piece = Integer.highestOneBit(size - at);
            value |= device.region().read(device.offset() + (gpa & 4095) + at, piece) << (at * 8);
            at += piece;
        }
        answer[0] = value;
        resume();
        return true;
    }

    @Override
    public boolean mmioWrite(long gpa, int size, long value) {
        Lapic apic = vcpu.lapic();
        if (apic != null && apic.covers(gpa)) {
            int offset = (int) gpa & 4095;
            if (size == 4 && (offset & 15) == 0) {
                apic.write(offset >>> 4, value & 0xffffffffL);
                if (offset >>> 4 == Lapic.TPR) {
                    vcpu.tprFromApic();
                }
            }
            return true;
        }
        if (write(vm.mmioBus(), gpa, size, value)) {
            return true;
        }
        DevicePage device = device(gpa);
        if (device == null) {
            return false;
        }
        mode.leave();
        for (int at = 0; at < size; ) {
            int piece = Integer.highestOneBit(size - at);
            device.region().write(device.offset() + (gpa & 4095) + at, piece, value >>> (at * 8));
            at += piece;
        }
        resume();
        return true;
    }

    private @Nullable DevicePage device(long gpa) {
        long address = stageTwo.deviceAddress(gpa & -4096L);
        if (address == -1) {
            return null;
        }
        mode.leave();
        DevicePage device = vm.mm().deviceAt(address);
        resume();
        return device;
    }

    /** Back to guest mode in the middle of an instruction that holds no host address. */
    private void resume() {
        while (!mode.enter()) {
            vcpu.cpu().flushTranslations();
            vcpu.statistics().count(Statistic.TLB_FLUSH);
            mode.acknowledge();
        }
    }

    /** Offers a write to the devices in the kernel. */
    private boolean write(IoBus bus, long address, int size, long value) {
        if (bus.empty()) {
            return false;
        }
        mode.leave();
        boolean taken = bus.write(address, size, value & -1L >>> (64 - size * 8));
        resume();
        return taken;
    }

    @Override
    public boolean portRead(int port, int size, long[] answer) {
        return false;
    }

    @Override
    public boolean portWrite(int port, int size, long value) {
        boolean taken = write(vm.portBus(), port, size, value);
        if (taken) {
            vcpu.statistics().count(Statistic.IO_EXITS);
        }
        return taken;
    }

    @Override
    public boolean msrRead(int index, long[] answer) {
        return vcpu.msrs().guestRead(index, answer);
    }

    @Override
    public boolean msrWrite(int index, long value) {
        return vcpu.msrs().guestWrite(index, value);
    }

    @Override
    public void cpuid(int leaf, int subleaf, int[] result) {
        vcpu.cpuid().query(leaf, subleaf, result);
    }

    @Override
    public long tsc() {
        return vm.tsc();
    }

    @Override
    public boolean attend(Cpu cpu) {
        if (steps != null) {
            cpu.attention(); // again before the next block
            mode.leave();
            steps.instruction(vcpu.id, cpu.instructionPointer());
        }
        resume();
        return vcpu.attend(cpu);
    }
}
