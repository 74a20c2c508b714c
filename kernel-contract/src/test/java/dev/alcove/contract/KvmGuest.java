// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract;

import dev.alcove.bindings.kvm.kvm_regs;
import dev.alcove.bindings.kvm.kvm_run;
import dev.alcove.sys.Errno;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.HexFormat;

import static dev.alcove.contract.Checks.fails;
import static dev.alcove.contract.Checks.ok;
import static org.junit.jupiter.api.Assertions.assertEquals;

/**
 * A machine with one vCPU in 64-bit mode, which sees guest addresses one to one: memory for its code at 0 in slot 0, and
 * 16 pages at {@link #RAM} in slot 1 with a guest_memfd. The guest executes one short program at a time.
 */
final class KvmGuest implements AutoCloseable {
    static final long PAGE = KvmMachine.PAGE;
    static final long CODE = 0x1000;

    /** First byte of slot 1. */
    static final long RAM = 0x100000;

    static final int PAGES = 16;

    /** mov [rdi],rax; hlt. */
    static final String STORE = "488907 f4";

    /** mov rax,[rdi]; hlt. */
    static final String LOAD = "488b07 f4";

    /** vmcall; hlt. */
    static final String VMCALL = "0f01c1 f4";

    private static final long TABLES = 0x4000;

    final KvmMachine m;
    final MemorySegment low;

    /** The user memory of slot 1. */
    final MemorySegment shared;

    /** The guest_memfd of slot 1. */
    final int gmem;

    final KvmVcpu v;

    /** @param gmemFlags of KVM_CREATE_GUEST_MEMFD; skips the test where the kernel has none for this machine */
    KvmGuest(KernelUnderTest kernel, int type, long gmemFlags) {
        m = new KvmMachine(kernel, type);
        m.needsGmem(gmemFlags);
        low = m.memory(16);
        ok(m.region1(0, 0, 0, 16 * PAGE, low.address()));
        shared = m.memory(PAGES);
        gmem = m.own(m.gmem(PAGES * PAGE, gmemFlags));
        ok(m.region(1, KvmMachine.GMEM, RAM, PAGES * PAGE, shared.address(), gmem, 0));
        v = m.vcpu(0);
        start(LOAD);
    }

    /** With private memory. */
    static KvmGuest protectedOne(KernelUnderTest kernel) {
        return new KvmGuest(kernel, KvmMachine.SW_PROTECTED, 0);
    }

    /** With a guest_memfd that user space maps and that serves all accesses. */
    static KvmGuest mappable(KernelUnderTest kernel) {
        return new KvmGuest(kernel, KvmMachine.DEFAULT, KvmMachine.FLAG_MMAP | KvmMachine.FLAG_INIT_SHARED);
    }

    /** Puts a program in place and the vCPU before it, with fresh registers. */
    void start(String program) {
        byte[] bytes = HexFormat.of().parseHex(program.replace(" ", ""));
        MemorySegment.copy(bytes, 0, low, ValueLayout.JAVA_BYTE, CODE, bytes.length);
        v.longMode(low, TABLES, CODE);
    }

    /** As {@link #start(String)}, with an address and a value. */
    void start(String program, long rdi, long rax) {
        start(program);
        MemorySegment r = v.regs();
        kvm_regs.rdi(r, rdi);
        kvm_regs.rax(r, rax);
        v.setRegs();
    }

    /** The guest stores. */
    void store(long gpa, long value) {
        start(STORE, gpa, value);
        v.runTo(KvmVcpu.HLT);
    }

    /** What the guest loads. */
    long load(long gpa) {
        start(LOAD, gpa, -1);
        v.runTo(KvmVcpu.HLT);
        return kvm_regs.rax(v.regs());
    }

    /** A load that leaves with KVM_EXIT_MEMORY_FAULT. */
    void loadFaults(long gpa, boolean isPrivate) {
        start(LOAD, gpa, -1);
        faults(gpa & -PAGE, isPrivate);
    }

    /** A store that leaves with KVM_EXIT_MEMORY_FAULT. */
    void storeFaults(long gpa, boolean isPrivate) {
        start(STORE, gpa, -1);
        faults(gpa & -PAGE, isPrivate);
    }

    /** KVM_RUN that leaves with KVM_EXIT_MEMORY_FAULT. */
    void faults(long gpa, boolean isPrivate) {
        fails(Errno.EFAULT, v.run());
        assertEquals(KvmVcpu.MEMORY_FAULT, v.exit(), "exit reason");
        MemorySegment fault = kvm_run.memory_fault(v.run);
        assertEquals(gpa, kvm_run.memory_fault.gpa(fault), "gpa");
        assertEquals(PAGE, kvm_run.memory_fault.size(fault), "size");
        assertEquals(isPrivate ? 8 : 0, kvm_run.memory_fault.flags(fault), "flags");
    }

    void makePrivate(long gpa, long pages) {
        ok(m.attributes(gpa, pages * PAGE, KvmMachine.PRIVATE, 0));
    }

    void makeShared(long gpa, long pages) {
        ok(m.attributes(gpa, pages * PAGE, 0, 0));
    }

    long shared(long offset) {
        return shared.get(ValueLayout.JAVA_LONG, offset);
    }

    @Override
    public void close() {
        m.close();
    }
}
