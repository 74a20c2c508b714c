// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract;

import dev.alcove.bindings.kvm.kvm_regs;
import dev.alcove.bindings.kvm.kvm_run;
import dev.alcove.bindings.kvm.kvm_sregs;
import dev.alcove.bindings.kvm.kvm_vcpu_events;
import dev.alcove.sys.Errno;
import java.lang.foreign.MemorySegment;
import org.junit.jupiter.api.Timeout;

import static dev.alcove.contract.Checks.fails;
import static org.junit.jupiter.api.Assertions.assertEquals;

/** Registers in the run page (KVM_CAP_SYNC_REGS). */
@Surface("kvm vcpus")
@Timeout(60)
final class KvmSyncRegsContractTest {
    private static final int SYNC_REGS = 74;
    private static final int REGS = 1;
    private static final int SREGS = 2;
    private static final int EVENTS = 4;

    private static KvmRealGuest guest(KernelUnderTest kernel) {
        KvmRealGuest g = new KvmRealGuest(kernel);
        g.m.needs(SYNC_REGS, "KVM_CAP_SYNC_REGS");
        assertEquals(7, g.m.has(SYNC_REGS));
        return g;
    }

    private static MemorySegment regs(KvmRealGuest g) {
        return g.v.run.asSlice(kvm_run.s$offset(), kvm_regs.sizeof());
    }

    private static MemorySegment sregs(KvmRealGuest g) {
        return g.v.run.asSlice(kvm_run.s$offset() + kvm_regs.sizeof(), kvm_sregs.sizeof());
    }

    private static MemorySegment events(KvmRealGuest g) {
        return g.v.run.asSlice(
                kvm_run.s$offset() + kvm_regs.sizeof() + kvm_sregs.sizeof(), kvm_vcpu_events.sizeof());
    }

    @EveryKernel
    void registersComeOut(KernelUnderTest kernel) {
        try (KvmRealGuest g = guest(kernel)) {
            kvm_run.kvm_valid_regs(g.v.run, REGS | SREGS | EVENTS);
            g.halts("b85555 f4", 0, 0); // mov ax,0x5555; hlt
            assertEquals(0x5555, kvm_regs.rax(regs(g)));
            assertEquals(-1, regs(g).mismatch(g.v.regs()));
            assertEquals(-1, sregs(g).mismatch(g.v.sregs()));
            assertEquals(0xd, kvm_vcpu_events.flags(events(g)));
        }
    }

    @EveryKernel
    void whatIsNotAskedForStays(KernelUnderTest kernel) {
        try (KvmRealGuest g = guest(kernel)) {
            kvm_run.kvm_valid_regs(g.v.run, SREGS);
            kvm_regs.rax(regs(g), 0x77);
            g.halts("b85555 f4", 0, 0);
            assertEquals(0x77, kvm_regs.rax(regs(g)));
        }
    }

    @EveryKernel
    void registersGoIn(KernelUnderTest kernel) {
        try (KvmRealGuest g = guest(kernel)) {
            kvm_run.kvm_valid_regs(g.v.run, REGS | SREGS);
            g.halts("90 f4", 0, 0); // nop; hlt
            kvm_regs.rax(regs(g), 0x1230);
            kvm_regs.rip(regs(g), 0x2000);
            kvm_sregs.cr2(sregs(g), 0x9000);
            kvm_run.kvm_dirty_regs(g.v.run, REGS | SREGS);
            g.low.asSlice(0x2000, 4).copyFrom(MemorySegment.ofArray(new byte[] {0x40, (byte) 0xf4, 0, 0})); // inc ax; hlt
            assertEquals(KvmVcpu.HLT, g.run());
            assertEquals(0, kvm_run.kvm_dirty_regs(g.v.run));
            assertEquals(0x1231, kvm_regs.rax(regs(g)));
            assertEquals(0x9000, kvm_sregs.cr2(g.v.sregs()));
        }
    }

    @EveryKernel
    void refusesPartsThatDoNotExist(KernelUnderTest kernel) {
        try (KvmRealGuest g = guest(kernel)) {
            g.start("f4", 0, 0);
            kvm_run.kvm_valid_regs(g.v.run, 8);
            fails(Errno.EINVAL, g.v.run());
            kvm_run.kvm_valid_regs(g.v.run, 0);
            kvm_run.kvm_dirty_regs(g.v.run, 8);
            fails(Errno.EINVAL, g.v.run());
            if (!KvmMachine.before(kernel.sys(), 6, 18)) { // looks at half of the bits
                kvm_run.kvm_dirty_regs(g.v.run, 1L << 63);
                fails(Errno.EINVAL, g.v.run());
            }
            kvm_run.kvm_dirty_regs(g.v.run, 0);
            assertEquals(KvmVcpu.HLT, g.run());
        }
    }

    @EveryKernel
    void refusesRegistersThatDoNotFit(KernelUnderTest kernel) {
        try (KvmRealGuest g = guest(kernel)) {
            kvm_run.kvm_valid_regs(g.v.run, REGS | SREGS | EVENTS);
            g.halts("90 f4", 0, 0);
            kvm_sregs.cr0(sregs(g), 1L << 40);
            kvm_run.kvm_dirty_regs(g.v.run, SREGS | EVENTS);
            fails(Errno.EINVAL, g.v.run());
            assertEquals(SREGS | EVENTS, kvm_run.kvm_dirty_regs(g.v.run));
            sregs(g).copyFrom(g.v.sregs());
            kvm_vcpu_events.flags(events(g), 1 << 20);
            kvm_run.kvm_dirty_regs(g.v.run, SREGS | EVENTS);
            fails(Errno.EINVAL, g.v.run());
            assertEquals(EVENTS, kvm_run.kvm_dirty_regs(g.v.run));
        }
    }
}
