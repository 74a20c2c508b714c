// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract;

import dev.alcove.bindings.vfio.vfio_iommu_type1_dma_map;
import dev.alcove.bindings.vfio.vfio_iommu_type1_dma_unmap;
import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

import static dev.alcove.contract.Checks.fails;
import static dev.alcove.contract.Checks.ok;
import static dev.alcove.contract.IommufdClient.ALL;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

/** The type1 ioctls on /dev/iommu: mapping, unmapping and the cut. */
@Surface("compat")
final class Type1CompatContractTest {
    private static final long PAGE = Linux.PAGE_SIZE;
    private static final long MIB = 1 << 20;
    private static final long NOWHERE = 0x1234_5000L;
    private static final int API_VERSION = 0x3b64;
    private static final int CHECK_EXTENSION = 0x3b65;
    private static final int SET_IOMMU = 0x3b66;
    private static final int MAP_DMA = 0x3b71;
    private static final int UNMAP_DMA = 0x3b72;
    private static final int DIRTY_PAGES = 0x3b75;
    private static final int TYPE1 = 1;
    private static final int TYPE1_V2 = 3;
    private static final int READ_WRITE = 3;
    private static final int UNMAP_ALL = 2;

    private static long compat(IommufdClient it) {
        long ioas = ok(it.ioas());
        ok(it.vfioIoas(1, ioas));
        return ioas;
    }

