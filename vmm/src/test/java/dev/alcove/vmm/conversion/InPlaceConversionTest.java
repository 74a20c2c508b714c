// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vmm.conversion;

import dev.alcove.bindings.kvm.kvm;
import dev.alcove.discard.GpaRange;
import dev.alcove.discard.Outcome;
import dev.alcove.iommufd.Ioas;
import dev.alcove.iommufd.IommuFd;
import dev.alcove.kernel.EmulatedKernel;
import dev.alcove.kernel.EmulatedProcess;
import dev.alcove.kernel.KernelProfile;
import dev.alcove.kernel.Proposal;
import dev.alcove.kernel.iommu.IommuDevice;
import dev.alcove.kernel.iommufd.IommufdContext;
import dev.alcove.kvm.GuestMemfd;
import dev.alcove.kvm.Kvm;
import dev.alcove.kvm.Vm;
import dev.alcove.memory.MemoryConfig;
import dev.alcove.memory.RamBlock;
import dev.alcove.sys.Errno;
import dev.alcove.sys.HostSyscalls;
import dev.alcove.sys.SyscallException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.List;
import java.util.Random;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

/** In-place conversion, which no release of Linux has: the emulated kernel's proposal, and the engine on top of it. */
class InPlaceConversionTest {
    private static final long PAGE = 4096;
    private static final int PAGES = 64;
    private static final List<GpaRange> BLOCKS =
            List.of(GpaRange.of(0, PAGES / 2 * PAGE), GpaRange.of(PAGES / 2 * PAGE, PAGES / 2 * PAGE));

    /** Which allocation of the kernel from now fails; below zero none does. */
    private final AtomicInteger failIn = new AtomicInteger(-1);

    private final EmulatedKernel kernel = new EmulatedKernel(
            KernelProfile.linux7_2().with(Proposal.IN_PLACE_CONVERSION),
            new HostSyscalls(),
            EmulatedKernel.DEFAULT_FRAMES,
            what -> failIn.get() < 0 || failIn.getAndDecrement() != 0);
    private final EmulatedProcess process = kernel.process();
    private final IommuDevice device = kernel.iommu().newGroup().addDevice(0x10);
    private long deviceId;

    private TestVm vm(String strategy) {
        return new TestVm(process, BLOCKS, strategy, true, MemoryConfig.Strategy.IN_PLACE, this::attach, ConversionPolicy.DEFAULT, _ -> {});
    }

    private void attach(Ioas ioas) {
        deviceId = context().bindDevice(device);
        assertTrue(context().attach(deviceId, 0, ioas.id()) > 0);
    }

    private void detach() {
        context().detach(deviceId, 0);
        context().unbind(deviceId);
    }

    private IommufdContext context() {
        return kernel.iommufd().contexts().getFirst();
    }

    @AfterEach
    void nothingIsLeft() {
        process.close();
        assertEquals(List.of(), kernel.leaks());
        kernel.close();
    }

    private static MemorySegment at(TestVm vm, int page) {
        return vm.memory.shared(page * PAGE, PAGE);
    }

    /** Contents survive, also where an allocation fails half way; a device reaches what is shared and nothing else. */
    @ParameterizedTest
    @CsvSource({"cut, 1", "cut, 2", "page, 3"})
    void randomConversionsKeepWhatIsInThePages(String strategy, long seed) {
        Random random = new Random(seed);
        boolean[] isPrivate = new boolean[PAGES];
        long[] contents = new long[PAGES];
        int refused = 0;
        try (TestVm vm = vm(strategy);
                Arena arena = Arena.ofConfined()) {
            InvariantChecker checker =
                    new InvariantChecker(vm.memory, vm.engine, List.of(vm.mapper), new EmulatedView(kernel, vm));
            MemorySegment word = arena.allocate(8);
            for (int step = 0; step < 300; step++) {
                String where = "seed " + seed + " step " + step;
                int from = random.nextInt(PAGES);
                int pages = 1 + random.nextInt(PAGES - from);
                boolean toPrivate = random.nextBoolean();
                failIn.set(random.nextInt(3) == 0 ? random.nextInt(16) : -1);
                Outcome outcome = vm.convert(from * PAGE, pages * PAGE, toPrivate);
                failIn.set(-1);
                assertFalse(outcome instanceof Outcome.Unsafe, where + " " + outcome);
                if (outcome.isDone()) {
                    java.util.Arrays.fill(isPrivate, from, from + pages, toPrivate);
                } else {
                    refused++;
                }
                assertEquals(List.of(), checker.check(), where);
                int page = random.nextInt(PAGES);
                word.set(ValueLayout.JAVA_LONG, 0, random.nextLong());
                assertEquals(!isPrivate[page], device.dma().write(page * PAGE + 8, word), where + " page " + page);
                if (isPrivate[page]) {
                    assertThrows(InternalError.class, () -> at(vm, page).get(ValueLayout.JAVA_LONG, 8), where);
                } else {
                    contents[page] = word.get(ValueLayout.JAVA_LONG, 0);
                }
                for (int i = 0; i < PAGES; i++) {
                    if (!isPrivate[i]) {
                        assertEquals(contents[i], at(vm, i).get(ValueLayout.JAVA_LONG, 8), where + " page " + i);
                    }
                }
            }
            assertTrue(refused > 0, "no allocation failed");
            detach();
        }
    }

