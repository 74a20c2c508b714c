// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract;

import dev.alcove.bindings.kvm.kvm_regs;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.HexFormat;
import java.util.function.Consumer;

import static dev.alcove.contract.Checks.ok;
import static org.junit.jupiter.api.Assertions.assertEquals;

/**
 * A default machine with one vCPU in real mode: 16 pages of memory at 0 in slot 0, nothing behind. The guest executes one
 * short program at a time.
 */
final class KvmRealGuest implements AutoCloseable {
    static final long PAGE = KvmMachine.PAGE;

    /** Where the last program starts: never where the one before did, as an exit of that one may not be complete. */
    long code = 0x1000;

    /** An address without memory, in reach of ES. */
    static final long DEVICE = 0xa0000;

    final KvmMachine m;
    final MemorySegment low;
    final KvmVcpu v;

    KvmRealGuest(KernelUnderTest kernel) {
        this(kernel, machine -> {});
    }

    /** @param prepare what is done to the machine before the vCPU is made */
    KvmRealGuest(KernelUnderTest kernel, Consumer<KvmMachine> prepare) {
        m = new KvmMachine(kernel, KvmMachine.DEFAULT);
        prepare.accept(m);
        low = m.memory(16);
        ok(m.region1(0, 0, 0, 16 * PAGE, low.address()));
        v = m.vcpu(0);
    }

    /** Puts a program in place and the vCPU before it, with ES at an address and a value in RAX. */
    KvmRealGuest start(String program, long es, long rax) {
        byte[] bytes = HexFormat.of().parseHex(program.replace(" ", ""));
        code ^= 0x100;
        MemorySegment.copy(bytes, 0, low, ValueLayout.JAVA_BYTE, code, bytes.length);
        v.realMode(code, es >>> 4);
        MemorySegment r = v.regs();
        kvm_regs.rax(r, rax);
        v.setRegs();
        return this;
    }

    /** KVM_RUN; the exit reason. */
    int run() {
        ok(v.run());
        return v.exit();
    }

    /** The program leaves with an exit. */
    void leaves(int reason, String program, long es, long rax) {
        start(program, es, rax);
        assertEquals(reason, run(), "exit reason");
    }

    /** The program comes to its HLT. */
    void halts(String program, long es, long rax) {
        leaves(KvmVcpu.HLT, program, es, rax);
    }

    @Override
    public void close() {
        m.close();
    }
}
