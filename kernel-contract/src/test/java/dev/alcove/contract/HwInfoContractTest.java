// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract;

import dev.alcove.bindings.iommufd.iommu_destroy;
import dev.alcove.bindings.iommufd.iommu_hw_info;
import dev.alcove.sys.Errno;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

import static dev.alcove.contract.Checks.fails;
import static dev.alcove.contract.Checks.ok;
import static dev.alcove.contract.IommufdClient.HW_INFO;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

/** IOMMU_GET_HW_INFO; the struct is that of VT-d, 24 bytes. */
@Surface("domains")
final class HwInfoContractTest {
    private static final int VTD = 1;
    private static final int VTD_LENGTH = 24;
    private static final int INPUT_TYPE = 1;

    private static MemorySegment request(IommufdClient it, long device, MemorySegment data, int room) {
        MemorySegment info = it.struct(iommu_hw_info.sizeof());
        iommu_hw_info.dev_id(info, (int) device);
        iommu_hw_info.data_uptr(info, data.address());
        iommu_hw_info.data_len(info, room);
        return info;
    }

    /** A bound device on VT-d; skips the test elsewhere. */
    private static long vtd(KernelUnderTest kernel, IommufdClient it) {
        long id = ok(it.bind(it.openDevice()));
        MemorySegment info = request(it, id, it.user(8), 0);
        ok(it.call(HW_INFO, info));
        kernel.needs("VT-d", iommu_hw_info.out_data_type(info) == VTD ? 0 : -Errno.EOPNOTSUPP);
        return id;
    }

    @EveryKernel
    void flagsAndReservedBytesComeBeforeTheDevice(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            MemorySegment info = request(it, 99, it.user(8), 0);
            iommu_hw_info.flags(info, 0x40);
            fails(Errno.EOPNOTSUPP, it.call(HW_INFO, info));
            iommu_hw_info.flags(info, 0);
            for (int i = 0; i < 3; i++) {
                iommu_hw_info.__reserved(info, i, (byte) 1);
                fails(Errno.EOPNOTSUPP, it.call(HW_INFO, info));
                iommu_hw_info.__reserved(info, i, (byte) 0);
            }
            fails(Errno.ENOENT, it.call(HW_INFO, info));
        }
    }

    @EveryKernel
    void itIsAskedOfDevicesOnly(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            fails(Errno.ENOENT, it.call(HW_INFO, request(it, ok(it.ioas()), it.user(8), 0)));
        }
    }

    @EveryKernel
    void withoutRoomTheTypeAndTheLengthAreTold(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            long id = vtd(kernel, it);
            MemorySegment info = request(it, id, it.user(8), 0);
            iommu_hw_info.data_uptr(info, 0);
            ok(it.call(HW_INFO, info));
            assertEquals(VTD_LENGTH, iommu_hw_info.data_len(info));
            assertEquals(VTD, iommu_hw_info.out_data_type(info));
        }
    }

    @EveryKernel
    void registersAreThoseOfTheIommu(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            long id = vtd(kernel, it);
            MemorySegment data = it.user(VTD_LENGTH);
            ok(it.call(HW_INFO, request(it, id, data, VTD_LENGTH)));
            long capabilities = data.get(ValueLayout.JAVA_LONG, 8);
            int width = (int) (capabilities >>> 16 & 0x3f) + 1;
            assertTrue(width == 39 || width == 48 || width == 57, "address width " + width);
            assertEquals(0, data.get(ValueLayout.JAVA_INT, 4), "reserved");
            long ioas = ok(it.ioas());
            ok(it.hwpt(0, id, ioas));
            assertEquals((1L << width) - 1, it.ranges(ioas)[1], "the aperture");
        }
    }

    @EveryKernel
    void lessRoomIsFilled(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            long id = vtd(kernel, it);
            MemorySegment data = it.user(32).fill((byte) 0x55);
            MemorySegment info = request(it, id, data, 12);
            ok(it.call(HW_INFO, info));
            assertEquals(VTD_LENGTH, iommu_hw_info.data_len(info));
            assertEquals(0, data.get(ValueLayout.JAVA_INT, 4));
            assertEquals(0x55, data.get(ValueLayout.JAVA_BYTE, 12));
        }
    }

    @EveryKernel
    void moreRoomIsZeroed(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            long id = vtd(kernel, it);
            MemorySegment data = it.user(64).fill((byte) 0x55);
            MemorySegment info = request(it, id, data, 60);
            ok(it.call(HW_INFO, info));
            assertEquals(VTD_LENGTH, iommu_hw_info.data_len(info));
            for (int at = VTD_LENGTH; at < 60; at++) {
                assertEquals(0, data.get(ValueLayout.JAVA_BYTE, at));
            }
            assertEquals(0x55, data.get(ValueLayout.JAVA_BYTE, 60));
        }
    }

    @EveryKernel
    void aBadBufferIsAFault(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            long id = vtd(kernel, it);
            MemorySegment info = request(it, id, it.user(8), VTD_LENGTH);
            iommu_hw_info.data_uptr(info, 16);
            fails(Errno.EFAULT, it.call(HW_INFO, info));
            long page = it.memory(2);
            ok(kernel.sys().munmap(page + 4096, 4096));
            iommu_hw_info.data_uptr(info, page + 4096 - VTD_LENGTH);
            ok(it.call(HW_INFO, info));
            iommu_hw_info.data_len(info, VTD_LENGTH + 1);
            fails(Errno.EFAULT, it.call(HW_INFO, info));
        }
    }

    @EveryKernel
    void aTypeMayBeAskedFor(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            long id = vtd(kernel, it);
            MemorySegment info = request(it, id, it.user(64), 64);
            iommu_hw_info.flags(info, INPUT_TYPE);
            long answer = it.call(HW_INFO, info);
            kernel.needs("IOMMU_HW_INFO_FLAG_INPUT_TYPE", answer == -Errno.EOPNOTSUPP ? answer : 0);
            ok(answer);
            iommu_hw_info.in_data_type(info, VTD);
            ok(it.call(HW_INFO, info));
            iommu_hw_info.in_data_type(info, 2);
            fails(Errno.EOPNOTSUPP, it.call(HW_INFO, info));
        }
    }

    @EveryKernel
    void withoutTheFlagTheTypeDoesNotMatter(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            long id = vtd(kernel, it);
            MemorySegment info = request(it, id, it.user(64), 64);
            iommu_hw_info.in_data_type(info, 2);
            ok(it.call(HW_INFO, info));
            assertEquals(VTD, iommu_hw_info.out_data_type(info));
        }
    }

    @EveryKernel
    void theDeviceHasNeitherPasidNorDirtyBits(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            long id = vtd(kernel, it);
            MemorySegment info = request(it, id, it.user(64), 64);
            ok(it.call(HW_INFO, info));
            assertEquals(0, iommu_hw_info.out_max_pasid_log2(info));
            assertEquals(0, iommu_hw_info.out_capabilities(info) & ~8L, "at most that ATS is not supported");
        }
    }

    @EveryKernel
    void theOldStructEndsBeforeTheCapabilities(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            long id = vtd(kernel, it);
            MemorySegment info = request(it, id, it.user(64), 64);
            iommu_destroy.size(info, 32);
            iommu_hw_info.out_capabilities(info, 0x5555);
            ok(it.call(HW_INFO, info));
            assertEquals(VTD_LENGTH, iommu_hw_info.data_len(info));
            assertEquals(0x5555, iommu_hw_info.out_capabilities(info));
        }
    }
}
