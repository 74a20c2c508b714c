// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract;

import dev.alcove.bindings.vfio.vfio_iommu_type1_info;
import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

import static dev.alcove.contract.Checks.fails;
import static dev.alcove.contract.Checks.ok;
import static org.junit.jupiter.api.Assertions.assertEquals;

/** VFIO_IOMMU_GET_INFO on /dev/iommu: a header of 24 bytes, then how many mappings are free, then the usable ranges. */
@Surface("compat")
final class Type1InfoContractTest {
    private static final int GET_INFO = 0x3b70;
    private static final int HEADER = 24;
    private static final int AVAILABLE = HEADER;
    private static final int RANGES = AVAILABLE + 16;
    private static final int FIRST_RANGE = RANGES + 16;
    private static final byte UNTOUCHED = (byte) 0xaa;

    private static MemorySegment info(KernelUnderTest kernel, IommufdClient it, int room) {
        MemorySegment struct = it.struct(256).fill(UNTOUCHED);
        vfio_iommu_type1_info.argsz(struct, room);
        ok(kernel.sys().ioctl(it.fd, GET_INFO, struct));
        return struct;
    }

    private static long compat(IommufdClient it) {
        long ioas = ok(it.ioas());
        ok(it.vfioIoas(1, ioas));
        return ioas;
    }

    private static void untouched(MemorySegment struct, int from) {
        for (int at = from; at < struct.byteSize(); at++) {
            assertEquals(UNTOUCHED, struct.get(ValueLayout.JAVA_BYTE, at), "byte " + at);
        }
    }

    @EveryKernel
    void theStructIsCheckedBeforeTheAddressSpace(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            fails(Errno.EFAULT, kernel.sys().ioctl(it.fd, GET_INFO, 16L));
            MemorySegment struct = it.struct(64);
            vfio_iommu_type1_info.argsz(struct, 15);
            fails(Errno.EINVAL, kernel.sys().ioctl(it.fd, GET_INFO, struct));
            vfio_iommu_type1_info.argsz(struct, 16);
            fails(Errno.ENODEV, kernel.sys().ioctl(it.fd, GET_INFO, struct));
        }
    }

    @EveryKernel
    void theOldStructHasNoRoomForCapabilities(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            compat(it);
            MemorySegment struct = info(kernel, it, 16);
            assertEquals(FIRST_RANGE + 16, vfio_iommu_type1_info.argsz(struct));
            assertEquals(3, vfio_iommu_type1_info.flags(struct));
            untouched(struct, 16);
        }
    }

    @EveryKernel
    void allCapabilitiesAreAChain(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            compat(it);
            MemorySegment struct = info(kernel, it, 256);
            assertEquals(AVAILABLE, vfio_iommu_type1_info.cap_offset(struct));
            assertEquals(3, struct.get(ValueLayout.JAVA_SHORT, AVAILABLE), "VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL");
            assertEquals(1, struct.get(ValueLayout.JAVA_SHORT, AVAILABLE + 2), "version");
            assertEquals(RANGES, struct.get(ValueLayout.JAVA_INT, AVAILABLE + 4), "next");
            assertEquals(-1, struct.get(ValueLayout.JAVA_INT, AVAILABLE + 8), "as many as there are");
            assertEquals(1, struct.get(ValueLayout.JAVA_SHORT, RANGES), "VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE");
            assertEquals(0, struct.get(ValueLayout.JAVA_INT, RANGES + 4), "the last");
            assertEquals(1, struct.get(ValueLayout.JAVA_INT, RANGES + 8), "ranges");
            assertEquals(0, struct.get(ValueLayout.JAVA_LONG, FIRST_RANGE));
            assertEquals(-1, struct.get(ValueLayout.JAVA_LONG, FIRST_RANGE + 8));
            untouched(struct, FIRST_RANGE + 16);
        }
    }

    @EveryKernel
    void nothingIsWrittenBehindTheRoom(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            compat(it);
            for (int room = 16; room < 120; room++) {
                MemorySegment struct = info(kernel, it, room);
                assertEquals(FIRST_RANGE + 16, vfio_iommu_type1_info.argsz(struct));
                untouched(struct, room);
                if (room >= HEADER) {
                    int offset = room >= FIRST_RANGE + 16 ? HEADER : 0;
                    assertEquals(offset, vfio_iommu_type1_info.cap_offset(struct), "room " + room);
                }
            }
        }
    }

    @EveryKernel
    void aCapabilityIsWrittenWhereItFits(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            compat(it);
            untouched(info(kernel, it, AVAILABLE + 11), HEADER);
            MemorySegment struct = info(kernel, it, AVAILABLE + 12);
            assertEquals(-1, struct.get(ValueLayout.JAVA_INT, AVAILABLE + 8));
            assertEquals(0, struct.get(ValueLayout.JAVA_INT, AVAILABLE + 4), "no next without room for it");
            assertEquals(RANGES, info(kernel, it, RANGES).get(ValueLayout.JAVA_INT, AVAILABLE + 4));
        }
    }

    @EveryKernel
    void rangesAreWrittenOneByOneButToldOnlyTogether(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            int device = it.openDevice();
            ok(it.bind(device));
            ok(it.attach(device, compat(it)));
            MemorySegment all = info(kernel, it, 256);
            assertEquals(FIRST_RANGE + 32, vfio_iommu_type1_info.argsz(all));
            assertEquals(2, all.get(ValueLayout.JAVA_INT, RANGES + 8));
            assertEquals(0xfedf_ffffL, all.get(ValueLayout.JAVA_LONG, FIRST_RANGE + 8));
            MemorySegment one = info(kernel, it, FIRST_RANGE + 16);
            assertEquals(0xfedf_ffffL, one.get(ValueLayout.JAVA_LONG, FIRST_RANGE + 8), "the first one fits");
            assertEquals(UNTOUCHED, one.get(ValueLayout.JAVA_BYTE, RANGES), "their header does not");
            assertEquals(0, vfio_iommu_type1_info.cap_offset(one));
            untouched(one, FIRST_RANGE + 16);
        }
    }

    @EveryKernel
    void pageSizesAreThoseOfTheTables(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            int device = it.openDevice();
            ok(it.bind(device));
            long ioas = compat(it);
            assertEquals(-Linux.PAGE_SIZE, vfio_iommu_type1_info.iova_pgsizes(info(kernel, it, 256)));
            ok(it.attach(device, ioas));
            long sizes = vfio_iommu_type1_info.iova_pgsizes(info(kernel, it, 256));
            assertEquals(Linux.PAGE_SIZE, Long.lowestOneBit(sizes));
        }
    }
}
