// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract;

import dev.alcove.bindings.kvm.kvm;
import dev.alcove.bindings.kvm.kvm_pre_fault_memory;
import dev.alcove.bindings.kvm.kvm_regs;
import dev.alcove.bindings.kvm.kvm_run;
import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.VarHandle;
import java.util.HexFormat;
import java.util.Random;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.junit.jupiter.api.Timeout;

import static dev.alcove.contract.Checks.ok;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

/** A vCPU stores without pause while memory is taken away under it: nothing is written that was taken away. */
@Surface("guest_memfd")
@Timeout(120)
final class KvmInvalidationContractTest {
    private static final long PAGE = KvmMachine.PAGE;
    private static final long CODE = 0x1000;
    private static final long TABLES = 0x4000;
    private static final long RAM = 0x100000;
    private static final int ROUNDS = 40;
    private static final VarHandle LONG = ValueLayout.JAVA_LONG.varHandle();

    /** Where a value other than 0 ends the guest. */
    private static final long STOP = 0x3008;

    /** inc qword [rdi]; inc qword [rsi]; cmp qword [STOP],0; je back; hlt. */
    private static final String COUNT = "48ff07 48ff06 48833c250830000000 74ef f4";

    private static KvmVcpu start(KvmMachine m, MemorySegment low, long rdi, long rsi) {
        byte[] bytes = HexFormat.of().parseHex(COUNT.replace(" ", ""));
        MemorySegment.copy(bytes, 0, low, ValueLayout.JAVA_BYTE, CODE, bytes.length);
        KvmVcpu v = m.vcpu(0).longMode(low, TABLES, CODE);
        MemorySegment r = v.regs();
        kvm_regs.rdi(r, rdi);
        kvm_regs.rsi(r, rsi);
        v.setRegs();
        return v;
    }

    private static long read(MemorySegment memory, long at) {
        return (long) LONG.getVolatile(memory, at);
    }

    /** Waits until the guest has counted on. */
    private static void await(MemorySegment memory, long at, Future<?> running) {
        long now = read(memory, at);
        while (read(memory, at) == now) {
            assertTrue(!running.isDone(), "the guest has stopped");
            Thread.onSpinWait();
        }
    }

    /**
     * A page that is converted in the middle of a fault may come back as a memory fault: user space tries again. A page
     * without slot is a device that answers anything.
     */
    private static int run(KvmVcpu v) {
        int answer;
        do {
            answer = v.run();
        } while ((answer == -Errno.EFAULT && v.exit() == KvmVcpu.MEMORY_FAULT)
                || (answer == 0 && v.exit() == KvmVcpu.MMIO));
        return answer;
    }

    /** What is done again and again while the guest runs. */
    private interface Round {
        void play(Future<Integer> running, int round);
    }

    /** Runs the guest meanwhile. */
    private static void meanwhile(MemorySegment low, KvmVcpu v, Round body) throws Exception {
        try (ExecutorService threads = Executors.newSingleThreadExecutor()) {
            Future<Integer> running = threads.submit(() -> run(v));
            try {
                for (int round = 0; round < ROUNDS; round++) {
                    body.play(running, round);
                }
            } finally {
                LONG.setVolatile(low, STOP, 1L);
                running.get();
            }
        }
    }

    @EveryKernel
    void anAttributeThatIsChangedHoldsAtOnce(KernelUnderTest kernel) throws Exception {
        long seed = 20261120;
        Random random = new Random(seed);
        try (KvmMachine m = new KvmMachine(kernel, KvmMachine.SW_PROTECTED)) {
            MemorySegment low = m.memory(16);
            ok(m.region1(0, 0, 0, 16 * PAGE, low.address()));
            MemorySegment shared = m.memory(16);
            int gmem = m.own(m.gmem(16 * PAGE, 0));
            ok(m.region(1, KvmMachine.GMEM, RAM, 16 * PAGE, shared.address(), gmem, 0));
            KvmVcpu v = start(m, low, RAM, 0x3000);
            meanwhile(low, v, (running, round) -> {
                await(low, 0x3000, running);
                long pages = 1L + random.nextInt(16);
                ok(m.attributes(RAM, pages * PAGE, KvmMachine.PRIVATE, 0));
                long value = read(shared, 0);
                await(low, 0x3000, running);
                await(low, 0x3000, running);
                assertEquals(value, read(shared, 0), "round " + round + " of seed " + seed);
                if (random.nextBoolean()) {
                    ok(m.punch(gmem, 0, pages * PAGE));
                }
                ok(m.attributes(RAM, pages * PAGE, 0, 0));
                await(shared, 0, running);
            });
        }
    }

    @EveryKernel
    void aPunchedPageStartsFromZero(KernelUnderTest kernel) throws Exception {
        try (KvmMachine m = new KvmMachine(kernel, KvmMachine.DEFAULT)) {
            kernel.needs("mappable guest_memfd", m.has(244) == 3 ? 0 : -Errno.EINVAL);
            MemorySegment low = m.memory(16);
            ok(m.region1(0, 0, 0, 16 * PAGE, low.address()));
            int gmem = m.own(m.gmem(16 * PAGE, KvmMachine.FLAG_MMAP | KvmMachine.FLAG_INIT_SHARED));
            MemorySegment file = m.map(16, Linux.MAP_SHARED, gmem);
            ok(m.region(1, KvmMachine.GMEM, RAM, 16 * PAGE, file.address(), gmem, 0));
            KvmVcpu v = start(m, low, RAM + 8, 0x3000);
            meanwhile(low, v, (running, round) -> {
                await(file, 8, running);
                file.set(ValueLayout.JAVA_LONG, 16, round);
                ok(m.punch(gmem, 0, PAGE));
                assertEquals(0, read(file, 16), "round " + round);
                await(file, 8, running);
            });
        }
    }