    @EveryKernel
    void theVersionIsZero(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            assertEquals(0, kernel.sys().ioctl(it.fd, API_VERSION, 0));
            assertEquals(0, kernel.sys().ioctl(it.fd, API_VERSION, 77));
        }
    }

    @EveryKernel
    void extensionsAreToldWithoutAnAddressSpace(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            assertEquals(1, kernel.sys().ioctl(it.fd, CHECK_EXTENSION, TYPE1));
            assertEquals(1, kernel.sys().ioctl(it.fd, CHECK_EXTENSION, TYPE1_V2));
            assertEquals(1, kernel.sys().ioctl(it.fd, CHECK_EXTENSION, 9), "VFIO_UNMAP_ALL");
            assertEquals(0, kernel.sys().ioctl(it.fd, CHECK_EXTENSION, 6), "nesting");
            assertEquals(0, kernel.sys().ioctl(it.fd, CHECK_EXTENSION, 10), "VFIO_UPDATE_VADDR");
            assertEquals(0, kernel.sys().ioctl(it.fd, CHECK_EXTENSION, 77));
        }
    }

    @EveryKernel
    void coherencyIsThatOfTheAddressSpace(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            fails(Errno.ENODEV, kernel.sys().ioctl(it.fd, CHECK_EXTENSION, 4));
            long ioas = compat(it);
            assertEquals(1, kernel.sys().ioctl(it.fd, CHECK_EXTENSION, 4), "no page table says no");
            int device = it.openDevice();
            ok(it.bind(device));
            ok(it.attach(device, ioas));
            int coherent = kernel.sys().ioctl(it.fd, CHECK_EXTENSION, 4);
            assertTrue(coherent == 0 || coherent == 1, "whether the IOMMU snoops: " + coherent);
        }
    }

    @EveryKernel
    void theTypeIsCheckedBeforeTheAddressSpace(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            fails(Errno.EINVAL, kernel.sys().ioctl(it.fd, SET_IOMMU, 2));
            fails(Errno.EINVAL, kernel.sys().ioctl(it.fd, SET_IOMMU, 8));
            fails(Errno.ENODEV, kernel.sys().ioctl(it.fd, SET_IOMMU, TYPE1));
            compat(it);
            ok(kernel.sys().ioctl(it.fd, SET_IOMMU, TYPE1_V2));
            ok(kernel.sys().ioctl(it.fd, SET_IOMMU, TYPE1));
            ok(kernel.sys().ioctl(it.fd, SET_IOMMU, TYPE1));
        }
    }

    @EveryKernel
    void type1MeansSmallPages(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            long ioas = compat(it);
            ok(kernel.sys().ioctl(it.fd, SET_IOMMU, TYPE1_V2));
            assertEquals(1, it.option(1, 1, ioas, 0));
            ok(it.map(ioas, ALL, NOWHERE, 3, MIB));
            fails(Errno.EADDRINUSE, kernel.sys().ioctl(it.fd, SET_IOMMU, TYPE1));
            ok(it.unmap(ioas, 0, -1));
            ok(kernel.sys().ioctl(it.fd, SET_IOMMU, TYPE1));
            assertEquals(0, it.option(1, 1, ioas, 0));
            ok(kernel.sys().ioctl(it.fd, SET_IOMMU, TYPE1_V2));
            assertEquals(0, it.option(1, 1, ioas, 0), "version 2 does not turn them on again");
        }
    }

    @EveryKernel
    void dirtyPagesAndTheOldSwitchesAreNoIoctls(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            compat(it);
            for (int request : new int[] {DIRTY_PAGES, 0x3b73, 0x3b74, 0x3b67, 0x3b68}) {
                fails(Errno.ENOTTY, kernel.sys().ioctl(it.fd, request, it.struct(64)));
            }
        }
    }

    @EveryKernel
    void structsAreCheckedBeforeTheAddressSpace(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            fails(Errno.EFAULT, kernel.sys().ioctl(it.fd, MAP_DMA, 16L));
            fails(Errno.EFAULT, kernel.sys().ioctl(it.fd, UNMAP_DMA, 16L));
            fails(Errno.EINVAL, it.type1Map(4, NOWHERE, PAGE, MIB));
            fails(Errno.EINVAL, it.type1Unmap(1, MIB, PAGE));
            fails(Errno.EINVAL, it.type1Unmap(4, MIB, PAGE));
            MemorySegment struct = it.struct(32);
            vfio_iommu_type1_dma_map.argsz(struct, 31);
            fails(Errno.EINVAL, kernel.sys().ioctl(it.fd, MAP_DMA, struct));
            vfio_iommu_type1_dma_unmap.argsz(struct, 23);
            fails(Errno.EINVAL, kernel.sys().ioctl(it.fd, UNMAP_DMA, struct));
            fails(Errno.ENODEV, it.type1Map(READ_WRITE, NOWHERE, PAGE, MIB));
            fails(Errno.ENODEV, it.type1Unmap(0, MIB, PAGE));
        }
    }

    @EveryKernel
    void whatLiesBehindTheStructsDoesNotMatter(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            compat(it);
            MemorySegment struct = it.struct(256).fill((byte) 0x7f);
            vfio_iommu_type1_dma_map.argsz(struct, 256);
            vfio_iommu_type1_dma_map.flags(struct, READ_WRITE);
            vfio_iommu_type1_dma_map.vaddr(struct, NOWHERE);
            vfio_iommu_type1_dma_map.iova(struct, MIB);
            vfio_iommu_type1_dma_map.size(struct, PAGE);
            ok(kernel.sys().ioctl(it.fd, MAP_DMA, struct));
            assertEquals(PAGE, it.type1Unmap(0, MIB, PAGE));
        }
    }

    @EveryKernel
    void mapsFollowTheNativeRules(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            compat(it);
            fails(Errno.EOVERFLOW, it.type1Map(READ_WRITE, -PAGE, 2 * PAGE, MIB));
            fails(Errno.EINVAL, it.type1Map(READ_WRITE, NOWHERE, 0, MIB));
            fails(Errno.EOVERFLOW, it.type1Map(READ_WRITE, NOWHERE, 2 * PAGE, -PAGE));
            ok(it.type1Map(READ_WRITE, NOWHERE, PAGE, MIB));
            fails(Errno.EEXIST, it.type1Map(READ_WRITE, NOWHERE, PAGE, MIB));
        }
    }

    @EveryKernel
    void aMapNeedsNoRights(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            compat(it);
            ok(it.type1Map(0, it.memory(1), PAGE, MIB));
            assertEquals(PAGE, it.type1Unmap(0, MIB, PAGE));
        }
    }

    @EveryKernel
    void anEmptyRangeIsUnmappedAsNothing(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            compat(it);
            assertEquals(0, it.type1Unmap(0, 8 * MIB, PAGE));
            assertEquals(0, it.type1Unmap(UNMAP_ALL, 0, 0));
        }
    }

    @EveryKernel
    void unmapsFollowTheNativeRules(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            compat(it);
            ok(it.type1Map(READ_WRITE, NOWHERE, 64 * PAGE, MIB));
            fails(Errno.EINVAL, it.type1Unmap(0, MIB, 0));
            fails(Errno.EOVERFLOW, it.type1Unmap(0, MIB, -1));
            fails(Errno.ENOENT, it.type1Unmap(0, MIB, PAGE));
            fails(Errno.ENOENT, it.type1Unmap(0, MIB + PAGE, 63 * PAGE));
            assertEquals(64 * PAGE, it.type1Unmap(0, 0, -1));
        }
    }

    @EveryKernel
    void unmappingAllTakesNoRange(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            compat(it);
            ok(it.type1Map(READ_WRITE, NOWHERE, 64 * PAGE, MIB));
            fails(Errno.EINVAL, it.type1Unmap(UNMAP_ALL, MIB, 0));
            fails(Errno.EINVAL, it.type1Unmap(UNMAP_ALL, 0, PAGE));
            assertEquals(64 * PAGE, it.type1Unmap(UNMAP_ALL, 0, 0));
        }
    }

    @EveryKernel
    void anUnmapThatStopsHalfWayTellsHowFarItCame(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            compat(it);
            ok(it.type1Map(READ_WRITE, NOWHERE, 2 * PAGE, MIB));
            ok(it.type1Map(READ_WRITE, NOWHERE, 4 * PAGE, MIB + 2 * PAGE));
            MemorySegment struct = it.struct(24);
            vfio_iommu_type1_dma_unmap.iova(struct, MIB);
            vfio_iommu_type1_dma_unmap.size(struct, 3 * PAGE);
            fails(Errno.ENOENT, kernel.sys().ioctl(it.fd, UNMAP_DMA, struct));
            assertEquals(2 * PAGE, vfio_iommu_type1_dma_unmap.size(struct));
        }
    }

    @EveryKernel
    void theNativeCallsSeeTheSameAreas(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            long ioas = compat(it);
            ok(it.type1Map(READ_WRITE, NOWHERE, PAGE, MIB));
            ok(it.map(ioas, ALL, NOWHERE, PAGE, 2 * MIB));
            assertEquals(PAGE, it.unmap(ioas, MIB, PAGE));
            assertEquals(PAGE, it.type1Unmap(0, 2 * MIB, PAGE));
        }
    }

    @EveryKernel
    void aClearedAddressSpaceKeepsItsAreas(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            long ioas = compat(it);
            ok(it.type1Map(READ_WRITE, NOWHERE, PAGE, MIB));
            ok(it.vfioIoas(2, 0));
            fails(Errno.ENODEV, it.type1Unmap(UNMAP_ALL, 0, 0));
            assertEquals(PAGE, it.unmap(ioas, 0, -1));
        }
    }

    @EveryKernel
    void theStructIsReadAndWrittenInPlace(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            compat(it);
            ok(it.type1Map(READ_WRITE, NOWHERE, PAGE, MIB));
            MemorySegment struct = it.struct(32).fill((byte) 0x55);
            vfio_iommu_type1_dma_unmap.argsz(struct, 32);
            vfio_iommu_type1_dma_unmap.flags(struct, 0);
            vfio_iommu_type1_dma_unmap.iova(struct, 0);
            vfio_iommu_type1_dma_unmap.size(struct, 2 * MIB);
            ok(kernel.sys().ioctl(it.fd, UNMAP_DMA, struct));
            assertEquals(PAGE, vfio_iommu_type1_dma_unmap.size(struct));
            assertEquals(0x55, struct.get(ValueLayout.JAVA_BYTE, 24));
        }
    }
}