    @Test
    void aPageThatADeviceHoldsIsNotMadePrivate() {
        try (TestVm vm = vm("cut");
                IommuFd other = IommuFd.open(process);
                Ioas ioas = other.ioasAlloc()) {
            IommufdContext foreign = kernel.iommufd().contexts().getLast();
            IommuDevice second = kernel.iommu().newGroup().addDevice(0x18);
            long id = foreign.bindDevice(second);
            assertTrue(foreign.attach(id, 0, ioas.id()) > 0);
            at(vm, 3).set(ValueLayout.JAVA_LONG, 0, 33);
            RamBlock block = vm.memory.blocks().getFirst();
            // Somebody whom the discard manager does not know.
            ioas.map(block.hva().value() + 5 * PAGE, 0, PAGE, Ioas.READ | Ioas.WRITE);
            Outcome.Refused refused = assertInstanceOf(Outcome.Refused.class, vm.convert(0, 16 * PAGE, true));
            assertEquals(Errno.EAGAIN, refused.errno());
            assertTrue(refused.reason().contains("held at 0x5000"), refused.reason());
            assertEquals(List.of(), vm.checker.check());
            assertEquals(33, at(vm, 3).get(ValueLayout.JAVA_LONG, 0));
            ioas.unmap(0, PAGE);
            assertTrue(vm.convert(0, 16 * PAGE, true).isDone());
            foreign.detach(id, 0);
            foreign.unbind(id);
            detach();
        }
    }

    @Test
    void theFileSaysWhatIsPrivateAndNotTheMachine() {
        try (Kvm system = Kvm.open(process);
                Vm vm = system.createVm(TestVm.SW_PROTECTED_VM);
                Vm ordinary = system.createVm(0);
                GuestMemfd gmem = vm.createGuestMemfd(16 * PAGE, GuestMemfd.FLAG_MMAP | GuestMemfd.FLAG_INIT_SHARED);
                GuestMemfd ordinaryGmem = ordinary.createGuestMemfd(PAGE, 0)) {
            assertEquals(0, vm.checkExtension(kvm.KVM_CAP_MEMORY_ATTRIBUTES()));
            assertEquals(3, vm.checkExtension(kvm.KVM_CAP_GUEST_MEMFD_FLAGS()));
            refused(Errno.ENOTTY, () -> vm.setMemoryAttributes(0, PAGE, 8));
            assertTrue(gmem.convertsInPlace());
            refused(Errno.EINVAL, () -> gmem.setMemoryAttributes(0, 0, 8));
            refused(Errno.EINVAL, () -> gmem.setMemoryAttributes(1, PAGE, 8));
            refused(Errno.EINVAL, () -> gmem.setMemoryAttributes(0, PAGE + 1, 8));
            refused(Errno.EINVAL, () -> gmem.setMemoryAttributes(0, PAGE, 1));
            refused(Errno.EINVAL, () -> gmem.setMemoryAttributes(-PAGE, 2 * PAGE, 8));
            refused(Errno.EINVAL, () -> gmem.setMemoryAttributes(15 * PAGE, 2 * PAGE, 8));
            refused(Errno.EINVAL, () -> ordinaryGmem.setMemoryAttributes(0, PAGE, 8));
            gmem.setMemoryAttributes(0, 16 * PAGE, 8);
            gmem.setMemoryAttributes(0, 16 * PAGE, 8);
            failIn.set(0);
            refused(Errno.ENOMEM, () -> gmem.setMemoryAttributes(0, PAGE, 0));
            failIn.set(-1);
            gmem.punchHole(0, 16 * PAGE);
            gmem.setMemoryAttributes(PAGE, PAGE, 0);
        }
        try (EmulatedKernel released = new EmulatedKernel(KernelProfile.linux7_2(), new HostSyscalls());
                EmulatedProcess user = released.process();
                Kvm system = Kvm.open(user);
                Vm vm = system.createVm(TestVm.SW_PROTECTED_VM);
                GuestMemfd gmem = vm.createGuestMemfd(PAGE, GuestMemfd.FLAG_MMAP)) {
            assertFalse(gmem.convertsInPlace());
            refused(Errno.ENOTTY, () -> gmem.setMemoryAttributes(0, PAGE, 8));
        }
    }

    private static void refused(int errno, Runnable call) {
        assertEquals(errno, assertThrows(SyscallException.class, call::run).errno());
    }
}
