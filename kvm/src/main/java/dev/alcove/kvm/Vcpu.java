// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kvm;

import dev.alcove.bindings.kvm.kvm;
import dev.alcove.bindings.kvm.kvm_interrupt;
import dev.alcove.bindings.kvm.kvm_mp_state;
import dev.alcove.bindings.kvm.kvm_pre_fault_memory;
import dev.alcove.bindings.kvm.kvm_signal_mask;
import dev.alcove.sys.KernelFile;
import dev.alcove.sys.Linux;
import dev.alcove.sys.SyscallException;
import dev.alcove.sys.Syscalls;
import dev.alcove.sys.UserMappings;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.List;

import static dev.alcove.sys.SyscallException.check;

/**
 * A virtual CPU (Documentation/virt/kvm/api.rst, "vcpu ioctls"). All methods but {@link VcpuKick#kick} belong to the
 * thread that runs it: the kernel takes the vCPU's mutex, so a call from another thread waits for KVM_RUN to end.
 * Close it after that thread has left {@link #run}: close unmaps the page behind {@link #shared}.
 */
public final class Vcpu extends KernelFile {
    private final int id;
    private final KvmRun shared;

    private Vcpu(Syscalls syscalls, int fd, int id, KvmRun shared) {
        super(syscalls, fd);
        this.id = id;
        this.shared = shared;
    }

    static Vcpu map(Syscalls syscalls, int fd, int id, int mmapSize) {
        long address = syscalls.mmap(
                0, mmapSize, Linux.PROT_READ | Linux.PROT_WRITE, Linux.MAP_SHARED, fd, 0);
        if (Linux.isError(address)) {
            syscalls.close(fd);
            throw new SyscallException("mmap", mmapSize + " bytes of vCPU " + id, address);
        }
        return new Vcpu(syscalls, fd, id, new KvmRun(UserMappings.segment(address, mmapSize)));
    }

    /** The APIC id that it was made with. */
    public int id() {
        return id;
    }

    /** The page that the kernel and this process share: why KVM_RUN came back, and what to answer. */
    public KvmRun shared() {
        return shared;
    }

    /**
     * KVM_RUN: lets the guest go on until it needs something.
     *
     * @return 0 and a reason in {@link #shared}; {@code -EINTR} a signal or immediate_exit; {@code -EFAULT} or
     *     {@code -EHWPOISON}, with KVM_EXIT_MEMORY_FAULT in the page where the kernel knows the range; {@code -EAGAIN}
     *     the vCPU waits for its start; another negated errno
     */
    public int run() {
        return syscalls.ioctl(fd(), kvm.KVM_RUN(), 0);
    }

