// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract;

import dev.alcove.bindings.kvm.kvm;
import dev.alcove.bindings.kvm.kvm_irq_routing;
import dev.alcove.bindings.kvm.kvm_irq_routing_entry;
import dev.alcove.bindings.kvm.kvm_irq_routing_msi;
import dev.alcove.bindings.kvm.kvm_irqfd;
import dev.alcove.bindings.kvm.kvm_msi;
import dev.alcove.bindings.kvm.kvm_regs;
import dev.alcove.bindings.kvm.kvm_run;
import dev.alcove.sys.Errno;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.HexFormat;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.junit.jupiter.api.Timeout;

import static dev.alcove.contract.Checks.fails;
import static dev.alcove.contract.Checks.fd;
import static dev.alcove.contract.Checks.ok;
import static org.junit.jupiter.api.Assertions.assertEquals;

/** Local APICs in the kernel with a split irqchip: messages, eventfds, start of a second processor, the timer. */
@Surface("interrupts")
@Timeout(60)
final class KvmInterruptContractTest {
    private static final long PAGE = KvmMachine.PAGE;
    private static final int IO = 2;
    private static final int SPLIT_IRQCHIP = 121;
    private static final long CODE = 0x1000;
    private static final int VECTOR = 0x40;

    private static KvmMachine machine(KernelUnderTest kernel) {
        KvmMachine m = new KvmMachine(kernel, KvmMachine.DEFAULT);
        int answer = m.enable(SPLIT_IRQCHIP, 24);
        if (answer < 0) {
            m.close();
        }
        kernel.needs("a split irqchip", answer);
        return m;
    }

    private static MemorySegment guest(KvmMachine m) {
        MemorySegment memory = m.memory(16);
        ok(m.region1(0, 0, 0, 16 * PAGE, memory.address()));
        return memory;
    }

    private static void put(MemorySegment memory, long at, String hex) {
        byte[] bytes = HexFormat.of().parseHex(hex.replace(" ", ""));
        MemorySegment.copy(bytes, 0, memory, ValueLayout.JAVA_BYTE, at, bytes.length);
    }

    /** sti; hlt; jmp to the hlt. The handler: mov al,0x77; out 0x10,al; iret. */
    private static KvmVcpu waiter(KvmMachine m, MemorySegment memory) {
        put(memory, CODE, "fb f4 ebfd");
        put(memory, 0x1100, "b077 e610 cf");
        memory.set(ValueLayout.JAVA_INT, VECTOR * 4, 0x1100);
        KvmVcpu v = m.vcpu(0).realMode(CODE);
        register(m, v, 0xf0, 0x1ff);
        return v;
    }

    /** Sets one register of a local APIC. */
    private static void register(KvmMachine m, KvmVcpu v, long offset, int value) {
        MemorySegment page = m.struct(1024);
        ok(m.sys.ioctl(v.fd, (int) kvm.KVM_GET_LAPIC(), page));
        page.set(ValueLayout.JAVA_INT, offset, value);
        ok(m.sys.ioctl(v.fd, (int) kvm.KVM_SET_LAPIC(), page));
    }

    /** Bit 24 of the version register: there is no I/O APIC in the kernel that every EOI would have to reach. */
    @EveryKernel
    void aGuestWithX2apicMayLeaveTheBroadcastOfItsEndsOut(KernelUnderTest kernel) {
        try (KvmMachine m = machine(kernel)) {
            guest(m);
            KvmVcpu v = m.vcpu(0).realMode(CODE); // with all of the supported CPUID
            MemorySegment page = m.struct(1024);
            ok(m.sys.ioctl(v.fd, (int) kvm.KVM_GET_LAPIC(), page));
            assertEquals(1 << 24 | 5 << 16 | 0x14, page.get(ValueLayout.JAVA_INT, 0x30));
        }
    }

    private static void interrupted(KvmVcpu v) {
        v.runTo(IO);
        assertEquals(0x10, kvm_run.io.port(kvm_run.io(v.run)));
        assertEquals(0x77, v.data.get(ValueLayout.JAVA_BYTE, 0));
    }

    private static int msi(KvmMachine m, int address, int data) {
        MemorySegment s = m.struct(kvm_msi.sizeof());
        kvm_msi.address_lo(s, address);
        kvm_msi.data(s, data);
        return m.sys.ioctl(m.fd, (int) kvm.KVM_SIGNAL_MSI(), s);
    }