    @EveryKernel
    void memoryThatIsUnmappedIsNotWritten(KernelUnderTest kernel) throws Exception {
        try (KvmMachine m = new KvmMachine(kernel, KvmMachine.DEFAULT)) {
            MemorySegment low = m.memory(16);
            ok(m.region1(0, 0, 0, 16 * PAGE, low.address()));
            int file = m.own(m.sys.memfdCreate("ram", 0));
            ok(m.sys.ftruncate(file, 16 * PAGE));
            MemorySegment view = m.map(16, Linux.MAP_SHARED, file);
            MemorySegment ram = m.map(16, Linux.MAP_SHARED, file);
            ok(m.region1(1, 0, RAM, 16 * PAGE, ram.address()));
            KvmVcpu v = start(m, low, RAM, 0x3000);
            meanwhile(low, v, (running, round) -> {
                await(view, 0, running);
                long there = m.sys.mmap(
                        ram.address(), PAGE, KvmMachine.RW, Linux.MAP_SHARED | Linux.MAP_FIXED, file, PAGE);
                assertEquals(ram.address(), there);
                long value = read(view, 0);
                await(low, 0x3000, running);
                await(low, 0x3000, running);
                assertEquals(value, read(view, 0), "round " + round);
                there = m.sys.mmap(ram.address(), PAGE, KvmMachine.RW, Linux.MAP_SHARED | Linux.MAP_FIXED, file, 0);
                assertEquals(ram.address(), there);
            });
            assertEquals(0, kvm_run.immediate_exit(v.run));
        }
    }

    @EveryKernel
    void aSlotThatMovesAwayIsADeviceUntilItComesBack(KernelUnderTest kernel) throws Exception {
        try (KvmMachine m = new KvmMachine(kernel, KvmMachine.DEFAULT)) {
            MemorySegment low = m.memory(16);
            ok(m.region1(0, 0, 0, 16 * PAGE, low.address()));
            MemorySegment ram = m.memory(1);
            ok(m.region1(1, 0, RAM, PAGE, ram.address()));
            KvmVcpu v = start(m, low, RAM, 0x3000);
            meanwhile(low, v, (running, round) -> {
                await(ram, 0, running);
                ok(m.region1(1, 0, RAM + PAGE, PAGE, ram.address()));
                long value = read(ram, 0);
                await(low, 0x3000, running);
                await(low, 0x3000, running);
                assertEquals(value, read(ram, 0), "round " + round);
                ok(m.region1(1, 0, RAM, PAGE, ram.address()));
            });
        }
    }

    @EveryKernel
    void aSlotThatIsDeletedIsADeviceUntilItComesBack(KernelUnderTest kernel) throws Exception {
        try (KvmMachine m = new KvmMachine(kernel, KvmMachine.DEFAULT)) {
            MemorySegment low = m.memory(16);
            ok(m.region1(0, 0, 0, 16 * PAGE, low.address()));
            MemorySegment ram = m.memory(1);
            ok(m.region1(1, 0, RAM, PAGE, ram.address()));
            KvmVcpu v = start(m, low, RAM, 0x3000);
            meanwhile(low, v, (running, round) -> {
                await(ram, 0, running);
                ok(m.region1(1, 0, RAM, 0, 0));
                long value = read(ram, 0);
                await(low, 0x3000, running);
                await(low, 0x3000, running);
                assertEquals(value, read(ram, 0), "round " + round);
                ok(m.region1(1, 0, RAM, PAGE, ram.address()));
            });
        }
    }

    @EveryKernel
    void preFaultsWhileTheSlotComesAndGoes(KernelUnderTest kernel) throws Exception {
        try (KvmGuest g = KvmGuest.protectedOne(kernel);
                ExecutorService threads = Executors.newSingleThreadExecutor()) {
            boolean blocks = KvmMachine.before(g.m.sys, 6, 18);
            kernel.needs("pre-faults that give way to a slot's deletion", blocks ? -Errno.EAGAIN : 0);
            g.makePrivate(RAM, KvmGuest.PAGES);
            Future<?> slots = threads.submit(() -> {
                for (int round = 0; round < ROUNDS; round++) {
                    ok(g.m.region(1, KvmMachine.GMEM, RAM, 0, 0, -1, 0));
                    ok(g.m.region(
                            1, KvmMachine.GMEM, RAM, KvmGuest.PAGES * PAGE, g.shared.address(), g.gmem, 0));
                }
            });
            MemorySegment s = g.m.struct(kvm_pre_fault_memory.sizeof());
            boolean last = false;
            while (!last) {
                last = slots.isDone();
                kvm_pre_fault_memory.gpa(s, RAM);
                kvm_pre_fault_memory.size(s, KvmGuest.PAGES * PAGE);
                int answer = g.m.sys.ioctl(g.v.fd, (int) kvm.KVM_PRE_FAULT_MEMORY(), s);
                // No slot, no guest_memfd behind it any more, or a slot on its way out.
                boolean expected = answer == 0 || answer == -Errno.EFAULT || answer == -Errno.EAGAIN;
                assertTrue(expected, Errno.name(answer));
                long moved = kvm_pre_fault_memory.gpa(s) - RAM;
                assertEquals(KvmGuest.PAGES * PAGE, moved + kvm_pre_fault_memory.size(s));
                assertEquals(answer == 0, moved != 0);
            }
            slots.get();
            assertEquals(0, kvm_pre_fault_memory.size(s), "the slot is there to stay");
        }
    }
}
