// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract;

import dev.alcove.bindings.kvm.kvm;
import dev.alcove.bindings.kvm.kvm_clock_data;
import dev.alcove.bindings.kvm.kvm_fpu;
import dev.alcove.bindings.kvm.kvm_sregs;
import dev.alcove.bindings.kvm.kvm_translation;
import dev.alcove.bindings.kvm.kvm_vcpu_events;
import dev.alcove.bindings.kvm.kvm_xcrs;
import dev.alcove.bindings.kvm.kvm_xsave;
import dev.alcove.sys.Errno;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import org.junit.jupiter.api.Timeout;

import static dev.alcove.contract.Checks.fails;
import static dev.alcove.contract.Checks.ok;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

/** The ioctls that read and write a vCPU's registers, beside KVM_GET_REGS and KVM_GET_SREGS. */
@Surface("kvm vcpus")
@Timeout(60)
final class KvmRegisterContractTest {
    private static final long PAGE = KvmMachine.PAGE;
    private static final int XSAVE = 55;
    private static final int XCRS = 56;
    private static final int SREGS2 = 200;
    private static final int XSAVE_HEADER = 512;
    private static final int SREGS2_SIZE = 320;
    private static final int SREGS2_FLAGS = 280;
    private static final int SREGS2_PDPTRS = 288;

    /** A machine with 1 MiB of memory at 0 and a vCPU that need not run. */
    private static final class Guest implements AutoCloseable {
        final KvmMachine m;
        final MemorySegment low;
        final KvmVcpu v;

        Guest(KernelUnderTest kernel) {
            m = new KvmMachine(kernel, KvmMachine.DEFAULT);
            low = m.memory(256);
            ok(m.region1(0, 0, 0, 256 * PAGE, low.address()));
            v = m.vcpu(0);
        }

        int call(long request, MemorySegment s) {
            return m.sys.ioctl(v.fd, (int) request, s);
        }

        MemorySegment get(long request, long size) {
            MemorySegment s = m.struct(size);
            ok(call(request, s));
            return s;
        }

        MemorySegment events() {
            return get(kvm.KVM_GET_VCPU_EVENTS(), kvm_vcpu_events.sizeof());
        }

        @Override
        public void close() {
            m.close();
        }
    }

    private static MemorySegment pattern(MemorySegment s, long from, long bytes) {
        for (long i = 0; i < bytes; i++) {
            s.set(ValueLayout.JAVA_BYTE, from + i, (byte) (i * 7 + 3));
        }
        return s;
    }

    @EveryKernel
    void fpuComesBackButForMxcsr(KernelUnderTest kernel) {
        try (Guest g = new Guest(kernel)) {
            MemorySegment s = g.get(kvm.KVM_GET_FPU(), kvm_fpu.sizeof());
            assertEquals(0x37f, kvm_fpu.fcw(s), "FCW at the start");
            assertEquals(0, kvm_fpu.mxcsr(s), "MXCSR at the start");
            pattern(s, kvm_fpu.xmm$offset(), 256);
            kvm_fpu.fcw(s, (short) 0x27f);
            kvm_fpu.fsw(s, (short) 0x2800);
            kvm_fpu.ftwx(s, (byte) 0xa5);
            kvm_fpu.last_opcode(s, (short) 0x123);
            kvm_fpu.mxcsr(s, 0x1fc0);
            for (int i = 0; i < 8; i++) {
                kvm_fpu.fpr(s).set(ValueLayout.JAVA_LONG, i * 16L, 0x8000000000000000L + i);
                kvm_fpu.fpr(s).set(ValueLayout.JAVA_SHORT, i * 16L + 8, (short) (0x3fff + i));
            }
            ok(g.call(kvm.KVM_SET_FPU(), s));
            MemorySegment back = g.get(kvm.KVM_GET_FPU(), kvm_fpu.sizeof());
            kvm_fpu.mxcsr(s, 0);
            assertEquals(-1, back.mismatch(s));
            fails(Errno.EFAULT, g.m.sys.ioctl(g.v.fd, (int) kvm.KVM_SET_FPU(), KvmMachine.BAD_POINTER));
        }
    }