    @EveryKernel
    void theSplitIrqchipIsChosenOnce(KernelUnderTest kernel) {
        try (KvmMachine m = machine(kernel)) {
            fails(Errno.EEXIST, m.enable(SPLIT_IRQCHIP, 24));
        }
    }

    @EveryKernel
    void theSplitIrqchipIsChosenBeforeTheFirstVcpu(KernelUnderTest kernel) {
        try (KvmMachine m = new KvmMachine(kernel, KvmMachine.DEFAULT)) {
            kernel.needs("a split irqchip", m.has(SPLIT_IRQCHIP) == 0 ? -Errno.EINVAL : 0);
            m.vcpu(0);
            fails(Errno.EEXIST, m.enable(SPLIT_IRQCHIP, 24));
        }
    }

    @EveryKernel
    void theReservedPinsAreLimited(KernelUnderTest kernel) {
        try (KvmMachine m = machine(kernel)) {
            fails(Errno.EINVAL, m.enable(SPLIT_IRQCHIP, 1 << 20));
            fails(Errno.EINVAL, m.enable(SPLIT_IRQCHIP, -1));
        }
    }

    @EveryKernel
    void messagesNeedAnIrqchip(KernelUnderTest kernel) {
        try (KvmMachine m = new KvmMachine(kernel, KvmMachine.DEFAULT)) {
            fails(Errno.EINVAL, m.sys.ioctl(m.fd, (int) kvm.KVM_SIGNAL_MSI(), m.struct(kvm_msi.sizeof())));
            fails(Errno.EINVAL, m.sys.ioctl(m.fd, (int) kvm.KVM_SET_GSI_ROUTING(), m.struct(8)));
        }
    }

    @EveryKernel
    void messagesNeedAPointer(KernelUnderTest kernel) {
        try (KvmMachine m = machine(kernel)) {
            long bad = KvmMachine.BAD_POINTER;
            fails(Errno.EFAULT, m.sys.ioctl(m.fd, (int) kvm.KVM_SIGNAL_MSI(), bad));
            fails(Errno.EFAULT, m.sys.ioctl(m.fd, (int) kvm.KVM_SET_GSI_ROUTING(), bad));
            fails(Errno.EFAULT, m.sys.ioctl(m.fd, (int) kvm.KVM_IRQFD(), bad));
        }
    }

    @EveryKernel
    void aMessageToNobodyIsEperm(KernelUnderTest kernel) {
        try (KvmMachine m = machine(kernel)) {
            MemorySegment s = m.struct(kvm_msi.sizeof());
            fails(Errno.EPERM, m.sys.ioctl(m.fd, (int) kvm.KVM_SIGNAL_MSI(), s));
            kvm_msi.flags(s, 1);
            fails(Errno.EPERM, m.sys.ioctl(m.fd, (int) kvm.KVM_SIGNAL_MSI(), s));
        }
    }

    @EveryKernel
    void aMessageHasOneFlag(KernelUnderTest kernel) {
        try (KvmMachine m = machine(kernel)) {
            MemorySegment s = m.struct(kvm_msi.sizeof());
            kvm_msi.flags(s, 2);
            fails(Errno.EINVAL, m.sys.ioctl(m.fd, (int) kvm.KVM_SIGNAL_MSI(), s));
        }
    }

    private static int irqFd(KvmMachine m, int file, int gsi, int flags) {
        MemorySegment s = m.struct(kvm_irqfd.sizeof());
        kvm_irqfd.fd(s, file);
        kvm_irqfd.gsi(s, gsi);
        kvm_irqfd.flags(s, flags);
        return m.sys.ioctl(m.fd, (int) kvm.KVM_IRQFD(), s);
    }

    @EveryKernel
    void anIrqfdNeedsAnEventfd(KernelUnderTest kernel) {
        try (KvmMachine m = machine(kernel)) {
            fails(Errno.EBADF, irqFd(m, -1, 0, 0));
            fails(Errno.EINVAL, irqFd(m, m.kvmFd, 0, 0));
            fails(Errno.EBADF, irqFd(m, -1, 0, 1));
        }
    }

