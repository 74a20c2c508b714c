// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract;

import dev.alcove.bindings.kvm.kvm;
import dev.alcove.bindings.kvm.kvm_dtable;
import dev.alcove.bindings.kvm.kvm_pre_fault_memory;
import dev.alcove.bindings.kvm.kvm_regs;
import dev.alcove.bindings.kvm.kvm_run;
import dev.alcove.bindings.kvm.kvm_sregs;
import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.HexFormat;
import org.junit.jupiter.api.Timeout;

import static dev.alcove.contract.Checks.fails;
import static dev.alcove.contract.Checks.ok;
import static org.junit.jupiter.api.Assertions.assertEquals;

/** Guest code in 64-bit mode: hypercalls, private memory, memory fault exits. */
@Surface("attributes")
@Timeout(60)
final class KvmPrivateMemoryContractTest {
    private static final long PAGE = KvmMachine.PAGE;
    private static final int HYPERCALL = 3;
    private static final int HLT = 5;
    private static final int SHUTDOWN = 8;
    private static final int MEMORY_FAULT = 39;
    private static final long CODE = 0x1000;
    private static final long TABLES = 0x4000;

    /** First byte of a slot of 16 pages with a guest_memfd. */
    private static final long RAM = 0x100000;

    /** A machine of a type with code memory at 0 and, if {@code gmem}, a slot at {@link #RAM} with a guest_memfd. */
    private static final class Guest implements AutoCloseable {
        final KvmMachine m;
        final MemorySegment low;
        final MemorySegment shared;
        final int gmem;
        final KvmVcpu v;

        Guest(KernelUnderTest kernel, int type, long flags, String program) {
            m = new KvmMachine(kernel, type);
            low = m.memory(16);
            ok(m.region1(0, 0, 0, 16 * PAGE, low.address()));
            shared = m.memory(16);
            if (type == KvmMachine.DEFAULT && KvmMachine.before(m.sys, 6, 18)) {
                m.close();
                kernel.needs("guest_memfd in a default machine", -Errno.EINVAL);
            }
            gmem = m.own(m.gmem(16 * PAGE, flags));
            ok(m.region(1, KvmMachine.GMEM, RAM, 16 * PAGE, shared.address(), gmem, 0));
            v = m.vcpu(0);
            start(program);
        }

        void start(String program) {
            byte[] bytes = HexFormat.of().parseHex(program.replace(" ", ""));
            MemorySegment.copy(bytes, 0, low, ValueLayout.JAVA_BYTE, CODE, bytes.length);
            v.longMode(low, TABLES, CODE);
        }

        void registers(long rdi, long rax) {
            MemorySegment r = v.regs();
            kvm_regs.rdi(r, rdi);
            kvm_regs.rax(r, rax);
            v.setRegs();
        }

        void faults(long gpa, boolean isPrivate) {
            fails(Errno.EFAULT, v.run());
            assertEquals(MEMORY_FAULT, v.exit());
            MemorySegment fault = kvm_run.memory_fault(v.run);
            assertEquals(gpa, kvm_run.memory_fault.gpa(fault));
            assertEquals(PAGE, kvm_run.memory_fault.size(fault));
            assertEquals(isPrivate ? 8 : 0, kvm_run.memory_fault.flags(fault));
        }

        @Override
        public void close() {
            m.close();
        }
    }

    private static final String STORE = "488907 f4"; // mov [rdi],rax; hlt
    private static final String LOAD = "488b07 f4"; // mov rax,[rdi]; hlt
    private static final String VMCALL = "0f01c1 f4";

    private static Guest protectedGuest(KernelUnderTest kernel, String program) {
        return new Guest(kernel, KvmMachine.SW_PROTECTED, 0, program);
    }