    /**
     * KVM_PRE_FAULT_MEMORY: makes a range present for the guest, as far as it goes.
     *
     * @param gpa a multiple of 4096
     * @param size bytes, a multiple of 4096
     * @return how many bytes from the start were done; less than asked for where a signal came, or the kernel refused
     */
    public long preFaultMemory(long gpa, long size) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment struct = kvm_pre_fault_memory.allocate(arena);
            kvm_pre_fault_memory.gpa(struct, gpa);
            kvm_pre_fault_memory.size(struct, size);
            int answer = 0;
            long left = size;
            while (answer == 0 && left > 0) {
                answer = syscalls.ioctl(fd(), (int) kvm.KVM_PRE_FAULT_MEMORY(), struct);
                long now = kvm_pre_fault_memory.size(struct);
                answer = now == left ? -1 : answer;
                left = now;
            }
            return size - left;
        }
    }

    /** KVM_GET_REGS into a buffer. */
    public void getRegs(Regs into) {
        check(syscalls.ioctl(fd(), (int) kvm.KVM_GET_REGS(), into.struct), "KVM_GET_REGS", "vCPU");
    }

    /** KVM_GET_REGS into a buffer of its own. */
    public Regs getRegs() {
        Regs regs = new Regs();
        getRegs(regs);
        return regs;
    }

    /** KVM_SET_REGS. */
    public void setRegs(Regs from) {
        check(syscalls.ioctl(fd(), (int) kvm.KVM_SET_REGS(), from.struct), "KVM_SET_REGS", "vCPU");
    }

    /** KVM_GET_SREGS into a buffer. */
    public void getSregs(Sregs into) {
        check(syscalls.ioctl(fd(), (int) kvm.KVM_GET_SREGS(), into.struct), "KVM_GET_SREGS", "vCPU");
    }

    /** KVM_GET_SREGS into a buffer of its own. */
    public Sregs getSregs() {
        Sregs sregs = new Sregs();
        getSregs(sregs);
        return sregs;
    }

    /** KVM_SET_SREGS; EINVAL for a state that the CPU, or this KVM, cannot have. */
    public void setSregs(Sregs from) {
        check(syscalls.ioctl(fd(), (int) kvm.KVM_SET_SREGS(), from.struct), "KVM_SET_SREGS", from.toString());
    }

    /** KVM_SET_CPUID2: what the guest's CPUID instruction answers; before the first run. E2BIG, EINVAL. */
    public void setCpuid2(List<CpuidEntry> entries) {
        try (Arena arena = Arena.ofConfined()) {
            int answer = syscalls.ioctl(fd(), (int) kvm.KVM_SET_CPUID2(), CpuidEntry.table(entries, arena));
            check(answer, "KVM_SET_CPUID2", entries.size() + " entries");
        }
    }

    /** KVM_GET_MP_STATE: one of {@code KVM_MP_STATE_*}. */
    public int getMpState() {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment struct = kvm_mp_state.allocate(arena);
            check(syscalls.ioctl(fd(), (int) kvm.KVM_GET_MP_STATE(), struct), "KVM_GET_MP_STATE", "vCPU " + id);
            return kvm_mp_state.mp_state(struct);
        }
    }

    /** KVM_SET_MP_STATE to one of {@code KVM_MP_STATE_*}; EINVAL without an interrupt controller in the kernel. */
    public void setMpState(int state) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment struct = kvm_mp_state.allocate(arena);
            kvm_mp_state.mp_state(struct, state);
            check(syscalls.ioctl(fd(), (int) kvm.KVM_SET_MP_STATE(), struct), "KVM_SET_MP_STATE", "" + state);
        }
    }

    /**
     * KVM_INTERRUPT: queues an external interrupt where the local APIC is not in the kernel. The guest must be ready
     * for it ({@link KvmRun#readyForInterruptInjection}).
     *
     * @param vector 0 to 255; EINVAL above, EEXIST one is queued already, ENXIO the kernel has the interrupt controller
     */
    public void interrupt(int vector) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment struct = kvm_interrupt.allocate(arena);
            kvm_interrupt.irq(struct, vector);
            check(syscalls.ioctl(fd(), (int) kvm.KVM_INTERRUPT(), struct), "KVM_INTERRUPT", "vector " + vector);
        }
    }

    /** KVM_NMI: queues a non-maskable interrupt. */
    public void nmi() {
        check(syscalls.ioctl(fd(), kvm.KVM_NMI(), 0), "KVM_NMI", "vCPU " + id);
    }

    /** KVM_ENABLE_CAP of this vCPU, as {@link Vm#enableCap}. */
    public void enableCap(int capability, long... arguments) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment struct = Vm.enableCapStruct(arena, capability, arguments);
            check(syscalls.ioctl(fd(), (int) kvm.KVM_ENABLE_CAP(), struct), "KVM_ENABLE_CAP", "" + capability);
        }
    }

    /**
     * KVM_SET_SIGNAL_MASK: the signals that are blocked inside KVM_RUN, in place of the thread's own mask.
     *
     * @param blocked bit n - 1 stands for signal n
     */
    public void setSignalMask(long blocked) {
        try (Arena arena = Arena.ofConfined()) {
            long sigset = kvm_signal_mask.sizeof();
            MemorySegment struct = arena.allocate(sigset + Long.BYTES, Integer.BYTES);
            kvm_signal_mask.len(struct, Long.BYTES);
            struct.set(ValueLayout.JAVA_LONG_UNALIGNED, sigset, blocked);
            check(syscalls.ioctl(fd(), (int) kvm.KVM_SET_SIGNAL_MASK(), struct), "KVM_SET_SIGNAL_MASK", "vCPU " + id);
        }
    }

    /** KVM_GET_STATS_FD of this vCPU. */
    public KvmStats stats() {
        return KvmStats.open(syscalls, fd(), "vCPU " + id);
    }

    /** Unmaps the shared page and closes the descriptor; a second call does nothing. */
    @Override
    public void close() {
        if (fd() >= 0) {
            super.close();
            syscalls.munmap(shared.page.address(), shared.page.byteSize());
        }
    }
}
