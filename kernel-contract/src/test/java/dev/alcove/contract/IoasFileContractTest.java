// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract;

import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;

import static dev.alcove.contract.Checks.fails;
import static dev.alcove.contract.Checks.ok;
import static dev.alcove.contract.IommufdClient.ALL;
import static dev.alcove.contract.IommufdClient.FIXED;
import static dev.alcove.contract.IommufdClient.MAP_FILE;
import static dev.alcove.contract.IommufdClient.READ;
import static org.junit.jupiter.api.Assertions.assertEquals;

/** IOMMU_IOAS_MAP_FILE: taken unseen while there is no device, pinned as shared memory once there is one. */
@Surface("areas")
final class IoasFileContractTest {
    private static final long PAGE = Linux.PAGE_SIZE;
    private static final long MIB = 1 << 20;

    private static IommufdClient client(KernelUnderTest kernel) {
        IommufdClient it = new IommufdClient(kernel);
        if (!it.has(MAP_FILE)) {
            it.close();
            kernel.needs("IOMMU_IOAS_MAP_FILE", -Errno.ENOTTY);
        }
        return it;
    }

    private static int memfd(KernelUnderTest kernel, long bytes) {
        int file = Checks.fd(kernel.sys().memfdCreate("dma", Linux.MFD_CLOEXEC | Linux.MFD_ALLOW_SEALING));
        ok(kernel.sys().ftruncate(file, bytes));
        return file;
    }

    private static long attached(IommufdClient it) {
        int device = it.openDevice();
        ok(it.bind(device));
        long ioas = ok(it.ioas());
        ok(it.attach(device, ioas));
        return ioas;
    }

    @EveryKernel
    void flagsThenNumbersThenRightsThenTheId(KernelUnderTest kernel) {
        try (IommufdClient it = client(kernel)) {
            fails(Errno.EOPNOTSUPP, it.mapFile(99, ALL | 8, -1, 0, -1, -1));
            fails(Errno.EOVERFLOW, it.mapFile(99, FIXED, -1, 0, -1, 0));
            fails(Errno.EOVERFLOW, it.mapFile(99, FIXED, -1, 0, 0, -1));
            fails(Errno.EINVAL, it.mapFile(99, FIXED, -1, 0, 0, 0));
            fails(Errno.ENOENT, it.mapFile(99, ALL, -1, 0, 0, 0));
        }
    }

    @EveryKernel
    void thenTheRangeThenTheDescriptorThenThePlace(KernelUnderTest kernel) {
        try (IommufdClient it = client(kernel)) {
            long ioas = ok(it.ioas());
            ok(it.map(ioas, ALL, 0, PAGE, MIB));
            fails(Errno.EINVAL, it.mapFile(ioas, ALL, -1, -PAGE, 0, MIB));
            fails(Errno.EOVERFLOW, it.mapFile(ioas, ALL, -1, -PAGE, 2 * PAGE, MIB));
            fails(Errno.EBADF, it.mapFile(ioas, ALL, -1, 0, PAGE, MIB));
            fails(Errno.EBADF, it.mapFile(ioas, ALL, 9999, -PAGE, PAGE, MIB));
            int file = memfd(kernel, PAGE);
            fails(Errno.EEXIST, it.mapFile(ioas, ALL, file, 0, PAGE, MIB));
            ok(kernel.sys().close(file));
        }
    }

    @EveryKernel
    void aLengthNearTheEndOfNumbersIsInvalidOnceTheFileIsThere(KernelUnderTest kernel) {
        try (IommufdClient it = client(kernel)) {
            long ioas = ok(it.ioas());
            int file = memfd(kernel, PAGE);
            fails(Errno.EBADF, it.mapFile(ioas, ALL, -1, 0, -PAGE, MIB));
            fails(Errno.EINVAL, it.mapFile(ioas, ALL, file, 0, -PAGE, MIB));
            fails(Errno.EOVERFLOW, it.mapFile(ioas, ALL, file, 0, -PAGE - 1, MIB));
            ok(kernel.sys().close(file));
        }
    }

