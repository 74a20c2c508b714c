// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract;

import dev.alcove.bindings.kvm.kvm;
import dev.alcove.bindings.kvm.kvm_dtable;
import dev.alcove.bindings.kvm.kvm_pre_fault_memory;
import dev.alcove.bindings.kvm.kvm_run;
import dev.alcove.bindings.kvm.kvm_sregs;
import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import dev.alcove.sys.UserMappings;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import org.junit.jupiter.api.Timeout;

import static dev.alcove.contract.Checks.fails;
import static dev.alcove.contract.Checks.ok;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

/** Rules that concern several parts of a machine at once. */
@Surface("kvm memslots")
@Timeout(120)
final class KvmRulesContractTest {
    private static final long PAGE = KvmMachine.PAGE;
    private static final long GIB = 1L << 30;

    /** Guest address without memory that the tables of {@link KvmGuest} map. */
    private static final long DEVICE = 0xc0000000L;

    private static void read(KvmGuest g) {
        g.start(KvmGuest.LOAD, DEVICE, 0);
        g.v.runTo(KvmVcpu.MMIO);
        g.v.runTo(KvmVcpu.HLT);
    }

    @EveryKernel
    void aMoveThatFailsIsAChangeOfTheSlotsToo(KernelUnderTest kernel) {
        try (KvmGuest g = KvmGuest.protectedOne(kernel)) {
            MemorySegment more = g.m.memory(1);
            ok(g.m.region1(2, 0, 0x800000, PAGE, more.address()));
            read(g);
            ok(g.m.attributes(DEVICE, PAGE, KvmMachine.PRIVATE, 0));
            read(g); // the guest's way to a device is remembered
            fails(Errno.EINVAL, g.m.region1(2, 0, 1L << 52, PAGE, more.address()));
            g.loadFaults(DEVICE, false);
        }
    }

    @EveryKernel
    void aPreFaultOfALoggedSlot(KernelUnderTest kernel) {
        try (KvmRealGuest g = new KvmRealGuest(kernel)) {
            g.m.needs(236, "KVM_CAP_PRE_FAULT_MEMORY");
            MemorySegment ram = g.m.memory(8);
            ok(g.m.region1(1, KvmMachine.LOG_DIRTY, 0x20000, 8 * PAGE, ram.address()));
            MemorySegment s = g.m.struct(kvm_pre_fault_memory.sizeof());
            kvm_pre_fault_memory.gpa(s, 0x20000);
            kvm_pre_fault_memory.size(s, 4 * PAGE);
            ok(g.m.sys.ioctl(g.v.fd, (int) kvm.KVM_PRE_FAULT_MEMORY(), s));
            assertEquals(0, g.m.dirtyLog(1), "memory that the user has not touched");
            g.halts("26 8807 f4", 0x21000, 1); // mov es:[bx],al; hlt
            assertEquals(2, g.m.dirtyLog(1), "after a store");
        }
    }

    @EveryKernel
    void capabilitiesOfAVcpu(KernelUnderTest kernel) {
        try (KvmRealGuest g = new KvmRealGuest(kernel)) {
            fails(Errno.EFAULT, g.m.sys.ioctl(g.v.fd, (int) kvm.KVM_ENABLE_CAP(), KvmMachine.BAD_POINTER));
            fails(Errno.EINVAL, g.m.sys.ioctl(g.v.fd, (int) kvm.KVM_ENABLE_CAP(), g.m.struct(104)));
        }
    }

    @EveryKernel
    void theFrequencyOfTheTimeStampCounter(KernelUnderTest kernel) {
        try (KvmRealGuest g = new KvmRealGuest(kernel)) {
            // What a new vCPU has was measured when KVM began; the kernel may know better by now, 0 is what it knows.
            ok(g.m.sys.ioctl(g.v.fd, kvm.KVM_SET_TSC_KHZ(), 0L));
            int khz = g.m.sys.ioctl(g.v.fd, kvm.KVM_GET_TSC_KHZ(), 0L);
            assertTrue(khz > 0, () -> "kHz " + khz);
            ok(g.m.sys.ioctl(g.v.fd, kvm.KVM_SET_TSC_KHZ(), (long) khz));
            assertEquals(khz, g.m.sys.ioctl(g.v.fd, kvm.KVM_GET_TSC_KHZ(), 0L));
        }
    }

    @EveryKernel
    void theNumberOfShadowPages(KernelUnderTest kernel) {
        try (KvmMachine m = new KvmMachine(kernel, KvmMachine.DEFAULT)) {
            fails(Errno.EINVAL, m.sys.ioctl(m.fd, kvm.KVM_SET_NR_MMU_PAGES(), 0L));
            fails(Errno.EINVAL, m.sys.ioctl(m.fd, kvm.KVM_SET_NR_MMU_PAGES(), 63L));
            ok(m.sys.ioctl(m.fd, kvm.KVM_SET_NR_MMU_PAGES(), 64L));
            ok(m.sys.ioctl(m.fd, kvm.KVM_SET_NR_MMU_PAGES(), 1L << 20));
        }
    }