    @EveryKvm
    void attributesChooseTheBacking(KernelUnderTest kernel) {
        try (Guest g = protectedGuest(kernel, STORE)) {
            g.registers(RAM, 1);
            g.v.runTo(HLT);
            assertEquals(1, g.shared.get(ValueLayout.JAVA_LONG, 0));
            ok(g.m.attributes(RAM, PAGE, KvmMachine.PRIVATE, 0));
            g.start(STORE);
            g.registers(RAM, 2);
            g.v.runTo(HLT);
            assertEquals(1, g.shared.get(ValueLayout.JAVA_LONG, 0), "a private store does not reach shared memory");
            g.start(LOAD);
            g.registers(RAM, 0);
            g.v.runTo(HLT);
            assertEquals(2, kvm_regs.rax(g.v.regs()));
            ok(g.m.attributes(RAM, PAGE, 0, 0));
            g.start(LOAD);
            g.registers(RAM, 0);
            g.v.runTo(HLT);
            assertEquals(1, kvm_regs.rax(g.v.regs()));
            ok(g.m.attributes(RAM, PAGE, KvmMachine.PRIVATE, 0));
            ok(g.m.punch(g.gmem, 0, PAGE));
            g.start(LOAD);
            g.registers(RAM, 5);
            g.v.runTo(HLT);
            assertEquals(0, kvm_regs.rax(g.v.regs()), "a punched page is zero");
        }
    }

    @EveryKvm
    void privateMemoryThatIsMissingIsAMemoryFault(KernelUnderTest kernel) {
        try (Guest g = protectedGuest(kernel, STORE)) {
            ok(g.m.attributes(0x3000, PAGE, KvmMachine.PRIVATE, 0));
            g.registers(0x3008, 1);
            g.faults(0x3000, true); // slot 0 has no guest_memfd
            g.faults(0x3000, true);
            ok(g.m.attributes(0x3000, PAGE, 0, 0));
            g.v.runTo(HLT);
            assertEquals(1, g.low.get(ValueLayout.JAVA_LONG, 0x3008));
            ok(g.m.attributes(0x180000, PAGE, KvmMachine.PRIVATE, 0));
            g.start(STORE);
            g.registers(0x180000, 1);
            g.faults(0x180000, true); // no slot
            ok(g.m.attributes(RAM, 16 * PAGE, KvmMachine.PRIVATE, 0));
            g.start(STORE);
            g.registers(RAM + 5 * PAGE, 1);
            g.v.runTo(HLT);
            g.m.close(g.gmem);
            g.start(STORE);
            g.registers(RAM + 5 * PAGE, 1);
            g.faults(RAM + 5 * PAGE, true); // the file is gone
            ok(g.m.region(1, KvmMachine.GMEM, RAM, 0, 0, -1, 0));
        }
    }

    @EveryKvm
    void aMappableGuestMemfdServesSharedAccesses(KernelUnderTest kernel) {
        long flags = KvmMachine.FLAG_MMAP | KvmMachine.FLAG_INIT_SHARED;
        try (Guest g = new Guest(kernel, KvmMachine.DEFAULT, flags, STORE)) {
            MemorySegment file = g.m.map(16, Linux.MAP_SHARED, g.gmem);
            g.registers(RAM + 2 * PAGE, 77);
            g.v.runTo(HLT);
            assertEquals(77, file.get(ValueLayout.JAVA_LONG, 2 * PAGE));
            assertEquals(0, g.shared.get(ValueLayout.JAVA_LONG, 2 * PAGE), "the user address is not looked at");
            file.set(ValueLayout.JAVA_LONG, 3 * PAGE, 88);
            g.start(LOAD);
            g.registers(RAM + 3 * PAGE, 0);
            g.v.runTo(HLT);
            assertEquals(88, kvm_regs.rax(g.v.regs()));
        }
    }