    @EveryKernel
    void withoutADeviceAnyFileWillDo(KernelUnderTest kernel) {
        try (IommufdClient it = client(kernel)) {
            long ioas = ok(it.ioas());
            int event = Checks.fd(kernel.sys().eventfd(0, Linux.EFD_CLOEXEC));
            int file = memfd(kernel, 0);
            assertEquals(MIB, it.mapFile(ioas, ALL, event, 0, PAGE, MIB));
            assertEquals(2 * MIB, it.mapFile(ioas, ALL, file, 0, 8 * PAGE, 2 * MIB));
            assertEquals(3 * MIB, it.mapFile(ioas, ALL, it.fd, 1L << 40, PAGE, 3 * MIB));
            ok(kernel.sys().close(event));
            ok(kernel.sys().close(file));
            assertEquals(10 * PAGE, it.unmap(ioas, 0, -1));
        }
    }

    @EveryKernel
    void aFileMapsItsOwnAddressSpaceAndIsClosedWithIt(KernelUnderTest kernel) {
        try (IommufdClient it = client(kernel)) {
            long ioas = ok(it.ioas());
            assertEquals(MIB, it.mapFile(ioas, ALL, it.fd, 0, PAGE, MIB));
            assertEquals(PAGE, it.unmap(ioas, MIB, PAGE), "or neither would ever be closed");
        }
    }

    @EveryKernel
    void aChosenIovaKeepsTheOffset(KernelUnderTest kernel) {
        try (IommufdClient it = client(kernel)) {
            long ioas = ok(it.ioas());
            int file = memfd(kernel, 16 * PAGE);
            assertEquals(PAGE, it.mapFile(ioas, READ, file, PAGE, 4 * PAGE, 0));
            assertEquals(6 * PAGE, it.mapFile(ioas, READ, file, 2 * PAGE, 4 * PAGE, 0));
            assertEquals(5 * PAGE + 0x10, it.mapFile(ioas, READ, file, 0x10, 0x20, 0));
            assertEquals(16 * PAGE, it.mapFile(ioas, READ, file, 0, 16 * PAGE, 0));
            ok(kernel.sys().close(file));
        }
    }

    @EveryKernel
    void rightsAreThoseOfTheFirstMapping(KernelUnderTest kernel) {
        try (IommufdClient it = client(kernel)) {
            long ioas = ok(it.ioas());
            int file = memfd(kernel, PAGE);
            ok(it.mapFile(ioas, FIXED | READ, file, 0, PAGE, MIB));
            fails(Errno.EPERM, it.copy(ALL, ioas, MIB, ioas, 2 * MIB, PAGE));
            ok(it.mapFile(ioas, ALL, file, 0, PAGE, 2 * MIB));
            ok(it.copy(ALL, ioas, 2 * MIB, ioas, 3 * MIB, PAGE));
            ok(kernel.sys().close(file));
        }
    }

    @EveryKernel
    void aDeviceWantsSharedMemory(KernelUnderTest kernel) {
        try (IommufdClient it = client(kernel)) {
            long ioas = attached(it);
            int event = Checks.fd(kernel.sys().eventfd(0, Linux.EFD_CLOEXEC));
            fails(Errno.EINVAL, it.mapFile(ioas, ALL, event, 0, PAGE, MIB));
            fails(Errno.EINVAL, it.mapFile(ioas, ALL, it.fd, 0, PAGE, MIB));
            fails(Errno.ENOENT, it.unmap(ioas, MIB, PAGE));
            ok(kernel.sys().close(event));
        }
    }

    @EveryKernel
    void anAttachFindsTheFilesThatCannotBePinned(KernelUnderTest kernel) {
        try (IommufdClient it = client(kernel)) {
            int device = it.openDevice();
            long id = ok(it.bind(device));
            long ioas = ok(it.ioas());
            int event = Checks.fd(kernel.sys().eventfd(0, Linux.EFD_CLOEXEC));
            ok(it.mapFile(ioas, ALL, event, 0, PAGE, MIB));
            ok(kernel.sys().close(event));
            fails(Errno.EINVAL, it.attach(device, ioas));
            fails(Errno.EINVAL, it.hwpt(0, id, ioas));
            ok(it.unmap(ioas, 0, -1));
            ok(it.attach(device, ioas));
        }
    }

