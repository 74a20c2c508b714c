// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract;

import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

import static dev.alcove.contract.Checks.fails;
import static dev.alcove.contract.Checks.ok;
import static dev.alcove.contract.IommufdClient.ALL;
import static org.junit.jupiter.api.Assertions.assertEquals;

/** Pinned memory as a process of root's sees it: VmPin and VmLck in /proc/self/status, in pages. */
@Surface("memlock")
final class MemlockContractTest {
    private static final long PAGE = Linux.PAGE_SIZE;
    private static final long MIB = 1 << 20;
    private static final long NOWHERE = 0x10_0000_0000_0000L;

    /** A device on an address space, and what is pinned beyond what was before. */
    private static final class Pins implements AutoCloseable {
        final KernelUnderTest kernel;
        final IommufdClient it;
        final int device;
        final long id;
        final long ioas;
        private final long before;

        Pins(KernelUnderTest kernel) {
            this.kernel = kernel;
            it = new IommufdClient(kernel);
            device = it.openDevice();
            id = ok(it.bind(device));
            ioas = ok(it.ioas());
            before = ProcessStatus.pages(kernel, "VmPin");
        }

        void are(long expected) {
            assertEquals(expected, ProcessStatus.pages(kernel, "VmPin") - before);
        }

        @Override
        public void close() {
            it.close();
        }
    }

    @EveryKernel
    void nothingIsPinnedWithoutADevice(KernelUnderTest kernel) {
        try (Pins pins = new Pins(kernel)) {
            ok(pins.it.map(pins.ioas, ALL, pins.it.memory(16), 16 * PAGE, MIB));
            pins.are(0);
        }
    }

    @EveryKernel
    void aMapPinsAndAnUnmapUnpins(KernelUnderTest kernel) {
        try (Pins pins = new Pins(kernel)) {
            ok(pins.it.attach(pins.device, pins.ioas));
            ok(pins.it.map(pins.ioas, ALL, pins.it.memory(16), 16 * PAGE, MIB));
            pins.are(16);
            ok(pins.it.unmap(pins.ioas, MIB, 16 * PAGE));
            pins.are(0);
        }
    }

    @EveryKernel
    void anAttachPinsAndADetachUnpins(KernelUnderTest kernel) {
        try (Pins pins = new Pins(kernel)) {
            ok(pins.it.map(pins.ioas, ALL, pins.it.memory(16), 16 * PAGE, MIB));
            ok(pins.it.map(pins.ioas, ALL, pins.it.memory(4), 4 * PAGE, 4 * MIB));
            ok(pins.it.attach(pins.device, pins.ioas));
            pins.are(20);
            ok(pins.it.detach(pins.device));
            pins.are(0);
        }
    }

    @EveryKernel
    void aTableWithoutADevicePinsAsWell(KernelUnderTest kernel) {
        try (Pins pins = new Pins(kernel)) {
            ok(pins.it.map(pins.ioas, ALL, pins.it.memory(16), 16 * PAGE, MIB));
            long hwpt = ok(pins.it.hwpt(0, pins.id, pins.ioas));
            pins.are(16);
            ok(pins.it.destroy(hwpt));
            pins.are(0);
        }
    }

    @EveryKernel
    void moreTablesCostNothing(KernelUnderTest kernel) {
        try (Pins pins = new Pins(kernel)) {
            ok(pins.it.map(pins.ioas, ALL, pins.it.memory(16), 16 * PAGE, MIB));
            long one = ok(pins.it.hwpt(0, pins.id, pins.ioas));
            long two = ok(pins.it.hwpt(0, pins.id, pins.ioas));
            pins.are(16);
            ok(pins.it.destroy(one));
            pins.are(16);
            ok(pins.it.map(pins.ioas, ALL, pins.it.memory(1), PAGE, 4 * MIB));
            pins.are(17);
            ok(pins.it.destroy(two));
            pins.are(0);
        }
    }

    @EveryKernel
    void copiesCostNothing(KernelUnderTest kernel) {
        try (Pins pins = new Pins(kernel)) {
            ok(pins.it.attach(pins.device, pins.ioas));
            ok(pins.it.map(pins.ioas, ALL, pins.it.memory(16), 16 * PAGE, MIB));
            ok(pins.it.copy(ALL, pins.ioas, MIB, pins.ioas, 2 * MIB, 16 * PAGE));
            ok(pins.it.copy(ALL, pins.ioas, MIB, pins.ioas, 3 * MIB, 4 * PAGE));
            pins.are(16);
        }
    }