    @EveryKernel
    void anIrqfdHasTwoFlags(KernelUnderTest kernel) {
        try (KvmMachine m = machine(kernel)) {
            int event = m.own(fd(m.sys.eventfd(0, 0)));
            fails(Errno.EINVAL, irqFd(m, event, 0, 4));
            fails(Errno.EINVAL, irqFd(m, event, 0, 8));
            fails(Errno.EINVAL, irqFd(m, -1, 0, 8));
        }
    }

    @EveryKernel
    void anIrqfdIsAssignedOnce(KernelUnderTest kernel) {
        try (KvmMachine m = machine(kernel)) {
            int event = m.own(fd(m.sys.eventfd(0, 0)));
            ok(irqFd(m, event, 30, 0));
            fails(Errno.EBUSY, irqFd(m, event, 30, 0));
            fails(Errno.EBUSY, irqFd(m, event, 31, 0));
            ok(irqFd(m, event, 30, 1));
            ok(irqFd(m, event, 31, 0));
        }
    }

    @EveryKernel
    void anIrqfdThatIsNotThereIsDeassignedWithoutError(KernelUnderTest kernel) {
        try (KvmMachine m = machine(kernel)) {
            ok(irqFd(m, m.own(fd(m.sys.eventfd(0, 0))), 30, 1));
        }
    }

    @EveryKernel
    void anIrqfdsPinMayBeOneWithoutARoute(KernelUnderTest kernel) {
        try (KvmMachine m = machine(kernel)) {
            int event = m.own(fd(m.sys.eventfd(0, 0)));
            ok(irqFd(m, event, m.has(25), 0));
            ok(irqFd(m, event, m.has(25), 1));
            ok(irqFd(m, event, -1, 0));
        }
    }

    @EveryKernel
    void anIrqfdNeedsAnIrqchip(KernelUnderTest kernel) {
        try (KvmMachine m = new KvmMachine(kernel, KvmMachine.DEFAULT)) {
            int event = m.own(fd(m.sys.eventfd(0, 0)));
            fails(Errno.EINVAL, irqFd(m, event, 0, 0));
            fails(Errno.EINVAL, irqFd(m, -1, 0, 0));
            fails(Errno.EBADF, irqFd(m, -1, 0, 1));
            ok(irqFd(m, event, 0, 1));
        }
    }

    @EveryKernel
    void resamplingNeedsThePinsInTheKernel(KernelUnderTest kernel) {
        try (KvmMachine m = machine(kernel)) {
            int event = m.own(fd(m.sys.eventfd(0, 0)));
            fails(Errno.EINVAL, irqFd(m, event, 0, 2));
            fails(Errno.EINVAL, irqFd(m, -1, 0, 2));
            ok(irqFd(m, event, 0, 3));
        }
    }

    @EveryKernel
    void anIrqfdEndsWithItsMachine(KernelUnderTest kernel) {
        try (KvmMachine m = machine(kernel)) {
            int other = (int) ok(m.sys.ioctl(m.kvmFd, kvm.KVM_CREATE_VM(), 0L));
            MemorySegment cap = m.struct(104);
            cap.set(ValueLayout.JAVA_INT, 0, SPLIT_IRQCHIP);
            cap.set(ValueLayout.JAVA_LONG, 8, 24);
            ok(m.sys.ioctl(other, (int) kvm.KVM_ENABLE_CAP(), cap));
            int event = m.own(fd(m.sys.eventfd(0, 0)));
            MemorySegment s = m.struct(kvm_irqfd.sizeof());
            kvm_irqfd.fd(s, event);
            ok(m.sys.ioctl(other, (int) kvm.KVM_IRQFD(), s));
            ok(m.sys.close(other));
            MemorySegment one = m.struct(8);
            one.set(ValueLayout.JAVA_LONG, 0, 1);
            assertEquals(8, m.sys.write(event, one));
            assertEquals(8, m.sys.read(event, one), "nobody takes the signal any more");
        }
    }

    @EveryKernel
    void aMessageEndsAHalt(KernelUnderTest kernel) {
        try (KvmMachine m = machine(kernel)) {
            KvmVcpu v = waiter(m, guest(m));
            assertEquals(1, msi(m, 0xfee00000, VECTOR));
            interrupted(v);
            assertEquals(1, msi(m, 0xfee00000, 3), "the APIC takes what its processor never will");
            assertEquals(0, msi(m, 0xfee07000, VECTOR), "nobody has this number");
        }
    }

