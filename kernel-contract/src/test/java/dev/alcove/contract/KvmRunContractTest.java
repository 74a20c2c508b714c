// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract;

import dev.alcove.bindings.kvm.kvm;
import dev.alcove.bindings.kvm.kvm_interrupt;
import dev.alcove.bindings.kvm.kvm_regs;
import dev.alcove.bindings.kvm.kvm_run;
import dev.alcove.bindings.kvm.kvm_segment;
import dev.alcove.bindings.kvm.kvm_signal_mask;
import dev.alcove.bindings.kvm.kvm_sregs;
import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.HexFormat;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Timeout;

import static dev.alcove.contract.Checks.fails;
import static dev.alcove.contract.Checks.ok;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

/** KVM_RUN with programs in real mode: exits and their completion, kicks, interrupts from user space. */
@Surface("run/exits")
@Timeout(60)
final class KvmRunContractTest {
    private static final long PAGE = KvmMachine.PAGE;
    private static final int IO = 2;
    private static final int HLT = 5;
    private static final int MMIO = 6;
    private static final int IRQ_WINDOW_OPEN = 7;
    private static final int INTR = 10;
    private static final long CODE = 0x1000;

    /** 64 KiB of guest memory at 0 with a program at {@link #CODE}. */
    private static MemorySegment guest(KvmMachine m, String program) {
        MemorySegment memory = m.memory(16);
        ok(m.region1(0, 0, 0, 16 * PAGE, memory.address()));
        put(memory, CODE, program);
        return memory;
    }

    private static void put(MemorySegment memory, long at, String hex) {
        byte[] bytes = HexFormat.of().parseHex(hex.replace(" ", ""));
        MemorySegment.copy(bytes, 0, memory, ValueLayout.JAVA_BYTE, at, bytes.length);
    }

    @EveryKernel
    void portsAndHalt(KernelUnderTest kernel) {
        try (KvmMachine m = new KvmMachine(kernel, KvmMachine.DEFAULT)) {
            // mov al,'A'; mov dx,0x3f8; out dx,al; in al,dx; mov [0x2000],al; mov ax,0x1234; out dx,ax; hlt
            MemorySegment memory = guest(m, "b041 baf803 ee ec a20020 b83412 ef f4");
            KvmVcpu v = m.vcpu(0).realMode(CODE);
            v.runTo(IO);
            MemorySegment io = kvm_run.io(v.run);
            assertEquals(1, kvm_run.io.direction(io));
            assertEquals(1, kvm_run.io.size(io));
            assertEquals(0x3f8, kvm_run.io.port(io));
            assertEquals(1, kvm_run.io.count(io));
            assertEquals(4096, kvm_run.io.data_offset(io));
            assertEquals('A', v.data.get(ValueLayout.JAVA_BYTE, 0));
            v.runTo(IO);
            assertEquals(0, kvm_run.io.direction(io));
            v.data.set(ValueLayout.JAVA_BYTE, 0, (byte) 0x5a);
            v.runTo(IO);
            assertEquals(0x5a, memory.get(ValueLayout.JAVA_BYTE, 0x2000));
            assertEquals(2, kvm_run.io.size(io));
            assertEquals(0x1234, v.data.get(ValueLayout.JAVA_SHORT, 0));
            v.runTo(HLT);
            assertEquals(CODE + 15, kvm_regs.rip(v.regs()), "behind the hlt");
            assertEquals(0, kvm_run.if_flag(v.run));
        }
    }

    @EveryKernel
    void deviceRegisters(KernelUnderTest kernel) {
        try (KvmMachine m = new KvmMachine(kernel, KvmMachine.DEFAULT)) {
            // mov ax,0x2000; mov ds,ax; mov byte [0x10],0x5a; mov ax,[0x20]; mov bx,ax; hlt
            guest(m, "b80020 8ed8 c60610005a a12000 89c3 f4");
            KvmVcpu v = m.vcpu(0).realMode(CODE);
            v.runTo(MMIO);
            MemorySegment mmio = kvm_run.mmio(v.run);
            assertEquals(1, kvm_run.mmio.is_write(mmio));
            assertEquals(0x20010, kvm_run.mmio.phys_addr(mmio));
            assertEquals(1, kvm_run.mmio.len(mmio));
            assertEquals(0x5a, kvm_run.mmio.data(mmio, 0));
            v.runTo(MMIO);
            assertEquals(0, kvm_run.mmio.is_write(mmio));
            assertEquals(0x20020, kvm_run.mmio.phys_addr(mmio));
            assertEquals(2, kvm_run.mmio.len(mmio));
            kvm_run.mmio.data(mmio, 0, (byte) 0xcd);
            kvm_run.mmio.data(mmio, 1, (byte) 0xab);
            v.runTo(HLT);
            assertEquals(0xabcd, kvm_regs.rbx(v.regs()) & 0xffff);
        }
    }