    @EveryKernel
    void xsaveHoldsFpuAndSse(KernelUnderTest kernel) {
        try (Guest g = new Guest(kernel)) {
            g.m.needs(XSAVE, "KVM_CAP_XSAVE");
            MemorySegment s = g.get(kvm.KVM_GET_XSAVE(), kvm_xsave.sizeof());
            assertEquals(0x37f, s.get(ValueLayout.JAVA_SHORT, 0), "FCW at the start");
            assertEquals(0x1f80, s.get(ValueLayout.JAVA_INT, 24), "MXCSR at the start");
            assertEquals(0, s.get(ValueLayout.JAVA_LONG, XSAVE_HEADER) & ~3, "components at the start");
            pattern(s, 160, 256);
            s.set(ValueLayout.JAVA_INT, 24, 0x1fc0);
            s.set(ValueLayout.JAVA_SHORT, 0, (short) 0x27f);
            s.set(ValueLayout.JAVA_LONG, XSAVE_HEADER, 3);
            ok(g.call(kvm.KVM_SET_XSAVE(), s));
            MemorySegment back = g.get(kvm.KVM_GET_XSAVE(), kvm_xsave.sizeof());
            assertEquals(-1, back.asSlice(0, 28).mismatch(s.asSlice(0, 28)), "FPU");
            assertEquals(-1, back.asSlice(160, 256).mismatch(s.asSlice(160, 256)), "XMM");
            assertEquals(2, back.get(ValueLayout.JAVA_LONG, XSAVE_HEADER) & 2, "components");
            MemorySegment fpu = g.get(kvm.KVM_GET_FPU(), kvm_fpu.sizeof());
            assertEquals(0x27f, kvm_fpu.fcw(fpu));
            assertEquals(-1, kvm_fpu.xmm(fpu).mismatch(s.asSlice(160, 256)), "XMM by KVM_GET_FPU");
        }
    }

    @EveryKernel
    void xsaveRefusesWhatDoesNotExist(KernelUnderTest kernel) {
        try (Guest g = new Guest(kernel)) {
            g.m.needs(XSAVE, "KVM_CAP_XSAVE");
            MemorySegment s = g.get(kvm.KVM_GET_XSAVE(), kvm_xsave.sizeof());
            s.set(ValueLayout.JAVA_LONG, XSAVE_HEADER, 1L << 40 | 3);
            fails(Errno.EINVAL, g.call(kvm.KVM_SET_XSAVE(), s));
            s.set(ValueLayout.JAVA_LONG, XSAVE_HEADER, 3);
            s.set(ValueLayout.JAVA_INT, 24, 0x10000);
            fails(Errno.EINVAL, g.call(kvm.KVM_SET_XSAVE(), s));
            s.set(ValueLayout.JAVA_INT, 24, 0x1f80);
            ok(g.call(kvm.KVM_SET_XSAVE(), s));
        }
    }

    @EveryKernel
    void xsave2IsAtLeastAPage(KernelUnderTest kernel) {
        try (Guest g = new Guest(kernel)) {
            g.m.needs(208, "KVM_CAP_XSAVE2");
            int size = g.m.has(208);
            assertTrue(size >= 4096, () -> "size " + size);
            MemorySegment s = g.get(kvm.KVM_GET_XSAVE2(), size);
            assertEquals(0x37f, s.get(ValueLayout.JAVA_SHORT, 0));
        }
    }

