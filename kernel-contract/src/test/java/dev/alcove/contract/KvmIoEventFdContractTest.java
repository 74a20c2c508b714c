// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract;

import dev.alcove.bindings.kvm.kvm;
import dev.alcove.bindings.kvm.kvm_ioeventfd;
import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import org.junit.jupiter.api.Timeout;

import static dev.alcove.contract.Checks.fails;
import static dev.alcove.contract.Checks.ok;
import static org.junit.jupiter.api.Assertions.assertEquals;

/** KVM_IOEVENTFD, with a guest in real mode that writes to ports and device memory. */
@Surface("kvm devices in the kernel")
@Timeout(60)
final class KvmIoEventFdContractTest {
    private static final int DATAMATCH = 1;
    private static final int PIO = 2;
    private static final int DEASSIGN = 4;
    private static final long DEVICE = KvmRealGuest.DEVICE;
    private static final String BYTE = "26 8807 f4"; // mov es:[bx],al; hlt
    private static final String WORD = "26 8907 f4";
    private static final String LONG = "26 66 8907 f4";
    private static final String READ = "26 8a07 f4";
    private static final String OUT_BYTE = "e650 f4"; // out 0x50,al; hlt
    private static final String OUT_WORD = "e750 f4";
    private static final String OUT_LONG = "66 e750 f4";

    private static final class Guest implements AutoCloseable {
        final KvmRealGuest g;
        final KvmMachine m;
        final int event;

        Guest(KernelUnderTest kernel) {
            g = new KvmRealGuest(kernel);
            m = g.m;
            m.needs(36, "KVM_CAP_IOEVENTFD");
            event = event();
        }

        int event() {
            return m.own(m.sys.eventfd(0, Linux.EFD_NONBLOCK));
        }

        int assign(int fd, long address, int length, int flags, long data) {
            MemorySegment s = m.struct(kvm_ioeventfd.sizeof());
            kvm_ioeventfd.fd(s, fd);
            kvm_ioeventfd.addr(s, address);
            kvm_ioeventfd.len(s, length);
            kvm_ioeventfd.flags(s, flags);
            kvm_ioeventfd.datamatch(s, data);
            return m.sys.ioctl(m.fd, (int) kvm.KVM_IOEVENTFD(), s);
        }

        int assign(long address, int length, int flags, long data) {
            return assign(event, address, length, flags, data);
        }

        /** The counter since the last look. */
        long count(int fd) {
            MemorySegment value = m.struct(8);
            long read = m.sys.read(fd, value);
            return read == -Errno.EAGAIN ? 0 : value.get(ValueLayout.JAVA_LONG, 0);
        }

        /** The program is not interrupted by its write, and the eventfd has the count. */
        void hits(long count, String program, long value) {
            g.halts(program, DEVICE, value);
            assertEquals(count, count(event), "signals");
        }

        void misses(int exit, String program, long value) {
            g.leaves(exit, program, DEVICE, value);
            assertEquals(0, count(event), "signals");
        }

        @Override
        public void close() {
            g.close();
        }
    }

    @EveryKernel
    void signalsOnAWriteToMemoryOfItsLength(KernelUnderTest kernel) {
        try (Guest g = new Guest(kernel)) {
            ok(g.assign(DEVICE, 2, 0, 0));
            g.hits(1, WORD, 7);
            g.misses(KvmVcpu.MMIO, BYTE, 7);
            g.misses(KvmVcpu.MMIO, LONG, 7);
            g.misses(KvmVcpu.MMIO, READ, 7);
        }
    }

    @EveryKernel
    void signalsOnAWriteToAPortOfItsLength(KernelUnderTest kernel) {
        try (Guest g = new Guest(kernel)) {
            ok(g.assign(0x50, 4, PIO, 0));
            g.hits(1, OUT_LONG, 7);
            g.misses(KvmVcpu.IO, OUT_BYTE, 7);
            g.misses(KvmVcpu.IO, OUT_WORD, 7);
        }
    }

    @EveryKernel
    void lengthZeroStandsForAll(KernelUnderTest kernel) {
        try (Guest g = new Guest(kernel)) {
            ok(g.assign(DEVICE, 0, 0, 0));
            ok(g.assign(0x50, 0, PIO, 0));
            g.hits(1, BYTE, 7);
            g.hits(1, LONG, 7);
            g.hits(1, OUT_BYTE, 7);
            g.hits(1, OUT_LONG, 7);
        }
    }

    @EveryKernel
    void comparesTheData(KernelUnderTest kernel) {
        try (Guest g = new Guest(kernel)) {
            ok(g.assign(DEVICE, 1, DATAMATCH, 0x42));
            ok(g.assign(0x50, 2, PIO | DATAMATCH, 0x1234));
            g.hits(1, BYTE, 0xff42);
            g.misses(KvmVcpu.MMIO, BYTE, 0x43);
            g.hits(1, OUT_WORD, 0x1234);
            g.misses(KvmVcpu.IO, OUT_WORD, 0x1235);
        }
    }

    @EveryKernel
    void comparesAllBitsOfTheData(KernelUnderTest kernel) {
        try (Guest g = new Guest(kernel)) {
            ok(g.assign(DEVICE, 1, DATAMATCH, 0x142));
            g.misses(KvmVcpu.MMIO, BYTE, 0x42);
        }
    }