    @EveryKernel
    void aDeviceReachesNoFurtherThanTheFile(KernelUnderTest kernel) {
        try (IommufdClient it = client(kernel)) {
            long ioas = attached(it);
            int file = memfd(kernel, 8 * PAGE);
            fails(Errno.EINVAL, it.mapFile(ioas, ALL, file, 0, 9 * PAGE, MIB));
            fails(Errno.EINVAL, it.mapFile(ioas, ALL, file, 8 * PAGE, PAGE, MIB));
            fails(Errno.EINVAL, it.mapFile(ioas, ALL, file, 7 * PAGE, 2 * PAGE, MIB));
            assertEquals(MIB, it.mapFile(ioas, ALL, file, PAGE, 7 * PAGE, MIB));
            assertEquals(2 * MIB, it.mapFile(ioas, FIXED | READ, file, 0, 8 * PAGE, 2 * MIB));
            ok(kernel.sys().close(file));
            assertEquals(15 * PAGE, it.unmap(ioas, 0, -1));
        }
    }

    @EveryKernel
    void theLastPageOfTheFileMustBeWhole(KernelUnderTest kernel) {
        try (IommufdClient it = client(kernel)) {
            long ioas = attached(it);
            int file = memfd(kernel, PAGE + 100);
            fails(Errno.EINVAL, it.mapFile(ioas, ALL, file, 0, 2 * PAGE, MIB));
            fails(Errno.EINVAL, it.mapFile(ioas, ALL, file, PAGE, PAGE, MIB));
            ok(it.mapFile(ioas, ALL, file, 0, PAGE, MIB));
            ok(kernel.sys().close(file));
        }
    }

    @EveryKernel
    void pinnedPagesOutliveTheFilesLength(KernelUnderTest kernel) {
        try (IommufdClient it = client(kernel)) {
            long ioas = attached(it);
            int file = memfd(kernel, 4 * PAGE);
            ok(it.mapFile(ioas, ALL, file, 0, 4 * PAGE, MIB));
            ok(kernel.sys().ftruncate(file, 0));
            fails(Errno.EINVAL, it.mapFile(ioas, ALL, file, 0, PAGE, 2 * MIB));
            assertEquals(2 * MIB, it.copy(ALL, ioas, MIB + PAGE, ioas, 2 * MIB, PAGE), "they are pinned already");
            ok(kernel.sys().close(file));
            assertEquals(5 * PAGE, it.unmap(ioas, 0, -1));
        }
    }

    @EveryKernel
    void aPinnedFileIsNotSealedAgainstWriting(KernelUnderTest kernel) {
        try (IommufdClient it = client(kernel)) {
            long ioas = attached(it);
            int file = memfd(kernel, PAGE);
            ok(it.mapFile(ioas, ALL, file, 0, PAGE, MIB));
            fails(Errno.EBUSY, kernel.sys().fcntl(file, Linux.F_ADD_SEALS, 8));
            ok(it.unmap(ioas, 0, -1));
            ok(kernel.sys().fcntl(file, Linux.F_ADD_SEALS, 8));
            ok(kernel.sys().close(file));
        }
    }

    @EveryKernel
    void sealsDoNotMatter(KernelUnderTest kernel) {
        try (IommufdClient it = client(kernel)) {
            long ioas = attached(it);
            int file = memfd(kernel, PAGE);
            ok(kernel.sys().fcntl(file, Linux.F_ADD_SEALS, 0xe));
            ok(it.mapFile(ioas, ALL, file, 0, PAGE, MIB));
            ok(kernel.sys().close(file));
        }
    }

    @EveryKernel
    void guestMemoryIsTakenUnseenAndNeverPinned(KernelUnderTest kernel) {
        try (KvmMachine machine = new KvmMachine(kernel, KvmMachine.DEFAULT);
                IommufdClient it = client(kernel)) {
            int gmem = machine.gmem(4 * PAGE, 0);
            kernel.needs("KVM_CREATE_GUEST_MEMFD", gmem);
            machine.own(gmem);
            int device = it.openDevice();
            ok(it.bind(device));
            long ioas = ok(it.ioas());
            assertEquals(MIB, it.mapFile(ioas, ALL, gmem, 0, PAGE, MIB));
            fails(Errno.EINVAL, it.attach(device, ioas));
            ok(it.unmap(ioas, 0, -1));
            ok(it.attach(device, ioas));
            fails(Errno.EINVAL, it.mapFile(ioas, ALL, gmem, 0, PAGE, MIB));
        }
    }
}