    @EveryKernel
    void aReadIsCompletedEvenWithImmediateExit(KernelUnderTest kernel) {
        try (KvmMachine m = new KvmMachine(kernel, KvmMachine.DEFAULT)) {
            guest(m, "e410 f4"); // in al,0x10; hlt
            KvmVcpu v = m.vcpu(0).realMode(CODE);
            v.runTo(IO);
            v.data.set(ValueLayout.JAVA_BYTE, 0, (byte) 0x77);
            kvm_run.immediate_exit(v.run, (byte) 1);
            fails(Errno.EINTR, v.run());
            assertEquals(0x77, kvm_regs.rax(v.regs()) & 0xff);
            assertEquals(CODE + 2, kvm_regs.rip(v.regs()));
            kvm_run.immediate_exit(v.run, (byte) 0);
            v.runTo(HLT);
        }
    }

    @EveryKernel
    void memoryOfReadOnlySlotsIsWrittenLikeADevice(KernelUnderTest kernel) {
        try (KvmMachine m = new KvmMachine(kernel, KvmMachine.DEFAULT)) {
            MemorySegment memory = guest(m, "b80020 8ed8 a00000 a20100 f4"); // mov al,[0x20000]; mov [0x20001],al
            MemorySegment rom = m.memory(1);
            rom.set(ValueLayout.JAVA_BYTE, 0, (byte) 0x33);
            ok(m.region1(1, KvmMachine.READONLY, 0x20000, PAGE, rom.address()));
            KvmVcpu v = m.vcpu(0).realMode(CODE);
            v.runTo(MMIO);
            MemorySegment mmio = kvm_run.mmio(v.run);
            assertEquals(1, kvm_run.mmio.is_write(mmio));
            assertEquals(0x20001, kvm_run.mmio.phys_addr(mmio));
            assertEquals(0x33, kvm_run.mmio.data(mmio, 0));
            v.runTo(HLT);
            assertEquals(0, rom.get(ValueLayout.JAVA_BYTE, 1));
            assertNotEquals(0, memory.get(ValueLayout.JAVA_BYTE, CODE));
        }
    }

    @EveryKernel
    void aUserMappingThatIsMissingIsEfault(KernelUnderTest kernel) {
        try (KvmMachine m = new KvmMachine(kernel, KvmMachine.DEFAULT)) {
            guest(m, "b80020 8ed8 a00000 f4"); // mov al,[0x20000]
            MemorySegment memory = m.memory(1);
            ok(m.region1(1, 0, 0x20000, PAGE, memory.address()));
            KvmVcpu v = m.vcpu(0).realMode(CODE);
            m.unmap(memory);
            int answer = v.run();
            assumeTrue(
                    answer != 0 || v.exit() != MMIO,
                    "a KVM that interprets real mode takes memory that is missing for a device");
            fails(Errno.EFAULT, answer);
            ok(m.region1(1, 0, 0x20000, 0, 0));
            v.runTo(MMIO);
        }
    }

    @EveryKernel
    void slotsCanBeMovedUnderARunningMachine(KernelUnderTest kernel) {
        try (KvmMachine m = new KvmMachine(kernel, KvmMachine.DEFAULT)) {
            guest(m, "b80020 8ed8 a00000 b80030 8ed8 a00000 f4"); // mov al,[0x20000]; mov al,[0x30000]
            MemorySegment memory = m.memory(1);
            memory.set(ValueLayout.JAVA_BYTE, 0, (byte) 9);
            KvmVcpu v = m.vcpu(0).realMode(CODE);
            v.runTo(MMIO);
            ok(m.region1(1, 0, 0x20000, PAGE, memory.address()));
            ok(m.region1(1, 0, 0x30000, PAGE, memory.address()));
            v.runTo(HLT);
            assertEquals(9, kvm_regs.rax(v.regs()) & 0xff);
            v.realMode(CODE).runTo(MMIO);
            assertEquals(0x20000, kvm_run.mmio.phys_addr(kvm_run.mmio(v.run)));
        }
    }