    @EveryKernel
    void oneAddressCanHaveSeveralWithDifferentData(KernelUnderTest kernel) {
        try (Guest g = new Guest(kernel)) {
            int other = g.event();
            ok(g.assign(DEVICE, 1, DATAMATCH, 1));
            ok(g.assign(other, DEVICE, 1, DATAMATCH, 2));
            ok(g.assign(other, DEVICE, 2, DATAMATCH, 2));
            g.hits(0, BYTE, 2);
            assertEquals(1, g.count(other));
            g.hits(1, BYTE, 1);
            assertEquals(0, g.count(other));
        }
    }

    @EveryKernel
    void refusesASecondThatCouldBeHitToo(KernelUnderTest kernel) {
        try (Guest g = new Guest(kernel)) {
            int other = g.event();
            ok(g.assign(DEVICE, 1, DATAMATCH, 1));
            fails(Errno.EEXIST, g.assign(other, DEVICE, 1, DATAMATCH, 1));
            fails(Errno.EEXIST, g.assign(other, DEVICE, 1, 0, 0));
            fails(Errno.EEXIST, g.assign(other, DEVICE, 0, 0, 0));
            ok(g.assign(other, DEVICE, 4, 0, 0));
            ok(g.assign(other, DEVICE, 1, PIO, 0));
        }
    }

    @EveryKernel
    void deassignTakesThatOne(KernelUnderTest kernel) {
        try (Guest g = new Guest(kernel)) {
            int other = g.event();
            ok(g.assign(DEVICE, 1, DATAMATCH, 1));
            fails(Errno.ENOENT, g.assign(other, DEVICE, 1, DATAMATCH | DEASSIGN, 1));
            fails(Errno.ENOENT, g.assign(DEVICE, 1, DATAMATCH | DEASSIGN, 2));
            fails(Errno.ENOENT, g.assign(DEVICE, 1, DEASSIGN, 1));
            fails(Errno.ENOENT, g.assign(DEVICE, 2, DATAMATCH | DEASSIGN, 1));
            fails(Errno.ENOENT, g.assign(DEVICE, 1, DATAMATCH | DEASSIGN | PIO, 1));
            g.hits(1, BYTE, 1);
            ok(g.assign(DEVICE, 1, DATAMATCH | DEASSIGN, 1));
            g.misses(KvmVcpu.MMIO, BYTE, 1);
            fails(Errno.ENOENT, g.assign(DEVICE, 1, DATAMATCH | DEASSIGN, 1));
        }
    }

    @EveryKernel
    void deassignOfLengthZero(KernelUnderTest kernel) {
        try (Guest g = new Guest(kernel)) {
            ok(g.assign(DEVICE, 0, 0, 0));
            ok(g.assign(DEVICE, 0, DEASSIGN, 0));
            fails(Errno.ENOENT, g.assign(DEVICE, 0, DEASSIGN, 0));
            g.misses(KvmVcpu.MMIO, BYTE, 1);
        }
    }

    @EveryKernel
    void staysWithoutItsDescriptor(KernelUnderTest kernel) {
        try (Guest g = new Guest(kernel)) {
            ok(g.assign(DEVICE, 1, 0, 0));
            g.m.close(g.event);
            g.g.halts(BYTE, DEVICE, 1);
            fails(Errno.EBADF, g.assign(DEVICE, 1, DEASSIGN, 0));
        }
    }

    @EveryKernel
    void countsEveryWrite(KernelUnderTest kernel) {
        try (Guest g = new Guest(kernel)) {
            ok(g.assign(DEVICE, 1, 0, 0));
            g.hits(5, "b90500 26 8807 e2fb f4", 1); // mov cx,5; 1: mov es:[bx],al; loop 1b; hlt
        }
    }

    @EveryKernel
    void memoryGoesBeforeIt(KernelUnderTest kernel) {
        try (Guest g = new Guest(kernel)) {
            ok(g.assign(0x8000, 1, 0, 0));
            g.g.halts(BYTE, 0x8000, 0x55);
            assertEquals(0, g.count(g.event));
            assertEquals(0x55, g.g.low.get(ValueLayout.JAVA_BYTE, 0x8000));
        }
    }

    @EveryKernel
    void refusesBadArguments(KernelUnderTest kernel) {
        try (Guest g = new Guest(kernel)) {
            for (int length : new int[] {3, 5, 7, 9, 16, -1}) {
                fails(Errno.EINVAL, g.assign(DEVICE, length, 0, 0));
            }
            fails(Errno.EINVAL, g.assign(DEVICE, 0, DATAMATCH, 0));
            fails(Errno.EINVAL, g.assign(DEVICE, 1, 32, 0));
            fails(Errno.EINVAL, g.assign(-1, 4, 0, 0));
            ok(g.assign(-8, 4, 0, 0));
            fails(Errno.EBADF, g.assign(-1, DEVICE, 1, 0, 0));
            fails(Errno.EINVAL, g.assign(g.m.fd, DEVICE, 1, 0, 0));
            fails(Errno.EINVAL, g.assign(-1, DEVICE, 3, 0, 0));
            fails(Errno.EBADF, g.assign(-1, DEVICE, 3, DEASSIGN, 0));
            fails(Errno.ENOENT, g.assign(DEVICE, 3, DEASSIGN | 32, 0));
            fails(Errno.EFAULT, g.m.sys.ioctl(g.m.fd, (int) kvm.KVM_IOEVENTFD(), KvmMachine.BAD_POINTER));
        }
    }
}
