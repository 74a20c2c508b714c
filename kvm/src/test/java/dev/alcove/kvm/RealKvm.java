// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kvm;

import dev.alcove.sys.HostSyscalls;
import dev.alcove.sys.Linux;
import dev.alcove.sys.SyscallException;
import dev.alcove.sys.Syscalls;
import dev.alcove.sys.UserMappings;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import org.junit.jupiter.api.Assumptions;

import static org.junit.jupiter.api.Assertions.assertTrue;

/** A VM of the host's own KVM with some RAM at 0, for tests; skips the test where the host has none. */
final class RealKvm implements AutoCloseable {
    static final int RAM_SIZE = 16 * Linux.PAGE_SIZE;
    static final int CODE = 0x1000;

    final Syscalls syscalls = new HostSyscalls();
    final Kvm kvm;
    final Vm vm;
    final MemorySegment ram;

    private RealKvm(Kvm opened) {
        this.kvm = opened;
        this.vm = opened.createVm(dev.alcove.bindings.kvm.kvm.KVM_X86_DEFAULT_VM());
        this.ram = map(RAM_SIZE);
    }

    static RealKvm open() {
        try {
            return new RealKvm(Kvm.open(new HostSyscalls()));
        } catch (SyscallException refused) {
            Assumptions.assumeTrue(false, "no real KVM here: " + refused.getMessage());
            throw refused;
        }
    }

    MemorySegment map(long length) {
        long address = syscalls.mmap(
                0, length, Linux.PROT_READ | Linux.PROT_WRITE, Linux.MAP_PRIVATE | Linux.MAP_ANONYMOUS, -1, 0);
        assertTrue(!Linux.isError(address), "mmap answers " + address);
        return UserMappings.segment(address, length);
    }

    /** A vCPU in real mode at the first byte of a program. */
    Vcpu realModeProgram(int... program) {
        vm.setUserMemoryRegion(Memslot.of(0, 0, RAM_SIZE, ram.address()));
        for (int i = 0; i < program.length; i++) {
            ram.set(ValueLayout.JAVA_BYTE, CODE + i, (byte) program[i]);
        }
        Vcpu vcpu = vm.createVcpu(0);
        Sregs sregs = vcpu.getSregs();
        sregs.cs(SegmentRegister.realMode(0, true));
        vcpu.setSregs(sregs);
        Regs regs = new Regs();
        regs.rip(CODE);
        regs.rsp(0x8000);
        regs.rflags(2);
        vcpu.setRegs(regs);
        return vcpu;
    }

    int capability(int number) {
        return vm.checkExtension(number);
    }

    @Override
    public void close() {
        vm.close();
        kvm.close();
        syscalls.munmap(ram.address(), ram.byteSize());
    }

}
