// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract;

import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

import static dev.alcove.contract.Checks.fails;
import static dev.alcove.contract.Checks.ok;
import static dev.alcove.contract.IommufdClient.ALL;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;

/** VFIO_DEVICE_ATTACH_IOMMUFD_PT and DETACH: which page table a device comes to, what is pinned and what is reserved. */
@Surface("VFIO iommufd")
final class IommufdAttachContractTest {
    private static final long PAGE = Linux.PAGE_SIZE;
    private static final long MIB = 1 << 20;
    private static final long MSI = 0xfee0_0000L;
    private static final long NOWHERE = 0x10_0000_0000_0000L;
    private static final int ATTACH = 0x3b77;
    private static final int DETACH = 0x3b78;
    private static final int PASID = 8;

    /** The id of the first object of a context. */
    private static final long DEVICE = 1;

    private static MemorySegment words(IommufdClient it, int... words) {
        MemorySegment struct = it.struct(4L * words.length);
        for (int i = 0; i < words.length; i++) {
            struct.set(ValueLayout.JAVA_INT, 4L * i, words[i]);
        }
        return struct;
    }

    @EveryKernel
    void theTargetMustBeAPageTableOrAnAddressSpace(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            int device = it.openDevice();
            long id = ok(it.bind(device));
            fails(Errno.ENOENT, it.attach(device, 99));
            fails(Errno.ENOENT, it.attach(device, 0));
            fails(Errno.EINVAL, it.attach(device, id));
            fails(Errno.EINVAL, it.attach(device, it.faultQueue().id()));
        }
    }

    @EveryKernel
    void theStructOfAnAttachIsChecked(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            int device = it.openDevice();
            ok(it.bind(device));
            int ioas = (int) ok(it.ioas());
            fails(Errno.EFAULT, kernel.sys().ioctl(device, ATTACH, 16L));
            fails(Errno.EINVAL, kernel.sys().ioctl(device, ATTACH, words(it, 11, 0, ioas)));
            fails(Errno.EINVAL, kernel.sys().ioctl(device, ATTACH, words(it, 12, 2, ioas)));
            ok(kernel.sys().ioctl(device, ATTACH, words(it, 0x7fff_ffff, 0, ioas)));
        }
    }

    @EveryKernel
    void theStructOfADetachIsChecked(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            int device = it.openDevice();
            ok(it.bind(device));
            fails(Errno.EFAULT, kernel.sys().ioctl(device, DETACH, 16L));
            fails(Errno.EINVAL, kernel.sys().ioctl(device, DETACH, words(it, 7, 0)));
            fails(Errno.EINVAL, kernel.sys().ioctl(device, DETACH, words(it, 8, 2)));
            ok(kernel.sys().ioctl(device, DETACH, words(it, 8, 0)));
        }
    }

    @EveryKernel
    void anAddressSpaceGivesAPageTableOfItsOwn(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            int device = it.openDevice();
            ok(it.bind(device));
            long ioas = ok(it.ioas());
            long hwpt = ok(it.attach(device, ioas));
            assertNotEquals(ioas, hwpt);
            assertEquals(hwpt, it.attach(device, ioas), "the same again");
            fails(Errno.EBUSY, it.destroy(hwpt));
            ok(it.detach(device));
            fails(Errno.ENOENT, it.destroy(hwpt));
        }
    }

    @EveryKernel
    void aTableMadeByHandIsNotChosen(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            int device = it.openDevice();
            long id = ok(it.bind(device));
            long ioas = ok(it.ioas());
            long hand = ok(it.hwpt(0, id, ioas));
            assertNotEquals(hand, ok(it.attach(device, ioas)));
        }
    }

    @EveryKernel
    void aTableMadeByHandStaysWhenItsDeviceLeaves(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            int device = it.openDevice();
            long id = ok(it.bind(device));
            long hand = ok(it.hwpt(0, id, ok(it.ioas())));
            assertEquals(hand, it.attach(device, hand));
            fails(Errno.EBUSY, it.destroy(hand));
            ok(it.detach(device));
            ok(it.destroy(hand));
        }
    }

    @EveryKernel
    void anAttachOfAnAttachedDeviceReplaces(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            int device = it.openDevice();
            long id = ok(it.bind(device));
            long first = ok(it.ioas());
            long second = ok(it.ioas());
            long auto = ok(it.attach(device, first));
            long hand = ok(it.hwpt(0, id, second));
            assertEquals(hand, it.attach(device, hand));
            fails(Errno.ENOENT, it.destroy(auto));
            ok(it.destroy(first));
            fails(Errno.EBUSY, it.destroy(second));
        }
    }

    @EveryKernel
    void aReplaceThatFailsChangesNothing(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            int device = it.openDevice();
            ok(it.bind(device));
            long good = ok(it.ioas());
            long bad = ok(it.ioas());
            long hwpt = ok(it.attach(device, good));
            ok(it.map(bad, ALL, NOWHERE, PAGE, MIB));
            fails(Errno.EFAULT, it.attach(device, bad));
            ok(it.unmap(bad, 0, -1));
            ok(it.map(bad, ALL, it.memory(1), PAGE, MSI));
            fails(Errno.EADDRINUSE, it.attach(device, bad));
            assertArrayEquals(new long[] {0, -1}, it.ranges(bad));
            assertEquals(4, it.ranges(good).length);
            fails(Errno.EBUSY, it.destroy(hwpt));
            ok(it.unmap(bad, 0, -1));
            ok(it.destroy(bad));
        }
    }

    @EveryKernel
    void reservedRegionsMoveWithTheDevice(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            int device = it.openDevice();
            ok(it.bind(device));
            long first = ok(it.ioas());
            long second = ok(it.ioas());
            ok(it.attach(device, first));
            ok(it.attach(device, second));
            assertArrayEquals(new long[] {0, -1}, it.ranges(first));
            assertEquals(4, it.ranges(second).length);
        }
    }

    @EveryKernel
    void anAttachPinsWhatIsMapped(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            int device = it.openDevice();
            ok(it.bind(device));
            long ioas = ok(it.ioas());
            ok(it.map(ioas, ALL, NOWHERE, PAGE, MIB));
            fails(Errno.EFAULT, it.attach(device, ioas));
            assertArrayEquals(new long[] {0, -1}, it.ranges(ioas), "nothing is reserved");
            ok(it.unmap(ioas, 0, -1));
            ok(it.attach(device, ioas));
        }
    }

    @EveryKernel
    void areasInReservedRegionsAreInTheWayBeforeAnythingIsPinned(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            int device = it.openDevice();
            ok(it.bind(device));
            long ioas = ok(it.ioas());
            ok(it.map(ioas, ALL, NOWHERE, PAGE, MIB));
            ok(it.map(ioas, ALL, NOWHERE, PAGE, MSI));
            fails(Errno.EADDRINUSE, it.attach(device, ioas));
            ok(it.unmap(ioas, MSI, PAGE));
            ok(it.allow(ioas, MSI - MIB, MSI));
            fails(Errno.EADDRINUSE, it.attach(device, ioas));
            ok(it.allow(ioas, MSI - MIB, MSI - 1));
            fails(Errno.EFAULT, it.attach(device, ioas));
        }
    }

    @EveryKernel
    void unalignedAreasAreInTheWay(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            int device = it.openDevice();
            ok(it.bind(device));
            long ioas = ok(it.ioas());
            ok(it.map(ioas, ALL, it.memory(1), 100, MIB));
            fails(Errno.EADDRINUSE, it.attach(device, ioas));
            ok(it.unmap(ioas, 0, -1));
            ok(it.attach(device, ioas));
            fails(Errno.EINVAL, it.map(ioas, ALL, it.memory(1), 100, MIB));
            fails(Errno.EINVAL, it.map(ioas, ALL, it.memory(2) + 8, PAGE, MIB));
            fails(Errno.EINVAL, it.map(ioas, ALL, it.memory(1), PAGE, MIB + 8));
        }
    }

    @EveryKernel
    void withADeviceTheMessageWindowIsNotMapped(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            int device = it.openDevice();
            ok(it.bind(device));
            long ioas = ok(it.ioas());
            ok(it.attach(device, ioas));
            long memory = it.memory(2);
            fails(Errno.EINVAL, it.map(ioas, ALL, memory, PAGE, MSI));
            fails(Errno.EINVAL, it.map(ioas, ALL, memory, 2 * PAGE, MSI - PAGE));
            fails(Errno.EINVAL, it.map(ioas, ALL, memory, PAGE, MSI + MIB - PAGE));
            ok(it.map(ioas, ALL, memory, PAGE, MSI - PAGE));
            ok(it.map(ioas, ALL, memory, PAGE, MSI + MIB));
        }
    }

    @EveryKernel
    void aMapThatCannotPinLeavesNothing(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            int device = it.openDevice();
            ok(it.bind(device));
            long ioas = ok(it.ioas());
            ok(it.attach(device, ioas));
            long memory = it.memory(1024);
            ok(kernel.sys().munmap(memory + 1000 * PAGE, PAGE));
            fails(Errno.EFAULT, it.map(ioas, ALL, memory, 1024 * PAGE, MIB));
            fails(Errno.ENOENT, it.unmap(ioas, MIB, 1024 * PAGE));
            assertEquals(MIB, it.map(ioas, ALL, memory, 1000 * PAGE, MIB));
            assertEquals(1000 * PAGE, it.unmap(ioas, 0, -1));
        }
    }

    @EveryKernel
    void copiesShareWhatIsPinned(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            int device = it.openDevice();
            ok(it.bind(device));
            long ioas = ok(it.ioas());
            long other = ok(it.ioas());
            ok(it.attach(device, ioas));
            long memory = ok(kernel.sys().mmap(
                    0, 4 * PAGE, Linux.PROT_READ | Linux.PROT_WRITE, Linux.MAP_PRIVATE | Linux.MAP_ANONYMOUS, -1, 0));
            ok(it.map(ioas, ALL, memory, 4 * PAGE, MIB));
            ok(kernel.sys().munmap(memory, 4 * PAGE));
            assertEquals(2 * MIB, it.copy(ALL, ioas, MIB + PAGE, ioas, 2 * MIB, 2 * PAGE), "needs no memory any more");
            assertEquals(MIB, it.copy(ALL, ioas, MIB, other, MIB, 4 * PAGE));
            ok(it.unmap(ioas, MIB, 4 * PAGE));
            fails(Errno.EFAULT, it.copy(ALL, other, MIB, ioas, MIB, 4 * PAGE));
            assertEquals(MIB, it.copy(ALL, other, MIB + PAGE, ioas, MIB, 2 * PAGE), "these are pinned still");
        }
    }

    @EveryKernel
    void anAnswerThatIsLostDetaches(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            int device = it.openDevice();
            ok(it.bind(device));
            long ioas = ok(it.ioas());
            int file = Checks.fd(kernel.sys().memfdCreate("request", Linux.MFD_CLOEXEC));
            ok(kernel.sys().ftruncate(file, PAGE));
            ok(kernel.sys().pwrite(file, words(it, 12, 0, (int) ioas), 0));
            long page = ok(kernel.sys().mmap(0, PAGE, Linux.PROT_READ, Linux.MAP_SHARED, file, 0));
            fails(Errno.EFAULT, kernel.sys().ioctl(device, ATTACH, page));
            ok(kernel.sys().munmap(page, PAGE));
            ok(kernel.sys().close(file));
            assertArrayEquals(new long[] {0, -1}, it.ranges(ioas));
            ok(it.destroy(ioas));
        }
    }

    /** A bound device that can be attached with a PASID; skips the test where VFIO does not know them. */
    private static int pasids(KernelUnderTest kernel, IommufdClient it) {
        int device = it.openDevice();
        ok(it.bind(device));
        long answer = it.attachPasid(device, 5, 0x7fff);
        kernel.needs("VFIO_DEVICE_ATTACH_PASID", answer == -Errno.ENOENT ? 0 : answer);
        return device;
    }

    @EveryKernel
    void aPasidNeedsALongerStruct(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            int device = pasids(kernel, it);
            int ioas = (int) ok(it.ioas());
            fails(Errno.EINVAL, kernel.sys().ioctl(device, ATTACH, words(it, 12, 1, ioas, 5)));
            fails(Errno.EINVAL, kernel.sys().ioctl(device, ATTACH, words(it, 15, 1, ioas, 5)));
            fails(Errno.EINVAL, kernel.sys().ioctl(device, DETACH, words(it, 8, 1, 5)));
        }
    }

    @EveryKernel
    void aPasidThatIsNotAttachedIsEasilyDetached(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            int device = pasids(kernel, it);
            ok(it.detachPasid(device, 5));
            ok(it.detachPasid(device, -1));
        }
    }

    @EveryKernel
    void aPasidNeedsATableThatWasMadeForIt(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            int device = pasids(kernel, it);
            long ioas = ok(it.ioas());
            fails(Errno.EINVAL, it.attachPasid(device, 5, ioas));
            fails(Errno.EINVAL, it.attachPasid(device, 5, ok(it.hwpt(0, DEVICE, ioas))));
            long hwpt = ok(it.hwpt(PASID, DEVICE, ioas));
            assertEquals(hwpt, it.attachPasid(device, 5, hwpt));
            assertEquals(hwpt, it.attachPasid(device, 5, hwpt), "the same again");
            fails(Errno.EBUSY, it.destroy(hwpt));
            ok(it.detachPasid(device, 5));
            ok(it.destroy(hwpt));
        }
    }

    @EveryKernel
    void eachPasidHasItsTable(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            int device = pasids(kernel, it);
            long one = ok(it.hwpt(PASID, DEVICE, ok(it.ioas())));
            long two = ok(it.hwpt(PASID, DEVICE, ok(it.ioas())));
            assertEquals(one, it.attachPasid(device, 5, one));
            assertEquals(two, it.attachPasid(device, 6, two));
            assertEquals(two, it.attachPasid(device, 5, two), "a replace");
            ok(it.destroy(one));
            ok(it.detachPasid(device, 6));
            fails(Errno.EBUSY, it.destroy(two));
            ok(it.detachPasid(device, 5));
            ok(it.destroy(two));
        }
    }

    @EveryKernel
    void aPasidReservesNothing(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            int device = pasids(kernel, it);
            long ioas = ok(it.ioas());
            long hwpt = ok(it.hwpt(PASID, DEVICE, ioas));
            ok(it.attachPasid(device, 5, hwpt));
            assertEquals(2, it.ranges(ioas).length, "only the aperture");
        }
    }

    @EveryKernel
    void aDeviceAndItsPasidsAgree(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            int device = pasids(kernel, it);
            long ioas = ok(it.ioas());
            long hwpt = ok(it.hwpt(PASID, DEVICE, ioas));
            ok(it.attach(device, ioas));
            fails(Errno.EINVAL, it.attachPasid(device, 5, hwpt));
            ok(it.attach(device, hwpt));
            ok(it.attachPasid(device, 5, hwpt));
            fails(Errno.EINVAL, it.attach(device, ioas));
            ok(it.detachPasid(device, 5));
            ok(it.attach(device, ioas));
        }
    }

    @EveryKernel
    void closingTheDeviceDetachesItsPasids(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            int device = pasids(kernel, it);
            long hwpt = ok(it.hwpt(PASID, DEVICE, ok(it.ioas())));
            ok(it.attachPasid(device, 5, hwpt));
            ok(it.attachPasid(device, 6, hwpt));
            it.closeFile(device);
            ok(it.destroy(hwpt));
        }
    }
}