    @EveryKernel
    void xcr0OfAVcpu(KernelUnderTest kernel) {
        try (Guest g = new Guest(kernel)) {
            g.m.needs(XCRS, "KVM_CAP_XCRS");
            MemorySegment s = g.get(kvm.KVM_GET_XCRS(), kvm_xcrs.sizeof());
            assertEquals(1, kvm_xcrs.nr_xcrs(s));
            MemorySegment first = s.asSlice(kvm_xcrs.xcrs$offset(), 16);
            assertEquals(1, first.get(ValueLayout.JAVA_LONG, 8), "XCR0 at the start");
            first.set(ValueLayout.JAVA_LONG, 8, 3);
            ok(g.call(kvm.KVM_SET_XCRS(), s));
            for (long bad : new long[] {0, 2, 1L << 62 | 1}) {
                first.set(ValueLayout.JAVA_LONG, 8, bad);
                fails(Errno.EINVAL, g.call(kvm.KVM_SET_XCRS(), s));
            }
            first.set(ValueLayout.JAVA_INT, 0, 5);
            ok(g.call(kvm.KVM_SET_XCRS(), s));
            kvm_xcrs.nr_xcrs(s, 17);
            fails(Errno.EINVAL, g.call(kvm.KVM_SET_XCRS(), s));
            kvm_xcrs.nr_xcrs(s, 0);
            kvm_xcrs.flags(s, 1);
            fails(Errno.EINVAL, g.call(kvm.KVM_SET_XCRS(), s));
            assertEquals(3, g.get(kvm.KVM_GET_XCRS(), kvm_xcrs.sizeof())
                    .get(ValueLayout.JAVA_LONG, kvm_xcrs.xcrs$offset() + 8));
        }
    }

    @EveryKernel
    void sregs2BeginsAsSregs(KernelUnderTest kernel) {
        try (Guest g = new Guest(kernel)) {
            g.m.needs(SREGS2, "KVM_CAP_SREGS2");
            g.v.realMode(0x1000);
            MemorySegment s = g.get(kvm.KVM_GET_SREGS2(), SREGS2_SIZE);
            assertEquals(-1, s.asSlice(0, SREGS2_FLAGS).mismatch(g.v.sregs().asSlice(0, SREGS2_FLAGS)));
            assertEquals(0, s.get(ValueLayout.JAVA_LONG, SREGS2_FLAGS));
            kvm_sregs.cr2(s, 0x1234);
            ok(g.call(kvm.KVM_SET_SREGS2(), s));
            assertEquals(0x1234, kvm_sregs.cr2(g.v.sregs()));
        }
    }

    @EveryKernel
    void sregs2HasPageDirectoryPointersWithPae(KernelUnderTest kernel) {
        try (Guest g = new Guest(kernel)) {
            g.m.needs(KvmMachine.PRE_FAULT_MEMORY, "two-dimensional paging (KVM_CAP_PRE_FAULT_MEMORY)");
            g.m.needs(SREGS2, "KVM_CAP_SREGS2");
            MemorySegment s = g.get(kvm.KVM_GET_SREGS2(), SREGS2_SIZE);
            for (long flags : new long[] {1, 2, 3, 1L << 40}) {
                s.set(ValueLayout.JAVA_LONG, SREGS2_FLAGS, flags);
                fails(Errno.EINVAL, g.call(kvm.KVM_SET_SREGS2(), s));
            }
            s.set(ValueLayout.JAVA_LONG, SREGS2_FLAGS, 0);
            g.low.set(ValueLayout.JAVA_LONG, 0x3000, 0x4001);
            g.low.set(ValueLayout.JAVA_LONG, 0x3018, 0x5001);
            kvm_sregs.cr3(s, 0x3000);
            kvm_sregs.cr4(s, 0x20);
            kvm_sregs.cr0(s, 0x80000011L);
            ok(g.call(kvm.KVM_SET_SREGS2(), s));
            MemorySegment back = g.get(kvm.KVM_GET_SREGS2(), SREGS2_SIZE);
            assertEquals(1, back.get(ValueLayout.JAVA_LONG, SREGS2_FLAGS));
            assertEquals(0x4001, back.get(ValueLayout.JAVA_LONG, SREGS2_PDPTRS));
            assertEquals(0x5001, back.get(ValueLayout.JAVA_LONG, SREGS2_PDPTRS + 24));
        }
    }

