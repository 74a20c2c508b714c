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

/**
 * RLIMIT_MEMLOCK of a process without CAP_IPC_LOCK. On a real kernel these need to be started as one, for example by
 * {@code setpriv --bounding-set=-ipc_lock}.
 */
@Surface("memlock")
final class MemlockLimitContractTest {
    private static final long PAGE = Linux.PAGE_SIZE;
    private static final long MIB = 1 << 20;
    private static final int IPC_LOCK = 14;
    private static final int LIMIT = 16;

    /** A bound device, an address space, and a limit of 16 pages. */
    private static final class Rig implements AutoCloseable {
        final KernelUnderTest kernel;
        final IommufdClient it;
        final int device;
        final long ioas;
        private final MemorySegment before;

        /** @param perProcess whether the context accounts per process */
        Rig(KernelUnderTest kernel, boolean perProcess) {
            this.kernel = kernel;
            it = new IommufdClient(kernel);
            if (ProcessStatus.capable(kernel, IPC_LOCK)) {
                it.close();
                kernel.needs("a process without CAP_IPC_LOCK", -Errno.EPERM);
            }
            ok(it.option(0, 0, 0, perProcess ? 1 : 0));
            device = it.openDevice();
            ok(it.bind(device));
            ioas = ok(it.ioas());
            before = it.struct(16);
            ok(kernel.sys().prlimit(Linux.RLIMIT_MEMLOCK, null, before));
            limit(LIMIT);
        }

        Rig(KernelUnderTest kernel) {
            this(kernel, false);
        }

        void limit(long pages) {
            MemorySegment limit = it.struct(16);
            limit.set(ValueLayout.JAVA_LONG, 0, pages * PAGE);
            limit.set(ValueLayout.JAVA_LONG, 8, before.get(ValueLayout.JAVA_LONG, 8));
            ok(kernel.sys().prlimit(Linux.RLIMIT_MEMLOCK, limit, null));
        }

        long map(long pages, long iova) {
            return it.map(ioas, ALL, it.memory(pages), pages * PAGE, iova);
        }

        @Override
        public void close() {
            ok(kernel.sys().prlimit(Linux.RLIMIT_MEMLOCK, before, null));
            it.close();
        }
    }

    @EveryKernelWithoutIpcLock
    void asMuchAsTheLimitAndNoMore(KernelUnderTest kernel) {
        try (Rig rig = new Rig(kernel)) {
            ok(rig.it.attach(rig.device, rig.ioas));
            ok(rig.map(LIMIT, MIB));
            fails(Errno.ENOMEM, rig.map(1, 2 * MIB));
            fails(Errno.ENOENT, rig.it.unmap(rig.ioas, 2 * MIB, PAGE));
            ok(rig.it.unmap(rig.ioas, MIB, LIMIT * PAGE));
            ok(rig.map(1, 2 * MIB));
        }
    }

    @EveryKernelWithoutIpcLock
    void whatIsTooMuchIsNotEvenPinnedInPart(KernelUnderTest kernel) {
        try (Rig rig = new Rig(kernel)) {
            ok(rig.it.attach(rig.device, rig.ioas));
            long pinned = ProcessStatus.pages(kernel, "VmPin");
            fails(Errno.ENOMEM, rig.map(LIMIT + 1, MIB));
            assertEquals(pinned, ProcessStatus.pages(kernel, "VmPin"));
            ok(rig.map(LIMIT, MIB));
        }
    }

    @EveryKernelWithoutIpcLock
    void withoutADeviceThereIsNoLimit(KernelUnderTest kernel) {
        try (Rig rig = new Rig(kernel)) {
            ok(rig.map(LIMIT + 1, MIB));
            fails(Errno.ENOMEM, rig.it.attach(rig.device, rig.ioas));
            assertEquals(-1, rig.it.ranges(rig.ioas)[1], "nothing is reserved");
            ok(rig.it.unmap(rig.ioas, 0, -1));
            ok(rig.it.attach(rig.device, rig.ioas));
        }
    }

    @EveryKernelWithoutIpcLock
    void badMemoryIsFoundBeforeTooMuch(KernelUnderTest kernel) {
        try (Rig rig = new Rig(kernel)) {
            ok(rig.it.attach(rig.device, rig.ioas));
            long memory = rig.it.memory(LIMIT + 2);
            ok(kernel.sys().munmap(memory + (LIMIT + 1) * PAGE, PAGE));
            fails(Errno.EFAULT, rig.it.map(rig.ioas, ALL, memory, (LIMIT + 2) * PAGE, MIB));
        }
    }

    @EveryKernelWithoutIpcLock
    void copiesAreFree(KernelUnderTest kernel) {
        try (Rig rig = new Rig(kernel)) {
            ok(rig.it.attach(rig.device, rig.ioas));
            ok(rig.map(LIMIT, MIB));
            ok(rig.it.copy(ALL, rig.ioas, MIB, rig.ioas, 2 * MIB, LIMIT * PAGE));
            ok(rig.it.unmap(rig.ioas, MIB, LIMIT * PAGE));
            fails(Errno.ENOMEM, rig.map(1, MIB));
        }
    }