    @EveryKernel
    void aCopyKeepsWhatItCoversPinned(KernelUnderTest kernel) {
        try (Pins pins = new Pins(kernel)) {
            ok(pins.it.attach(pins.device, pins.ioas));
            ok(pins.it.map(pins.ioas, ALL, pins.it.memory(16), 16 * PAGE, MIB));
            ok(pins.it.copy(ALL, pins.ioas, MIB + 2 * PAGE, pins.ioas, 2 * MIB, 4 * PAGE));
            ok(pins.it.copy(ALL, pins.ioas, MIB + 4 * PAGE, pins.ioas, 3 * MIB, 4 * PAGE));
            ok(pins.it.unmap(pins.ioas, MIB, 16 * PAGE));
            pins.are(6);
            ok(pins.it.unmap(pins.ioas, 2 * MIB, 4 * PAGE));
            pins.are(4);
            ok(pins.it.unmap(pins.ioas, 0, -1));
            pins.are(0);
        }
    }

    @EveryKernel
    void theSameMemoryMappedTwiceIsPinnedTwice(KernelUnderTest kernel) {
        try (Pins pins = new Pins(kernel)) {
            ok(pins.it.attach(pins.device, pins.ioas));
            long memory = pins.it.memory(16);
            ok(pins.it.map(pins.ioas, ALL, memory, 16 * PAGE, MIB));
            ok(pins.it.map(pins.ioas, ALL, memory, 16 * PAGE, 2 * MIB));
            pins.are(32);
        }
    }

    @EveryKernel
    void aCutUnpinsThePiece(KernelUnderTest kernel) {
        try (Pins pins = new Pins(kernel)) {
            ok(pins.it.vfioIoas(1, pins.ioas));
            ok(kernel.sys().ioctl(pins.it.fd, 0x3b66, 1));
            ok(pins.it.attach(pins.device, pins.ioas));
            ok(pins.it.map(pins.ioas, ALL, pins.it.memory(16), 16 * PAGE, MIB));
            assertEquals(3 * PAGE, pins.it.type1Unmap(0, MIB + 5 * PAGE, 3 * PAGE));
            pins.are(13);
        }
    }

    @EveryKernel
    void whatFailsPinsNothing(KernelUnderTest kernel) {
        try (Pins pins = new Pins(kernel)) {
            ok(pins.it.map(pins.ioas, ALL, pins.it.memory(16), 16 * PAGE, MIB));
            ok(pins.it.map(pins.ioas, ALL, NOWHERE, PAGE, 2 * MIB));
            fails(Errno.EFAULT, pins.it.attach(pins.device, pins.ioas));
            pins.are(0);
            ok(pins.it.unmap(pins.ioas, 0, -1));
            ok(pins.it.attach(pins.device, pins.ioas));
            long memory = pins.it.memory(16);
            ok(kernel.sys().munmap(memory + 15 * PAGE, PAGE));
            fails(Errno.EFAULT, pins.it.map(pins.ioas, ALL, memory, 16 * PAGE, MIB));
            pins.are(0);
        }
    }

    @EveryKernel
    void memoryThatTheProcessHasGivenUpStaysPinned(KernelUnderTest kernel) {
        try (Pins pins = new Pins(kernel)) {
            ok(pins.it.attach(pins.device, pins.ioas));
            int flags = Linux.MAP_PRIVATE | Linux.MAP_ANONYMOUS;
            long memory = ok(kernel.sys().mmap(0, 4 * PAGE, Linux.PROT_READ | Linux.PROT_WRITE, flags, -1, 0));
            ok(pins.it.map(pins.ioas, ALL, memory, 4 * PAGE, MIB));
            ok(kernel.sys().munmap(memory, 4 * PAGE));
            pins.are(4);
            ok(pins.it.unmap(pins.ioas, 0, -1));
            pins.are(0);
        }
    }

