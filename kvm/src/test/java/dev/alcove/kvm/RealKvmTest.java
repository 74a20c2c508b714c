// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kvm;

import dev.alcove.bindings.kvm.kvm;
import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import dev.alcove.sys.SyscallException;
import java.lang.foreign.MemorySegment;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Semaphore;
import java.util.concurrent.atomic.AtomicReference;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

/** The client on the host's own KVM: whatever backend it has, real mode must run. */
@Timeout(60)
class RealKvmTest {
    private RealKvm real;

    @BeforeEach
    void open() {
        real = RealKvm.open();
    }

    @AfterEach
    void close() {
        if (real != null) {
            real.close();
        }
    }

    private static void refused(int errno, Runnable call) {
        SyscallException thrown = assertThrows(SyscallException.class, call::run);
        assertEquals(Errno.name(errno), Errno.name(thrown.errno()), thrown.getMessage());
    }

    @Test
    void systemIoctls() {
        assertEquals(12, real.kvm.apiVersion());
        assertTrue(real.kvm.vcpuMmapSize() >= Linux.PAGE_SIZE);
        assertTrue(real.kvm.hasVmType(kvm.KVM_X86_DEFAULT_VM()));
        assertTrue(real.kvm.checkExtension(kvm.KVM_CAP_USER_MEMORY()) > 0);
        assertEquals(0, real.kvm.checkExtension(4711));
        List<CpuidEntry> cpuid = real.kvm.supportedCpuid();
        assertTrue(cpuid.stream().anyMatch(entry -> entry.function() == 1), "leaf 1 is there");
    }

    @Test
    void anUnknownVmTypeNamesThoseThatAreThere() {
        SyscallException thrown = assertThrows(SyscallException.class, () -> real.kvm.createVm(31));
        assertEquals(Errno.EINVAL, thrown.errno());
        assertNotNull(thrown.hint());
        assertTrue(thrown.hint().contains("0"), thrown.hint());
    }

    @Test
    void aRealModeProgramDoesPortAccessesAndHalts() {
        // mov al,5; out 0x10,al; in al,0x11; add al,1; out 0x12,al; mov ax,0x1234; mov dx,0x3f8; out dx,ax; hlt
        try (Vcpu vcpu = real.realModeProgram(
                0xb0, 5, 0xe6, 0x10, 0xe4, 0x11, 0x04, 1, 0xe6, 0x12, 0xb8, 0x34, 0x12, 0xba, 0xf8, 3, 0xef, 0xf4)) {
            KvmRun shared = vcpu.shared();
            assertEquals(0, vcpu.run());
            assertEquals(new VmExit.Io(true, 0x10, 1, 1), shared.exit());
            assertEquals(5, shared.ioValue(0));
            assertEquals(1, shared.ioData().byteSize());

            assertEquals(0, vcpu.run());
            assertEquals(new VmExit.Io(false, 0x11, 1, 1), shared.exit());
            shared.ioValue(0, 0xfe);

            assertEquals(0, vcpu.run());
            assertEquals(new VmExit.Io(true, 0x12, 1, 1), shared.exit());
            assertEquals(0xff, shared.ioValue(0));

            assertEquals(0, vcpu.run());
            assertEquals(new VmExit.Io(true, 0x3f8, 2, 1), shared.exit());
            assertEquals(0x1234, shared.ioValue(0));

            assertEquals(0, vcpu.run());
            assertEquals(new VmExit.Hlt(), shared.exit());
            Regs regs = vcpu.getRegs();
            assertEquals(0x1234, regs.rax());
            assertEquals(RealKvm.CODE + 18, regs.rip(), regs.toString());
        }
    }

    @Test
    void memoryOutsideTheSlotsIsMmio() {
        // mov [0xf000],al with ds=0x2000: gpa 0x2f000; mov bl,[0xf001]; hlt
        try (Vcpu vcpu = real.realModeProgram(0xa2, 0x00, 0xf0, 0x8a, 0x1e, 0x01, 0xf0, 0xf4)) {
            Sregs sregs = vcpu.getSregs();
            sregs.ds(SegmentRegister.realMode(0x2000, false));
            vcpu.setSregs(sregs);
            Regs regs = vcpu.getRegs();
            regs.rax(0x77);
            vcpu.setRegs(regs);

            assertEquals(0, vcpu.run());
            assertEquals(new VmExit.Mmio(true, 0x2f000, 1, 0x77), vcpu.shared().exit());
            assertEquals(0, vcpu.run());
            assertEquals(new VmExit.Mmio(false, 0x2f001, 1, 0), vcpu.shared().exit());
            vcpu.shared().mmioValue(0x99);
            assertEquals(0, vcpu.run());
            assertEquals(new VmExit.Hlt(), vcpu.shared().exit());
            vcpu.getRegs(regs);
            assertEquals(0x99, regs.rbx() & 0xff);
        }
    }