    @EveryKernel
    void dirtyPagesAreLogged(KernelUnderTest kernel) {
        try (KvmMachine m = new KvmMachine(kernel, KvmMachine.DEFAULT)) {
            guest(m, "b80020 8ed8 a20000 a20010 a20011 f4"); // writes at 0x20000, 0x21000, 0x21100
            MemorySegment memory = m.memory(4);
            ok(m.region1(1, KvmMachine.LOG_DIRTY, 0x20000, 4 * PAGE, memory.address()));
            KvmVcpu v = m.vcpu(0).realMode(CODE);
            v.runTo(HLT);
            assertEquals(3, dirty(m, 1));
            assertEquals(0, dirty(m, 1));
            v.realMode(CODE).runTo(HLT);
            assertEquals(3, dirty(m, 1));
            MemorySegment s = m.struct(16);
            s.set(ValueLayout.JAVA_INT, 0, 7);
            fails(Errno.ENOENT, m.sys.ioctl(m.fd, (int) kvm.KVM_GET_DIRTY_LOG(), s));
            s.set(ValueLayout.JAVA_INT, 0, 0);
            fails(Errno.ENOENT, m.sys.ioctl(m.fd, (int) kvm.KVM_GET_DIRTY_LOG(), s));
            s.set(ValueLayout.JAVA_INT, 0, 40000);
            fails(Errno.EINVAL, m.sys.ioctl(m.fd, (int) kvm.KVM_GET_DIRTY_LOG(), s));
        }
    }

    private static long dirty(KvmMachine m, int slot) {
        MemorySegment bitmap = m.memory(1);
        MemorySegment s = m.struct(16);
        s.set(ValueLayout.JAVA_INT, 0, slot);
        s.set(ValueLayout.JAVA_LONG, 8, bitmap.address());
        ok(m.sys.ioctl(m.fd, (int) kvm.KVM_GET_DIRTY_LOG(), s));
        return bitmap.get(ValueLayout.JAVA_LONG, 0);
    }

    @EveryKernel
    void immediateExit(KernelUnderTest kernel) {
        try (KvmMachine m = new KvmMachine(kernel, KvmMachine.DEFAULT)) {
            guest(m, "ebfe"); // jmp $
            KvmVcpu v = m.vcpu(0).realMode(CODE);
            kvm_run.immediate_exit(v.run, (byte) 1);
            fails(Errno.EINTR, v.run());
            fails(Errno.EINVAL, m.sys.ioctl(v.fd, kvm.KVM_RUN(), 1L));
        }
    }

    @EveryKernel
    void aSignalThatOnlyRunLetsThroughEndsIt(KernelUnderTest kernel) throws InterruptedException {
        try (KvmMachine m = new KvmMachine(kernel, KvmMachine.DEFAULT)) {
            int signal = Linux.SIGRTMIN + 5;
            long bit = 1L << (signal - 1);
            MemorySegment memory = guest(m, "ff060020 ebfa"); // inc word [0x2000]; jmp
            KvmVcpu v = m.vcpu(0).realMode(CODE);
            AtomicInteger tid = new AtomicInteger();
            AtomicInteger answer = new AtomicInteger();
            AtomicInteger reason = new AtomicInteger();
            AtomicInteger taken = new AtomicInteger();
            CountDownLatch ready = new CountDownLatch(1);
            Thread runner = new Thread(() -> {
                MemorySegment set = m.struct(8);
                set.set(ValueLayout.JAVA_LONG, 0, bit);
                MemorySegment old = m.struct(8);
                ok(m.sys.sigprocmask(Linux.SIG_BLOCK, set, old));
                MemorySegment mask = m.struct(16);
                kvm_signal_mask.len(mask, 8);
                mask.set(ValueLayout.JAVA_LONG_UNALIGNED, 4, old.get(ValueLayout.JAVA_LONG, 0) & ~bit);
                ok(m.sys.ioctl(v.fd, (int) kvm.KVM_SET_SIGNAL_MASK(), mask));
                tid.set(m.sys.gettid());
                ready.countDown();
                answer.set(v.run());
                reason.set(v.exit());
                taken.set(m.sys.sigtimedwait(set, 0));
            });
            runner.start();
            ready.await();
            while ((short) ValueLayout.JAVA_SHORT.varHandle().getVolatile(memory, 0x2000L) == 0) {
                Thread.onSpinWait();
            }
            ok(m.sys.tgkill(m.sys.getpid(), tid.get(), signal));
            runner.join();
            assertEquals(-Errno.EINTR, answer.get());
            assertEquals(INTR, reason.get());
            assertEquals(signal, taken.get(), "the signal stays pending");
        }
    }