    @EveryKernel
    void anExceptionWhoseTableIsInDeviceSpace(KernelUnderTest kernel) {
        try (KvmGuest g = KvmGuest.mappable(kernel)) {
            g.start("cc f4"); // int3; hlt
            MemorySegment idt = kvm_sregs.idt(g.v.sregs());
            kvm_dtable.base(idt, DEVICE);
            kvm_dtable.limit(idt, (short) 0xfff);
            ok(g.v.trySetSregs());
            g.v.runTo(KvmVcpu.INTERNAL_ERROR);
            assertEquals(3, kvm_run.internal.suberror(kvm_run.internal(g.v.run)), "KVM_INTERNAL_ERROR_DELIVERY_EV");
        }
    }

    @EveryKernel
    void sixtyFourGibibytesThatNobodyHasTouched(KernelUnderTest kernel) {
        try (KvmGuest g = KvmGuest.mappable(kernel)) {
            long size = 64 * GIB;
            int flags = KvmMachine.ANONYMOUS | Linux.MAP_NORESERVE;
            long answer = g.m.sys.mmap(0, size, KvmMachine.RW, flags, -1, 0);
            kernel.needs("64 GiB of address space", answer);
            MemorySegment memory = UserMappings.segment(answer, size);
            int slot = g.m.region1(5, 0, 4 * GIB, size, answer);
            kernel.needs("68 GiB of physical addresses", slot);
            for (long at : new long[] {0, 17 * GIB + 5 * PAGE, 40 * GIB - 8, 64 * GIB - PAGE}) {
                g.start(KvmGuest.STORE, 4 * GIB + at, at ^ 0x55);
                for (int i = 0; i < 64; i++) {
                    g.low.set(ValueLayout.JAVA_LONG, 0x5000 + (4 + i) * 8L, ((4 + i) * GIB) | 0x87);
                }
                g.v.runTo(KvmVcpu.HLT);
                assertEquals(at ^ 0x55, memory.get(ValueLayout.JAVA_LONG, at));
            }
            ok(g.m.region1(5, 0, 4 * GIB, 0, answer));
            ok(g.m.sys.munmap(answer, size));
        }
    }

    @EveryKernel
    void thousandsOfSlots(KernelUnderTest kernel) {
        try (KvmGuest g = KvmGuest.mappable(kernel)) {
            int count = 4000;
            MemorySegment page = g.m.memory(4);
            MemorySegment s = g.m.struct(32);
            s.set(ValueLayout.JAVA_LONG, 16, PAGE);
            for (int i = 0; i < count; i++) {
                s.set(ValueLayout.JAVA_INT, 0, 100 + i);
                s.set(ValueLayout.JAVA_LONG, 8, DEVICE + 2L * i * PAGE);
                s.set(ValueLayout.JAVA_LONG, 24, page.address() + (i % 4) * PAGE);
                ok(g.m.sys.ioctl(g.m.fd, (int) kvm.KVM_SET_USER_MEMORY_REGION(), s));
            }
            for (int i : new int[] {0, 1, 1999, count - 1}) {
                g.store(DEVICE + 2L * i * PAGE + 16, i + 7);
                assertEquals(i + 7, page.get(ValueLayout.JAVA_LONG, (i % 4) * PAGE + 16));
            }
            g.start(KvmGuest.LOAD, DEVICE + 3999 * PAGE, 0);
            g.v.runTo(KvmVcpu.MMIO);
        }
    }

    @EveryKernel
    void aPunchReachesEverySlotOfTheFile(KernelUnderTest kernel) {
        try (KvmGuest g = KvmGuest.mappable(kernel)) {
            int file = g.m.own(g.m.gmem(8 * PAGE, KvmMachine.FLAG_MMAP | KvmMachine.FLAG_INIT_SHARED));
            MemorySegment shared = g.m.memory(8);
            ok(g.m.region(2, KvmMachine.GMEM, DEVICE, 4 * PAGE, shared.address(), file, 4 * PAGE));
            ok(g.m.region(3, KvmMachine.GMEM, DEVICE + 16 * PAGE, 4 * PAGE, shared.address(), file, 0));
            for (int i = 0; i < 4; i++) {
                g.store(DEVICE + i * PAGE, 100 + i);
                g.store(DEVICE + (16 + i) * PAGE, 200 + i);
            }
            ok(g.m.punch(file, 2 * PAGE, 4 * PAGE));
            for (int i = 0; i < 4; i++) {
                assertEquals(i < 2 ? 0 : 100 + i, g.load(DEVICE + i * PAGE), "slot 2, page " + i);
                assertEquals(i < 2 ? 200 + i : 0, g.load(DEVICE + (16 + i) * PAGE), "slot 3, page " + i);
            }
        }
    }
}