    @EveryKernelWithoutIpcLock
    void whatACopyLetsGoIsGivenBack(KernelUnderTest kernel) {
        try (Rig rig = new Rig(kernel)) {
            ok(rig.it.attach(rig.device, rig.ioas));
            ok(rig.map(LIMIT, MIB));
            ok(rig.it.copy(ALL, rig.ioas, MIB + 4 * PAGE, rig.ioas, 2 * MIB, 4 * PAGE));
            ok(rig.it.unmap(rig.ioas, MIB, LIMIT * PAGE));
            fails(Errno.ENOMEM, rig.map(LIMIT - 3, MIB));
            ok(rig.map(LIMIT - 4, MIB));
        }
    }

    @EveryKernelWithoutIpcLock
    void filesCount(KernelUnderTest kernel) {
        try (Rig rig = new Rig(kernel)) {
            rig.it.needs(IommufdClient.MAP_FILE, "IOMMU_IOAS_MAP_FILE");
            ok(rig.it.attach(rig.device, rig.ioas));
            int file = rig.it.own(kernel.sys().memfdCreate("dma", Linux.MFD_CLOEXEC));
            ok(kernel.sys().ftruncate(file, (LIMIT + 1) * PAGE));
            fails(Errno.ENOMEM, rig.it.mapFile(rig.ioas, ALL, file, 0, (LIMIT + 1) * PAGE, MIB));
            ok(rig.it.mapFile(rig.ioas, ALL, file, 0, LIMIT * PAGE, MIB));
            fails(Errno.ENOMEM, rig.it.mapFile(rig.ioas, ALL, file, 0, PAGE, 2 * MIB));
        }
    }

    @EveryKernelWithoutIpcLock
    void theLimitIsThatOfTheMoment(KernelUnderTest kernel) {
        try (Rig rig = new Rig(kernel)) {
            ok(rig.it.attach(rig.device, rig.ioas));
            ok(rig.map(LIMIT, MIB));
            rig.limit(2 * LIMIT);
            ok(rig.map(LIMIT, 2 * MIB));
            rig.limit(1);
            fails(Errno.ENOMEM, rig.map(1, 3 * MIB));
            assertEquals(2 * LIMIT * PAGE, rig.it.unmap(rig.ioas, 0, -1));
            ok(rig.map(1, 3 * MIB));
        }
    }

    @EveryKernelWithoutIpcLock
    void perUserNothingCountsAsLocked(KernelUnderTest kernel) {
        try (Rig rig = new Rig(kernel)) {
            ok(rig.it.attach(rig.device, rig.ioas));
            long locked = ProcessStatus.pages(kernel, "VmLck");
            long pinned = ProcessStatus.pages(kernel, "VmPin");
            ok(rig.map(LIMIT, MIB));
            assertEquals(locked, ProcessStatus.pages(kernel, "VmLck"));
            assertEquals(LIMIT, ProcessStatus.pages(kernel, "VmPin") - pinned);
        }
    }

    @EveryKernelWithoutIpcLock
    void perProcessItDoes(KernelUnderTest kernel) {
        try (Rig rig = new Rig(kernel, true)) {
            ok(rig.it.attach(rig.device, rig.ioas));
            long locked = ProcessStatus.pages(kernel, "VmLck");
            ok(rig.map(LIMIT, MIB));
            assertEquals(LIMIT, ProcessStatus.pages(kernel, "VmLck") - locked);
            fails(Errno.ENOMEM, rig.map(1, 2 * MIB));
            ok(rig.it.unmap(rig.ioas, 0, -1));
            assertEquals(locked, ProcessStatus.pages(kernel, "VmLck"));
        }
    }

    @EveryKernelWithoutIpcLock
    void closingEverythingGivesItBack(KernelUnderTest kernel) {
        for (int round = 0; round < 2; round++) {
            try (Rig rig = new Rig(kernel)) {
                ok(rig.it.attach(rig.device, rig.ioas));
                ok(rig.map(LIMIT, MIB));
            }
        }
    }

    @EveryKernelWithoutIpcLock
    void movingFilesToTheSameProcessCostsNothing(KernelUnderTest kernel) {
        try (Rig rig = new Rig(kernel)) {
            rig.it.needs(IommufdClient.CHANGE_PROCESS, "IOMMU_IOAS_CHANGE_PROCESS");
            ok(rig.it.attach(rig.device, rig.ioas));
            int file = rig.it.own(kernel.sys().memfdCreate("dma", Linux.MFD_CLOEXEC));
            ok(kernel.sys().ftruncate(file, LIMIT * PAGE));
            ok(rig.it.mapFile(rig.ioas, ALL, file, 0, LIMIT * PAGE, MIB));
            ok(rig.it.call(IommufdClient.CHANGE_PROCESS, rig.it.struct(8)));
            fails(Errno.ENOMEM, rig.map(1, 2 * MIB));
        }
    }
}