    @EveryKvm
    void mapGpaRange(KernelUnderTest kernel) {
        try (Guest g = new Guest(kernel, KvmMachine.DEFAULT, 0, VMCALL)) {
            assertEquals(-1000, call(g, 12, RAM, 1, 0), "not enabled");
            ok(g.m.enable(201, 4096));
            assertEquals(-22, call(g, 12, RAM + 1, 1, 0));
            assertEquals(-22, call(g, 12, RAM, 0, 0));
            assertEquals(-22, call(g, 12, RAM, -1, 0));
            assertEquals(-1000, call(g, 4711, RAM, 1, 0));
            prepare(g, 12, RAM, 3, 0x10);
            g.v.runTo(HYPERCALL);
            MemorySegment hypercall = kvm_run.hypercall(g.v.run);
            assertEquals(12, kvm_run.hypercall.nr(hypercall));
            assertEquals(RAM, kvm_run.hypercall.args(hypercall, 0));
            assertEquals(3, kvm_run.hypercall.args(hypercall, 1));
            assertEquals(0x10, kvm_run.hypercall.args(hypercall, 2));
            assertEquals(0, kvm_run.hypercall.ret(hypercall), "the answer is preset");
            assertEquals(1, kvm_run.hypercall.flags(hypercall) & 1, "64-bit mode");
            kvm_run.hypercall.ret(hypercall, -5);
            g.v.runTo(HLT);
            assertEquals(-5, kvm_regs.rax(g.v.regs()));
        }
    }

    private static void prepare(Guest g, long number, long rbx, long rcx, long rdx) {
        g.start(VMCALL);
        MemorySegment r = g.v.regs();
        kvm_regs.rax(r, number);
        kvm_regs.rbx(r, rbx);
        kvm_regs.rcx(r, rcx);
        kvm_regs.rdx(r, rdx);
        g.v.setRegs();
    }

    private static long call(Guest g, long number, long rbx, long rcx, long rdx) {
        prepare(g, number, rbx, rcx, rdx);
        g.v.runTo(HLT);
        return kvm_regs.rax(g.v.regs());
    }

    @EveryKvm
    void preFault(KernelUnderTest kernel) {
        try (Guest g = protectedGuest(kernel, LOAD)) {
            int request = (int) kvm.KVM_PRE_FAULT_MEMORY();
            MemorySegment s = g.m.struct(kvm_pre_fault_memory.sizeof());
            kvm_pre_fault_memory.gpa(s, RAM);
            fails(Errno.EINVAL, g.m.sys.ioctl(g.v.fd, request, s));
            kvm_pre_fault_memory.size(s, 1);
            fails(Errno.EINVAL, g.m.sys.ioctl(g.v.fd, request, s));
            kvm_pre_fault_memory.size(s, PAGE);
            kvm_pre_fault_memory.flags(s, 1);
            fails(Errno.EINVAL, g.m.sys.ioctl(g.v.fd, request, s));
            kvm_pre_fault_memory.flags(s, 0);
            kvm_pre_fault_memory.gpa(s, 0x180000);
            fails(Errno.ENOENT, g.m.sys.ioctl(g.v.fd, request, s));
            ok(g.m.attributes(RAM, 16 * PAGE, KvmMachine.PRIVATE, 0));
            kvm_pre_fault_memory.gpa(s, RAM + 14 * PAGE);
            kvm_pre_fault_memory.size(s, 4 * PAGE);
            ok(g.m.sys.ioctl(g.v.fd, request, s));
            assertEquals(RAM + 16 * PAGE, kvm_pre_fault_memory.gpa(s), "as far as there was memory");
            assertEquals(2 * PAGE, kvm_pre_fault_memory.size(s));
        }
    }

    @EveryKvm
    void aTripleFaultIsAShutdown(KernelUnderTest kernel) {
        try (Guest g = new Guest(kernel, KvmMachine.DEFAULT, 0, "0f0b")) {
            MemorySegment s = g.v.sregs();
            kvm_dtable.limit(kvm_sregs.idt(s), (short) 0);
            ok(g.v.trySetSregs());
            g.v.runTo(SHUTDOWN);
        }
    }
}