    @EveryKernel
    void filesArePinnedAsMemoryIs(KernelUnderTest kernel) {
        try (Pins pins = new Pins(kernel)) {
            pins.it.needs(IommufdClient.MAP_FILE, "IOMMU_IOAS_MAP_FILE");
            ok(pins.it.attach(pins.device, pins.ioas));
            int file = Checks.fd(kernel.sys().memfdCreate("dma", Linux.MFD_CLOEXEC));
            ok(kernel.sys().ftruncate(file, 8 * PAGE));
            ok(pins.it.mapFile(pins.ioas, ALL, file, 0, 8 * PAGE, MIB));
            ok(kernel.sys().close(file));
            pins.are(8);
            ok(pins.it.destroy(ok(pins.it.ioas())));
            ok(pins.it.unmap(pins.ioas, 0, -1));
            pins.are(0);
        }
    }

    @EveryKernel
    void closingTheDeviceUnpins(KernelUnderTest kernel) {
        try (Pins pins = new Pins(kernel)) {
            ok(pins.it.attach(pins.device, pins.ioas));
            ok(pins.it.map(pins.ioas, ALL, pins.it.memory(16), 16 * PAGE, MIB));
            pins.it.closeFile(pins.device);
            pins.are(0);
        }
    }

    @EveryKernel
    void closingEverythingUnpins(KernelUnderTest kernel) {
        try (Pins pins = new Pins(kernel)) {
            long before = ProcessStatus.pages(kernel, "VmPin");
            ok(pins.it.attach(pins.device, pins.ioas));
            ok(pins.it.map(pins.ioas, ALL, pins.it.memory(16), 16 * PAGE, MIB));
            pins.it.closeContext();
            assertEquals(16, ProcessStatus.pages(kernel, "VmPin") - before, "the device keeps it");
            pins.it.closeFile(pins.device);
            assertEquals(before, ProcessStatus.pages(kernel, "VmPin"));
        }
    }

    @EveryKernel
    void aReplaceMovesThePins(KernelUnderTest kernel) {
        try (Pins pins = new Pins(kernel)) {
            long other = ok(pins.it.ioas());
            ok(pins.it.map(pins.ioas, ALL, pins.it.memory(16), 16 * PAGE, MIB));
            ok(pins.it.map(other, ALL, pins.it.memory(2), 2 * PAGE, MIB));
            ok(pins.it.attach(pins.device, pins.ioas));
            ok(pins.it.attach(pins.device, other));
            pins.are(2);
            ok(pins.it.copy(ALL, pins.ioas, MIB, other, 4 * MIB, 8 * PAGE));
            pins.are(10);
        }
    }

    @EveryKernel
    void rootIsNotBoundByTheLimit(KernelUnderTest kernel) {
        try (Pins pins = new Pins(kernel)) {
            MemorySegment old = pins.it.struct(16);
            ok(kernel.sys().prlimit(Linux.RLIMIT_MEMLOCK, null, old));
            MemorySegment none = pins.it.struct(16);
            none.set(ValueLayout.JAVA_LONG, 0, 0);
            none.set(ValueLayout.JAVA_LONG, 8, old.get(ValueLayout.JAVA_LONG, 8));
            ok(kernel.sys().prlimit(Linux.RLIMIT_MEMLOCK, none, null));
            try {
                ok(pins.it.attach(pins.device, pins.ioas));
                ok(pins.it.map(pins.ioas, ALL, pins.it.memory(16), 16 * PAGE, MIB));
                pins.are(16);
            } finally {
                ok(kernel.sys().prlimit(Linux.RLIMIT_MEMLOCK, old, null));
            }
        }
    }

    @EveryKernel
    void rootLocksNothingInEitherMode(KernelUnderTest kernel) {
        for (int mode = 0; mode < 2; mode++) {
            try (IommufdClient it = new IommufdClient(kernel)) {
                ok(it.option(0, 0, 0, mode));
                int device = it.openDevice();
                ok(it.bind(device));
                long ioas = ok(it.ioas());
                ok(it.attach(device, ioas));
                long pinned = ProcessStatus.pages(kernel, "VmPin");
                long locked = ProcessStatus.pages(kernel, "VmLck");
                ok(it.map(ioas, ALL, it.memory(16), 16 * PAGE, MIB));
                assertEquals(16, ProcessStatus.pages(kernel, "VmPin") - pinned);
                assertEquals(locked, ProcessStatus.pages(kernel, "VmLck"));
            }
        }
    }
}
