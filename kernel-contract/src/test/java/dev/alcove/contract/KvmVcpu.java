// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract;

import dev.alcove.bindings.kvm.kvm;
import dev.alcove.bindings.kvm.kvm_cpuid2;
import dev.alcove.bindings.kvm.kvm_cpuid_entry2;
import dev.alcove.bindings.kvm.kvm_mp_state;
import dev.alcove.bindings.kvm.kvm_regs;
import dev.alcove.bindings.kvm.kvm_run;
import dev.alcove.bindings.kvm.kvm_segment;
import dev.alcove.bindings.kvm.kvm_sregs;
import dev.alcove.sys.Errno;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

import static dev.alcove.contract.Checks.ok;
import static org.junit.jupiter.api.Assertions.assertEquals;

/** A vCPU of the KVM under test. */
final class KvmVcpu {
    static final int IO = 2;
    static final int HYPERCALL = 3;
    static final int HLT = 5;
    static final int MMIO = 6;
    static final int SHUTDOWN = 8;
    static final int INTERNAL_ERROR = 17;
    static final int MEMORY_FAULT = 39;

    final KvmMachine machine;
    final int fd;
    /** All that the vCPU shares: three pages. */
    final MemorySegment pages;

    final MemorySegment run;
    final MemorySegment data;
    private final MemorySegment regs;
    private final MemorySegment sregs;

    KvmVcpu(KvmMachine machine, int fd) {
        this.machine = machine;
        this.fd = fd;
        pages = machine.map(3, 1, fd);
        run = pages.asSlice(0, 4096);
        data = pages.asSlice(4096, 4096);
        regs = machine.struct(kvm_regs.sizeof());
        sregs = machine.struct(kvm_sregs.sizeof());
        MemorySegment cpuid = machine.struct(kvm_cpuid2.sizeof() + 256 * kvm_cpuid_entry2.sizeof());
        kvm_cpuid2.nent(cpuid, 256);
        ok(machine.sys.ioctl(machine.kvmFd, (int) kvm.KVM_GET_SUPPORTED_CPUID(), cpuid));
        ok(machine.sys.ioctl(fd, (int) kvm.KVM_SET_CPUID2(), cpuid));
    }

    /** KVM_RUN. */
    int run() {
        return machine.sys.ioctl(fd, kvm.KVM_RUN(), 0L);
    }

    int exit() {
        return kvm_run.exit_reason(run);
    }

    /** KVM_RUN that must come back with an exit. */
    void runTo(int reason) {
        int answer = run();
        assertEquals(reason, answer == 0 ? exit() : answer, () -> "exit reason, or errno; RIP 0x"
                + Long.toHexString(kvm_regs.rip(regs())) + ", suberror "
                + kvm_run.internal.suberror(kvm_run.internal(run)));
    }

    MemorySegment regs() {
        ok(machine.sys.ioctl(fd, (int) kvm.KVM_GET_REGS(), regs));
        return regs;
    }

    void setRegs() {
        ok(machine.sys.ioctl(fd, (int) kvm.KVM_SET_REGS(), regs));
    }

    MemorySegment sregs() {
        ok(machine.sys.ioctl(fd, (int) kvm.KVM_GET_SREGS(), sregs));
        return sregs;
    }

    int trySetSregs() {
        return machine.sys.ioctl(fd, (int) kvm.KVM_SET_SREGS(), sregs);
    }

    int mpState() {
        MemorySegment s = machine.struct(kvm_mp_state.sizeof());
        ok(machine.sys.ioctl(fd, (int) kvm.KVM_GET_MP_STATE(), s));
        return kvm_mp_state.mp_state(s);
    }

    /** Starts in real mode with CS at 0. */
    KvmVcpu realMode(long rip) {
        return realMode(rip, 0);
    }

    /** Starts in real mode with CS at 0 and a selector in ES. */
    KvmVcpu realMode(long rip, long esSelector) {
        MemorySegment cs = kvm_sregs.cs(sregs());
        kvm_segment.base(cs, 0);
        kvm_segment.selector(cs, (short) 0);
        MemorySegment es = kvm_sregs.es(sregs);
        kvm_segment.base(es, esSelector << 4);
        kvm_segment.selector(es, (short) esSelector);
        ok(trySetSregs());
        MemorySegment r = regs();
        r.fill((byte) 0);
        kvm_regs.rip(r, rip);
        kvm_regs.rsp(r, 0x8000);
        kvm_regs.rflags(r, 2);
        setRegs();
        return this;
    }

    /**
     * Starts in 64-bit mode with page tables at guest address {@code tables} (three pages, filled in here) that map
     * the first 2 MiB one to one; skips the test where the kernel refuses.
     *
     * @param memory the guest's memory from address 0 on
     */
    KvmVcpu longMode(MemorySegment memory, long tables, long rip) {
        // A KVM without hardware virtualisation may accept the registers and then never come back from such code.
        int paging = machine.sys.ioctl(machine.kvmFd, kvm.KVM_CHECK_EXTENSION(), 236L);
        machine.kernel.needs("two-dimensional paging (KVM_CAP_PRE_FAULT_MEMORY)", paging == 0 ? -Errno.EOPNOTSUPP : 0);
        memory.set(ValueLayout.JAVA_LONG, tables, (tables + 0x1000) | 7);
        memory.set(ValueLayout.JAVA_LONG, tables + 0x1000, (tables + 0x2000) | 7);
        memory.set(ValueLayout.JAVA_LONG, tables + 0x2000, 0x87);
        memory.set(ValueLayout.JAVA_LONG, tables + 0x2000 + 8, 0x200087);
        memory.set(ValueLayout.JAVA_LONG, tables + 0x1000 + 3 * 8, 0xc0000000L | 0x87);
        MemorySegment s = sregs();
        segment(kvm_sregs.cs(s), 8, 11);
        kvm_segment.l(kvm_sregs.cs(s), (byte) 1);
        kvm_segment.db(kvm_sregs.cs(s), (byte) 0);
        segment(kvm_sregs.ds(s), 16, 3);
        segment(kvm_sregs.es(s), 16, 3);
        segment(kvm_sregs.ss(s), 16, 3);
        segment(kvm_sregs.fs(s), 16, 3);
        segment(kvm_sregs.gs(s), 16, 3);
        kvm_sregs.cr0(s, 0x80000031L);
        kvm_sregs.cr3(s, tables);
        kvm_sregs.cr4(s, 0x20);
        kvm_sregs.efer(s, 0x500);
        machine.kernel.needs("64-bit mode by KVM_SET_SREGS", trySetSregs());
        MemorySegment r = regs();
        r.fill((byte) 0);
        kvm_regs.rip(r, rip);
        kvm_regs.rsp(r, 0x8000);
        kvm_regs.rflags(r, 2);
        setRegs();
        return this;
    }

    private static void segment(MemorySegment s, int selector, int type) {
        kvm_segment.base(s, 0);
        kvm_segment.limit(s, -1);
        kvm_segment.selector(s, (short) selector);
        kvm_segment.type(s, (byte) type);
        kvm_segment.present(s, (byte) 1);
        kvm_segment.dpl(s, (byte) 0);
        kvm_segment.s(s, (byte) 1);
        kvm_segment.g(s, (byte) 1);
        kvm_segment.db(s, (byte) 1);
        kvm_segment.l(s, (byte) 0);
        kvm_segment.unusable(s, (byte) 0);
    }
}