    @EveryKernel
    void anEventfdEndsAHalt(KernelUnderTest kernel) throws Exception {
        try (KvmMachine m = machine(kernel);
                ExecutorService threads = Executors.newSingleThreadExecutor()) {
            KvmVcpu v = waiter(m, guest(m));
            int event = m.own(fd(m.sys.eventfd(0, 0)));
            MemorySegment routing = m.struct(kvm_irq_routing.sizeof() + kvm_irq_routing_entry.sizeof());
            kvm_irq_routing.nr(routing, 1);
            MemorySegment entry = routing.asSlice(kvm_irq_routing.sizeof());
            kvm_irq_routing_entry.gsi(entry, 30);
            kvm_irq_routing_entry.type(entry, 2);
            MemorySegment target = kvm_irq_routing_entry.u.msi(kvm_irq_routing_entry.u(entry));
            kvm_irq_routing_msi.address_lo(target, 0xfee00000);
            kvm_irq_routing_msi.data(target, VECTOR);
            ok(m.sys.ioctl(m.fd, (int) kvm.KVM_SET_GSI_ROUTING(), routing));
            MemorySegment irqFd = m.struct(kvm_irqfd.sizeof());
            kvm_irqfd.fd(irqFd, event);
            kvm_irqfd.gsi(irqFd, 30);
            ok(m.sys.ioctl(m.fd, (int) kvm.KVM_IRQFD(), irqFd));
            fails(Errno.EBUSY, m.sys.ioctl(m.fd, (int) kvm.KVM_IRQFD(), irqFd));
            Future<?> running = threads.submit(() -> interrupted(v));
            MemorySegment one = m.struct(8);
            one.set(ValueLayout.JAVA_LONG, 0, 1);
            assertEquals(8, m.sys.write(event, one));
            running.get();
            kvm_irqfd.flags(irqFd, 1);
            ok(m.sys.ioctl(m.fd, (int) kvm.KVM_IRQFD(), irqFd));
            ok(m.sys.ioctl(m.fd, (int) kvm.KVM_IRQFD(), irqFd));
            assertEquals(8, m.sys.write(event, one));
            assertEquals(8, m.sys.read(event, one), "nobody takes the signal any more");
        }
    }

    @EveryKernel
    void theTimerEndsAHalt(KernelUnderTest kernel) {
        try (KvmMachine m = machine(kernel)) {
            KvmVcpu v = waiter(m, guest(m));
            register(m, v, 0x320, VECTOR);
            register(m, v, 0x3e0, 0xb);
            register(m, v, 0x380, 1_000_000);
            interrupted(v);
        }
    }

    @EveryKernel
    void initAndStartupMessagesStartAProcessor(KernelUnderTest kernel) throws Exception {
        try (KvmMachine m = machine(kernel);
                ExecutorService threads = Executors.newSingleThreadExecutor()) {
            MemorySegment memory = guest(m);
            put(memory, 0x3000, "b042 e610 f4"); // mov al,0x42; out 0x10,al; hlt
            KvmVcpu boot = m.vcpu(0);
            KvmVcpu second = m.vcpu(1);
            assertEquals(0, boot.mpState());
            assertEquals(1, second.mpState(), "waits for INIT");
            // mov dword [rdi+0x300],INIT to all others; then STARTUP with vector 3; out 0x11,al
            put(memory, CODE, "c78700030000 00450c00 c78700030000 03460c00 e611 f4");
            boot.longMode(memory, 0x4000, CODE);
            MemorySegment r = boot.regs();
            kvm_regs.rdi(r, 0xfee00000L);
            boot.setRegs();
            Future<Integer> started = threads.submit(() -> {
                int answer;
                do {
                    answer = second.run();
                } while (answer == -Errno.EAGAIN);
                return answer;
            });
            boot.runTo(IO);
            assertEquals(0x11, kvm_run.io.port(kvm_run.io(boot.run)));
            assertEquals(0, started.get());
            assertEquals(IO, second.exit());
            assertEquals(0x42, second.data.get(ValueLayout.JAVA_BYTE, 0));
            assertEquals(0, second.mpState());
        }
    }
}