    @EveryKernel
    void interruptsFromUserSpace(KernelUnderTest kernel) {
        try (KvmMachine m = new KvmMachine(kernel, KvmMachine.DEFAULT)) {
            // cli; out 0x10,al; sti; in al,0x12; hlt      handler: mov al,0x66; out 0x11,al; iret
            MemorySegment memory = guest(m, "fa e610 fb e412 f4");
            put(memory, 0x1100, "b066 e611 cf");
            memory.set(ValueLayout.JAVA_INT, 0x40 * 4, 0x1100);
            KvmVcpu v = m.vcpu(0).realMode(CODE);
            v.runTo(IO);
            assertEquals(0, kvm_run.ready_for_interrupt_injection(v.run));
            assertEquals(0, kvm_run.if_flag(v.run));
            kvm_run.request_interrupt_window(v.run, (byte) 1);
            v.runTo(IO);
            ok(v.run());
            assumeTrue(v.exit() != HLT, "a KVM that interprets real mode opens no interrupt window before a hlt");
            assertEquals(IRQ_WINDOW_OPEN, v.exit());
            assertEquals(1, kvm_run.ready_for_interrupt_injection(v.run));
            assertEquals(1, kvm_run.if_flag(v.run));
            kvm_run.request_interrupt_window(v.run, (byte) 0);
            MemorySegment s = m.struct(kvm_interrupt.sizeof());
            kvm_interrupt.irq(s, 256);
            fails(Errno.EINVAL, m.sys.ioctl(v.fd, (int) kvm.KVM_INTERRUPT(), s));
            kvm_interrupt.irq(s, 0x40);
            ok(m.sys.ioctl(v.fd, (int) kvm.KVM_INTERRUPT(), s));
            v.runTo(IO);
            assertEquals(0x11, kvm_run.io.port(kvm_run.io(v.run)));
            assertEquals(0x66, v.data.get(ValueLayout.JAVA_BYTE, 0));
            v.runTo(HLT);
        }
    }

    @EveryKernel
    void registersKeepWhatIsSet(KernelUnderTest kernel) {
        try (KvmMachine m = new KvmMachine(kernel, KvmMachine.DEFAULT)) {
            KvmVcpu v = m.vcpu(0);
            assertEquals(0xfff0, kvm_regs.rip(v.regs()));
            assertEquals(2, kvm_regs.rflags(v.regs()));
            MemorySegment s = v.sregs();
            assertEquals(0xf000, kvm_segment.selector(kvm_sregs.cs(s)) & 0xffff);
            assertEquals(0xffff0000L, kvm_segment.base(kvm_sregs.cs(s)));
            assertEquals(0x60000010L, kvm_sregs.cr0(s));
            MemorySegment r = v.regs();
            for (int i = 0; i < 16; i++) {
                r.set(ValueLayout.JAVA_LONG, i * 8L, 0x1111111111111111L * i);
            }
            v.setRegs();
            r.fill((byte) 0);
            v.regs();
            for (int i = 0; i < 16; i++) {
                assertEquals(0x1111111111111111L * i, r.get(ValueLayout.JAVA_LONG, i * 8L));
            }
            kvm_sregs.cr0(v.sregs(), 1L << 40);
            fails(Errno.EINVAL, v.trySetSregs());
            kvm_sregs.cr0(v.sregs(), 0x80000010L);
            fails(Errno.EINVAL, v.trySetSregs());
            kvm_segment.l(kvm_sregs.cs(v.sregs()), (byte) 1);
            fails(Errno.EINVAL, v.trySetSregs());
        }
    }
}