    @EveryKernel
    void cr4TakesWhatTheVcpusCpuidHas(KernelUnderTest kernel) {
        try (KvmMachine m = new KvmMachine(kernel, KvmMachine.DEFAULT)) {
            m.needs(KvmMachine.PRE_FAULT_MEMORY, "two-dimensional paging (KVM_CAP_PRE_FAULT_MEMORY)");
            int fd = m.own(m.sys.ioctl(m.fd, kvm.KVM_CREATE_VCPU(), 0L));
            MemorySegment s = m.struct(kvm_sregs.sizeof());
            ok(m.sys.ioctl(fd, (int) kvm.KVM_GET_SREGS(), s));
            kvm_sregs.cr0(s, kvm_sregs.cr0(s) & ~0x60000000L);
            kvm_sregs.cr4(s, 0x7ff);
            ok(m.sys.ioctl(fd, (int) kvm.KVM_SET_SREGS(), s));
            // Before 6.14 a vCPU without a CPUID of its own takes all that the processor has.
            int[] bits = KvmMachine.before(m.sys, 6, 14)
                    ? new int[] {13, 14, 15, 19, 23, 24, 40, 63}
                    : new int[] {11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 40, 63};
            for (int bit : bits) {
                kvm_sregs.cr4(s, 0x7ff | 1L << bit);
                assertEquals(-Errno.EINVAL, m.sys.ioctl(fd, (int) kvm.KVM_SET_SREGS(), s), "bit " + bit);
            }
        }
    }

    @EveryKernel
    void eventsAtTheStart(KernelUnderTest kernel) {
        try (Guest g = new Guest(kernel)) {
            MemorySegment s = g.events();
            assertEquals(0xd, kvm_vcpu_events.flags(s));
            kvm_vcpu_events.flags(s, 0);
            assertEquals(-1, s.mismatch(g.m.struct(kvm_vcpu_events.sizeof())));
        }
    }

    @EveryKernel
    void eventsComeBack(KernelUnderTest kernel) {
        try (Guest g = new Guest(kernel)) {
            g.v.realMode(0x1000);
            MemorySegment s = g.events();
            kvm_vcpu_events.exception.injected(kvm_vcpu_events.exception(s), (byte) 1);
            kvm_vcpu_events.exception.nr(kvm_vcpu_events.exception(s), (byte) 13);
            kvm_vcpu_events.exception.has_error_code(kvm_vcpu_events.exception(s), (byte) 1);
            kvm_vcpu_events.exception.error_code(kvm_vcpu_events.exception(s), 0x18);
            kvm_vcpu_events.nmi.pending(kvm_vcpu_events.nmi(s), (byte) 1);
            kvm_vcpu_events.flags(s, 1);
            ok(g.call(kvm.KVM_SET_VCPU_EVENTS(), s));
            MemorySegment back = g.events();
            assertEquals(1, kvm_vcpu_events.exception.injected(kvm_vcpu_events.exception(back)));
            assertEquals(13, kvm_vcpu_events.exception.nr(kvm_vcpu_events.exception(back)));
            assertEquals(1, kvm_vcpu_events.exception.has_error_code(kvm_vcpu_events.exception(back)));
            assertEquals(0x18, kvm_vcpu_events.exception.error_code(kvm_vcpu_events.exception(back)));
            assertEquals(1, kvm_vcpu_events.nmi.pending(kvm_vcpu_events.nmi(back)));
            kvm_vcpu_events.exception.injected(kvm_vcpu_events.exception(s), (byte) 0);
            kvm_vcpu_events.nmi.pending(kvm_vcpu_events.nmi(s), (byte) 0);
            ok(g.call(kvm.KVM_SET_VCPU_EVENTS(), s));
            back = g.events();
            assertEquals(0, kvm_vcpu_events.exception.injected(kvm_vcpu_events.exception(back)));
            assertEquals(0, kvm_vcpu_events.nmi.pending(kvm_vcpu_events.nmi(back)));
        }
    }

    @EveryKernel
    void twoNmisWaitAtMost(KernelUnderTest kernel) {
        try (Guest g = new Guest(kernel)) {
            for (int expected : new int[] {1, 2, 2}) {
                ok(g.m.sys.ioctl(g.v.fd, kvm.KVM_NMI(), 0L));
                assertEquals(expected, kvm_vcpu_events.nmi.pending(kvm_vcpu_events.nmi(g.events())));
            }
        }
    }

