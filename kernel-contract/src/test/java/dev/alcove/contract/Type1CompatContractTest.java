// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract;

import dev.alcove.bindings.vfio.vfio_iommu_type1_info;
import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

import static dev.alcove.contract.Checks.fails;
import static dev.alcove.contract.Checks.ok;
import static dev.alcove.contract.IommufdClient.ALL;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

/** The type1 ioctls on /dev/iommu, and the cut that they allow. */
@Surface("compat")
final class Type1CompatContractTest {
    private static final long PAGE = Linux.PAGE_SIZE;
    private static final long MIB = 1 << 20;
    private static final int API_VERSION = 0x3b64;
    private static final int CHECK_EXTENSION = 0x3b65;
    private static final int SET_IOMMU = 0x3b66;
    private static final int GET_INFO = 0x3b70;
    private static final int TYPE1 = 1;
    private static final int TYPE1_V2 = 3;
    private static final int READ_WRITE = 3;
    private static final int UNMAP_ALL = 2;

    @EveryKernel
    void withoutAnAddressSpaceThereIsNoContainer(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            assertEquals(0, kernel.sys().ioctl(it.fd, API_VERSION, 0));
            assertEquals(1, kernel.sys().ioctl(it.fd, CHECK_EXTENSION, TYPE1));
            assertEquals(1, kernel.sys().ioctl(it.fd, CHECK_EXTENSION, TYPE1_V2));
            assertEquals(1, kernel.sys().ioctl(it.fd, CHECK_EXTENSION, 9));
            assertEquals(0, kernel.sys().ioctl(it.fd, CHECK_EXTENSION, 77));
            fails(Errno.ENODEV, kernel.sys().ioctl(it.fd, CHECK_EXTENSION, 4));
            fails(Errno.ENODEV, kernel.sys().ioctl(it.fd, SET_IOMMU, TYPE1));
            fails(Errno.EINVAL, kernel.sys().ioctl(it.fd, SET_IOMMU, 2));
            fails(Errno.ENODEV, it.type1Map(READ_WRITE, 0x1000, PAGE, MIB));
            fails(Errno.ENODEV, it.type1Unmap(0, MIB, PAGE));
            fails(Errno.EINVAL, it.type1Map(0x10, 0x1000, PAGE, MIB));
            fails(Errno.EINVAL, it.type1Unmap(0x10, MIB, PAGE));
            fails(Errno.ENODEV, it.vfioIoas(0, 0));
            fails(Errno.ENOENT, it.vfioIoas(1, 99));
            fails(Errno.EOPNOTSUPP, it.vfioIoas(3, 0));
            ok(it.vfioIoas(2, 0));
            long ioas = ok(it.ioas());
            ok(it.vfioIoas(1, ioas));
            assertEquals(ioas, it.vfioIoas(0, 0));
            ok(it.destroy(ioas));
            fails(Errno.ENODEV, it.vfioIoas(0, 0));
        }
    }

    @EveryKernel
    void type1CutsAndVersion2DoesNot(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            long ioas = ok(it.ioas());
            ok(it.vfioIoas(1, ioas));
            ok(kernel.sys().ioctl(it.fd, SET_IOMMU, TYPE1_V2));
            long memory = it.memory(64);
            ok(it.type1Map(READ_WRITE, memory, 64 * PAGE, MIB));
            fails(Errno.EEXIST, it.type1Map(READ_WRITE, memory, PAGE, MIB));
            fails(Errno.ENOENT, it.type1Unmap(0, MIB, PAGE));
            assertEquals(0, it.type1Unmap(0, 8 * MIB, PAGE), "an empty range is fine here");
            fails(Errno.EINVAL, it.type1Unmap(UNMAP_ALL, MIB, 0));
            assertEquals(64 * PAGE, it.type1Unmap(UNMAP_ALL, 0, 0));
            fails(Errno.EINVAL, it.type1Unmap(0, MIB, 0));

            ok(kernel.sys().ioctl(it.fd, SET_IOMMU, TYPE1));
            assertEquals(0, it.option(1, 1, ioas, 1), "large entries are off");
            ok(it.type1Map(READ_WRITE, memory, 64 * PAGE, MIB));
            assertEquals(PAGE, it.type1Unmap(0, MIB + 7 * PAGE, PAGE));
            assertEquals(0, it.type1Unmap(0, MIB + 7 * PAGE, PAGE));
            assertEquals(2 * PAGE, it.type1Unmap(0, MIB + 6 * PAGE, 3 * PAGE));
            fails(Errno.ENOENT, it.unmap(ioas, MIB, PAGE));
            assertEquals(6 * PAGE, it.unmap(ioas, MIB, 8 * PAGE));
            fails(Errno.EINVAL, it.type1Unmap(0, MIB + 20 * PAGE, 100));
            assertEquals(55 * PAGE, it.unmap(ioas, 0, -1));
        }
    }

    @EveryKernel
    void aCutUnderADomain(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            int device = it.openDevice();
            ok(it.bind(device));
            long ioas = ok(it.ioas());
            ok(it.vfioIoas(1, ioas));
            ok(it.attach(device, ioas));
            ok(it.map(ioas, ALL, it.memory(16), 16 * PAGE, MIB));
            fails(Errno.EINVAL, kernel.sys().ioctl(it.fd, SET_IOMMU, TYPE1));
            fails(Errno.ENOENT, it.type1Unmap(0, MIB, PAGE));
            ok(it.unmap(ioas, 0, -1));
            ok(kernel.sys().ioctl(it.fd, SET_IOMMU, TYPE1));
            int coherent = kernel.sys().ioctl(it.fd, CHECK_EXTENSION, 4);
            assertTrue(coherent == 0 || coherent == 1, "whether DMA is coherent depends on the IOMMU: " + coherent);
            ok(it.map(ioas, ALL, it.memory(16), 16 * PAGE, MIB));
            assertEquals(PAGE, it.type1Unmap(0, MIB + 5 * PAGE, PAGE));
            fails(Errno.ENOENT, it.unmap(ioas, MIB, PAGE));
            assertEquals(15 * PAGE, it.unmap(ioas, MIB, 16 * PAGE));
        }
    }

    @EveryKernel
    void infoNeverOverrunsItsRoom(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            long ioas = ok(it.ioas());
            MemorySegment struct = it.struct(256);
            fails(Errno.ENODEV, kernel.sys().ioctl(it.fd, GET_INFO, struct));
            ok(it.vfioIoas(1, ioas));
            int total = 0;
            for (int room = 0; room < 200; room++) {
                struct.fill((byte) 0xaa);
                vfio_iommu_type1_info.argsz(struct, room);
                if (room < 16) {
                    fails(Errno.EINVAL, kernel.sys().ioctl(it.fd, GET_INFO, struct));
                    continue;
                }
                ok(kernel.sys().ioctl(it.fd, GET_INFO, struct));
                int told = vfio_iommu_type1_info.argsz(struct);
                assertTrue(total == 0 || told == total, "always the same size");
                total = told;
                assertEquals(3, vfio_iommu_type1_info.flags(struct));
                for (int at = room; at < 256; at++) {
                    assertEquals((byte) 0xaa, struct.get(ValueLayout.JAVA_BYTE, at), "byte " + at + " of " + room);
                }
                if (room >= 24) {
                    assertEquals(room >= total ? 24 : 0, vfio_iommu_type1_info.cap_offset(struct));
                }
            }
            assertEquals(24 + 16 + 16 + 16, total);
        }
    }
}