    @Test
    void registersComeBackAsTheyWereSet() {
        try (Vcpu vcpu = real.realModeProgram(0xf4)) {
            Regs regs = new Regs();
            regs.rax(1);
            regs.rbx(-2);
            regs.r15(0x123456789abcdefL);
            regs.rip(RealKvm.CODE);
            regs.rflags(2);
            vcpu.setRegs(regs);
            assertEquals(regs.toString(), vcpu.getRegs().toString());
            Sregs sregs = vcpu.getSregs();
            assertEquals(SegmentRegister.realMode(0, true), sregs.cs());
        }
    }

    @Test
    void memslotsAreChecked() {
        long hva = real.ram.address();
        Vm vm = real.vm;
        refused(Errno.EINVAL, () -> vm.setUserMemoryRegion(Memslot.of(0, 1, 4096, hva)));
        refused(Errno.EINVAL, () -> vm.setUserMemoryRegion(Memslot.of(0, 0, 4095, hva)));
        refused(Errno.EINVAL, () -> vm.setUserMemoryRegion(Memslot.of(0, 0, 4096, hva + 1)));
        refused(Errno.EINVAL, () -> vm.setUserMemoryRegion(Memslot.of(32767, 0, 4096, hva)));
        refused(Errno.EINVAL, () -> vm.setUserMemoryRegion(Memslot.of(0, -4096, 8192, hva)));
        refused(Errno.EINVAL, () -> vm.deleteMemslot(3));
        vm.setUserMemoryRegion(Memslot.of(1, 0x3000, 4096, hva));
        refused(Errno.EEXIST, () -> vm.setUserMemoryRegion(Memslot.of(2, 0x3000, 4096, hva)));
        refused(Errno.EINVAL, () -> vm.setUserMemoryRegion(Memslot.of(1, 0x3000, 8192, hva)));
        vm.setUserMemoryRegion(Memslot.of(1, 0x5000, 4096, hva));
        vm.setUserMemoryRegion(Memslot.of(2, 0x3000, 4096, hva));
        vm.deleteMemslot(1);
        vm.deleteMemslot(2);
        refused(Errno.EINVAL, () -> vm.deleteMemslot(1));
    }

    @Test
    void guestMemfdTruthTable() {
        Vm vm = real.vm;
        Assumptions.assumeTrue(
                vm.checkExtension(kvm.KVM_CAP_GUEST_MEMFD()) > 0, "this KVM has no guest_memfd (Linux 6.8)");
        int flags = vm.checkExtension(kvm.KVM_CAP_GUEST_MEMFD_FLAGS());
        refused(Errno.EINVAL, () -> vm.createGuestMemfd(0, 0));
        refused(Errno.EINVAL, () -> vm.createGuestMemfd(1, 0));
        refused(Errno.EINVAL, () -> vm.createGuestMemfd(-4096, 0));
        refused(Errno.EINVAL, () -> vm.createGuestMemfd(4096, 1L << 62));
        for (long flag = 0; flag < 4; flag++) {
            long wanted = flag;
            if ((flags & flag) == flag) {
                try (GuestMemfd gmem = vm.createGuestMemfd(2 * 4096, flag)) {
                    assertEquals(2 * 4096, gmem.size());
                    mapsOnlyWithTheFlag(gmem);
                }
            } else {
                refused(Errno.EINVAL, () -> vm.createGuestMemfd(4096, wanted));
            }
        }
        try (GuestMemfd gmem = vm.createGuestMemfd(8 * 4096, 0)) {
            gmem.allocate(0, 4096);
            refused(Errno.EINVAL, () -> gmem.allocate(1, 4096));
            refused(Errno.EINVAL, () -> gmem.allocate(0, 0));
            refused(Errno.EINVAL, () -> gmem.allocate(0, 9 * 4096));
            gmem.punchHole(0, 4096);
            gmem.punchHole(100 * 4096, 4096);
            refused(Errno.EINVAL, () -> gmem.punchHole(0, 100));
            assertEquals(-Errno.EINVAL, real.syscalls.ftruncate(gmem.fd(), 4096));
            bindings(gmem);
        }
    }