    @EveryKernel
    void eventsRefuseWhatIsUnknown(KernelUnderTest kernel) {
        try (Guest g = new Guest(kernel)) {
            MemorySegment s = g.m.struct(kvm_vcpu_events.sizeof());
            for (int flags : new int[] {0x10, 0x20, 0x40, 1 << 31}) {
                kvm_vcpu_events.flags(s, flags);
                fails(Errno.EINVAL, g.call(kvm.KVM_SET_VCPU_EVENTS(), s));
            }
            kvm_vcpu_events.flags(s, 0);
            kvm_vcpu_events.exception.injected(kvm_vcpu_events.exception(s), (byte) 1);
            for (int vector : new int[] {2, 32, 255}) {
                kvm_vcpu_events.exception.nr(kvm_vcpu_events.exception(s), (byte) vector);
                fails(Errno.EINVAL, g.call(kvm.KVM_SET_VCPU_EVENTS(), s));
            }
        }
    }

    @EveryKernel
    void translatesThroughTheGuestsTables(KernelUnderTest kernel) {
        try (Guest g = new Guest(kernel)) {
            assertTranslates(g, 0x12345, 0x12345);
            g.v.longMode(g.low, 0x4000, 0x1000);
            g.low.set(ValueLayout.JAVA_LONG, 0x6000 + 16, 0x7007); // the third 2 MiB: pages
            g.low.set(ValueLayout.JAVA_LONG, 0x7000 + 8, 0xabcd000L | 3);
            assertTranslates(g, 0x1234, 0x1234);
            assertTranslates(g, 0x2fffff, 0x2fffff);
            assertTranslates(g, 0xc0000123L, 0xc0000123L);
            assertTranslates(g, 0x401abc, 0xabcdabcL);
            assertEquals(0x23, g.low.get(ValueLayout.JAVA_LONG, 0x7000 + 8) & 0xfff, "accessed");
            assertTranslates(g, 0x400000, -1);
            assertTranslates(g, 0x40000000L, -1);
            assertTranslates(g, 1L << 40, -1);
        }
    }

    private static void assertTranslates(Guest g, long linear, long gpa) {
        MemorySegment s = g.m.struct(kvm_translation.sizeof());
        kvm_translation.linear_address(s, linear);
        ok(g.call(kvm.KVM_TRANSLATE(), s));
        assertEquals(gpa, kvm_translation.physical_address(s), () -> "address behind 0x" + Long.toHexString(linear));
        assertEquals(gpa == -1 ? 0 : 1, kvm_translation.valid(s), "valid");
        assertEquals(1, kvm_translation.writeable(s), "writeable");
        assertEquals(0, kvm_translation.usermode(s), "usermode");
    }

    @EveryKernel
    void theClockOfAMachineIsSet(KernelUnderTest kernel) {
        try (KvmMachine m = new KvmMachine(kernel, KvmMachine.DEFAULT)) {
            m.needs(39, "KVM_CAP_ADJUST_CLOCK");
            assertEquals(0xe, m.has(39));
            MemorySegment s = m.struct(kvm_clock_data.sizeof());
            ok(m.sys.ioctl(m.fd, (int) kvm.KVM_GET_CLOCK(), s));
            assertEquals(0, kvm_clock_data.flags(s) & ~0xe);
            long hour = 3_600_000_000_000L;
            kvm_clock_data.flags(s, 0);
            kvm_clock_data.clock(s, 10 * hour);
            ok(m.sys.ioctl(m.fd, (int) kvm.KVM_SET_CLOCK(), s));
            ok(m.sys.ioctl(m.fd, (int) kvm.KVM_GET_CLOCK(), s));
            assertEquals(10, kvm_clock_data.clock(s) / hour);
            for (int flags : new int[] {1, 16, 1 << 31}) {
                kvm_clock_data.flags(s, flags);
                fails(Errno.EINVAL, m.sys.ioctl(m.fd, (int) kvm.KVM_SET_CLOCK(), s));
            }
            fails(Errno.EFAULT, m.sys.ioctl(m.fd, (int) kvm.KVM_SET_CLOCK(), KvmMachine.BAD_POINTER));
            fails(Errno.EFAULT, m.sys.ioctl(m.fd, (int) kvm.KVM_GET_CLOCK(), KvmMachine.BAD_POINTER));
        }
    }
}