    private void mapsOnlyWithTheFlag(GuestMemfd gmem) {
        long address = real.syscalls.mmap(
                0, 4096, Linux.PROT_READ | Linux.PROT_WRITE, Linux.MAP_SHARED, gmem.fd(), 0);
        if ((gmem.flags() & GuestMemfd.FLAG_MMAP) == 0) {
            assertEquals(-Errno.ENODEV, address);
        } else {
            assertFalse(Linux.isError(address), "mmap answers " + address);
            real.syscalls.munmap(address, 4096);
        }
    }

    private void bindings(GuestMemfd gmem) {
        long hva = real.ram.address();
        Vm vm = real.vm;
        vm.setUserMemoryRegion2(Memslot.of(1, 0x100000, 4096, hva, gmem, 4096));
        refused(Errno.EINVAL, () -> vm.setUserMemoryRegion2(Memslot.of(2, 0x200000, 8192, hva, gmem, 0)));
        refused(Errno.EINVAL, () -> vm.setUserMemoryRegion2(Memslot.of(2, 0x200000, 4096, hva, gmem, 1)));
        refused(Errno.EINVAL, () -> vm.setUserMemoryRegion2(Memslot.of(2, 0x200000, 9 * 4096, hva, gmem, 0)));
        int flag = (int) kvm.KVM_MEM_GUEST_MEMFD();
        refused(Errno.EBADF, () -> vm.setUserMemoryRegion2(new Memslot(2, flag, 0x200000, 4096, hva, 9999, 0)));
        refused(
                Errno.EINVAL,
                () -> vm.setUserMemoryRegion2(new Memslot(2, flag, 0x200000, 4096, hva, vm.fd(), 0)));
        vm.deleteMemslot(1);
    }

    @Test
    void attributesNeedAVmTypeThatHasThem() {
        boolean offered = real.vm.checkExtension(kvm.KVM_CAP_MEMORY_ATTRIBUTES()) != 0;
        Assumptions.assumeFalse(offered, "a default VM with private memory: covered by the contract tests");
        refused(Errno.ENOTTY, () -> real.vm.setMemoryAttributes(0, 4096, kvm.KVM_MEMORY_ATTRIBUTE_PRIVATE()));
    }

    @Test
    void aVcpuIdIsTakenOnce() {
        try (Vcpu first = real.vm.createVcpu(0)) {
            assertEquals(0, first.id());
            refused(Errno.EEXIST, () -> real.vm.createVcpu(0));
        }
        refused(Errno.EINVAL, () -> real.vm.createVcpu(1 << 20));
    }

    @Test
    void aClosedVmAnswersEbadf() {
        Vm vm = real.kvm.createVm(kvm.KVM_X86_DEFAULT_VM());
        vm.close();
        vm.close();
        assertEquals(-1, vm.fd());
        refused(Errno.EBADF, () -> vm.createVcpu(0));
    }

    @Test
    void aKickEndsAGuestThatLoopsForEver() throws InterruptedException {
        int rounds = 20;
        CountDownLatch ready = new CountDownLatch(1);
        AtomicReference<VcpuKick> kick = new AtomicReference<>();
        AtomicReference<Throwable> failure = new AtomicReference<>();
        Semaphore answered = new Semaphore(0);
        Thread runner = new Thread(
                () -> {
                    // jmp .
                    try (Vcpu vcpu = real.realModeProgram(0xeb, 0xfe);
                            VcpuKick mine = VcpuKick.onThisThread(vcpu)) {
                        kick.set(mine);
                        ready.countDown();
                        for (int i = 0; i < rounds; i++) {
                            assertEquals(-Errno.EINTR, vcpu.run());
                            mine.settle();
                            assertEquals(RealKvm.CODE, vcpu.getRegs().rip());
                            answered.release();
                        }
                    } catch (Throwable thrown) {
                        failure.set(thrown);
                        ready.countDown();
                        answered.release(rounds);
                    }
                },
                "vcpu");
        runner.start();
        ready.await();
        assertNull(failure.get());
        VcpuKick handle = Objects.requireNonNull(kick.get());
        for (int i = 0; i < rounds; i++) {
            handle.kick();
            answered.acquire();
        }
        runner.join();
        assertNull(failure.get());
        handle.kick();
    }

    @Test
    void aKickBeforeTheRunIsNotLost() {
        try (Vcpu vcpu = real.realModeProgram(0xeb, 0xfe);
                VcpuKick kick = VcpuKick.onThisThread(vcpu)) {
            kick.kick();
            kick.kick();
            assertEquals(-Errno.EINTR, vcpu.run());
            kick.settle();
            MemorySegment page = vcpu.shared().page;
            assertEquals(real.kvm.vcpuMmapSize(), page.byteSize());
            vcpu.shared().immediateExit(true);
            assertEquals(-Errno.EINTR, vcpu.run());
        }
    }
}
