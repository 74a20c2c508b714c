// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract;

import dev.alcove.bindings.iommufd.iommu_fault_alloc;
import dev.alcove.bindings.iommufd.iommu_hw_info;
import dev.alcove.bindings.iommufd.iommu_hwpt_alloc;
import dev.alcove.bindings.iommufd.iommu_hwpt_get_dirty_bitmap;
import dev.alcove.bindings.iommufd.iommu_hwpt_invalidate;
import dev.alcove.bindings.iommufd.iommu_hwpt_set_dirty_tracking;
import dev.alcove.bindings.iommufd.iommu_viommu_alloc;
import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

import static dev.alcove.contract.Checks.fails;
import static dev.alcove.contract.Checks.ok;
import static dev.alcove.contract.IommufdClient.ALL;
import static dev.alcove.contract.IommufdClient.FIXED;
import static dev.alcove.contract.IommufdClient.READ;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

/** Page tables and devices; needs a VFIO device. */
@Surface("domains")
final class HwptContractTest {
    private static final long PAGE = Linux.PAGE_SIZE;
    private static final long MIB = 1 << 20;
    private static final long MSI = 0xfee0_0000L;
    private static final long NOWHERE = 0x10_0000_0000_0000L;

    @EveryKernel
    void attachPinsAndReserves(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            int device = it.openDevice();
            long id = ok(it.bind(device));
            fails(Errno.EINVAL, it.bind(device));
            fails(Errno.ENOENT, it.attach(device, 99));
            fails(Errno.EINVAL, it.attach(device, id));
            fails(Errno.EBUSY, it.destroy(id));
            ok(it.detach(device));
            long ioas = ok(it.ioas());
            ok(it.map(ioas, ALL, NOWHERE, PAGE, MIB));
            fails(Errno.EFAULT, it.attach(device, ioas));
            fails(Errno.EFAULT, it.hwpt(0, id, ioas));
            ok(it.unmap(ioas, 0, -1));
            ok(it.map(ioas, ALL, it.memory(1), PAGE, MSI));
            fails(Errno.EADDRINUSE, it.attach(device, ioas));
            ok(it.unmap(ioas, 0, -1));
            ok(it.allow(ioas, MSI - MIB, MSI));
            fails(Errno.EADDRINUSE, it.attach(device, ioas));
            ok(it.allow(ioas));
            ok(it.map(ioas, ALL, it.memory(1), 100, MIB));
            fails(Errno.EADDRINUSE, it.attach(device, ioas));
            ok(it.unmap(ioas, 0, -1));
            assertEquals(-1L, it.ranges(ioas)[1], "a failed attach reserves nothing");

            long hwpt = ok(it.attach(device, ioas));
            fails(Errno.EBUSY, it.destroy(hwpt));
            fails(Errno.EBUSY, it.destroy(ioas));
            fails(Errno.EINVAL, it.map(ioas, ALL, it.memory(1), PAGE, MSI));
            fails(Errno.EADDRINUSE, it.allow(ioas, MSI, MSI + 1));
            fails(Errno.EINVAL, it.map(ioas, ALL, it.memory(1), 100, MIB));
            fails(Errno.EINVAL, it.map(ioas, ALL, it.memory(1), PAGE, MIB + 1));
            fails(Errno.EFAULT, it.map(ioas, ALL, NOWHERE, PAGE, MIB));
            fails(Errno.ENOENT, it.unmap(ioas, MIB, PAGE));
            long[] ranges = it.ranges(ioas);
            assertEquals(0, ranges[0]);
            assertEquals(MSI - 1, ranges[1]);
            assertEquals(MSI + MIB, ranges[2]);
            assertTrue(ranges[ranges.length - 1] > 0, "the aperture ends somewhere");
            ok(it.detach(device));
            ok(it.detach(device));
            fails(Errno.ENOENT, it.destroy(hwpt));
            ok(it.destroy(ioas));
        }
    }

    @EveryKernel
    void aMapThatFailsHalfWayLeavesNothing(KernelUnderTest kernel) {
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
            assertEquals(8 * MIB, it.copy(ALL, ioas, MIB + PAGE, ioas, 8 * MIB, 998 * PAGE));
            fails(Errno.ENOENT, it.unmap(ioas, MIB, PAGE));
            assertEquals(1000 * PAGE, it.unmap(ioas, MIB, 1000 * PAGE));
            assertEquals(998 * PAGE, it.unmap(ioas, 0, -1));
        }
    }

    @EveryKernel
    void pageTablesMadeByHand(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            int device = it.openDevice();
            long id = ok(it.bind(device));
            long ioas = ok(it.ioas());
            fails(Errno.ENOENT, it.hwpt(0, 99, ioas));
            fails(Errno.EINVAL, it.hwpt(0, id, 99));
            fails(Errno.EINVAL, it.hwpt(0, id, id));
            fails(Errno.EOPNOTSUPP, it.hwpt(0x100, id, ioas));
            MemorySegment struct = it.struct(iommu_hwpt_alloc.sizeof());
            iommu_hwpt_alloc.dev_id(struct, (int) id);
            iommu_hwpt_alloc.pt_id(struct, (int) ioas);
            iommu_hwpt_alloc.data_len(struct, 8);
            fails(Errno.EINVAL, it.call(IommufdClient.HWPT_ALLOC, struct));

            ok(it.map(ioas, ALL, it.memory(4), 4 * PAGE, MIB));
            long first = ok(it.hwpt(0, id, ioas));
            long second = ok(it.hwpt(0, id, ioas));
            fails(Errno.EBUSY, it.destroy(ioas));
            assertEquals(first, it.attach(device, first));
            fails(Errno.EBUSY, it.destroy(first));
            assertEquals(second, it.attach(device, second), "a replace");
            ok(it.destroy(first));
            long auto = ok(it.attach(device, ioas));
            assertTrue(auto != second);
            ok(it.destroy(second));
            ok(it.detach(device));
            fails(Errno.ENOENT, it.destroy(auto));
            ok(it.destroy(ioas));
        }
    }

    @EveryKernel
    void filesThatCannotBePinnedFailWithADomain(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            int device = it.openDevice();
            ok(it.bind(device));
            long ioas = ok(it.ioas());
            int file = Checks.fd(kernel.sys().memfdCreate("dma", Linux.MFD_CLOEXEC));
            ok(kernel.sys().ftruncate(file, 8 * PAGE));
            int event = Checks.fd(kernel.sys().eventfd(0, Linux.EFD_CLOEXEC));
            kernel.needs("IOMMU_IOAS_MAP_FILE", it.mapFile(ioas, ALL, event, 0, PAGE, MIB));
            fails(Errno.EINVAL, it.attach(device, ioas));
            ok(it.unmap(ioas, 0, -1));
            ok(it.attach(device, ioas));
            fails(Errno.EINVAL, it.mapFile(ioas, ALL, event, 0, PAGE, MIB));
            fails(Errno.EINVAL, it.mapFile(ioas, ALL, file, 0, 9 * PAGE, MIB));
            fails(Errno.EINVAL, it.mapFile(ioas, ALL, file, 8 * PAGE, PAGE, MIB));
            assertEquals(MIB, it.mapFile(ioas, ALL, file, PAGE, 7 * PAGE, MIB));
            assertEquals(2 * MIB, it.mapFile(ioas, FIXED | READ, file, 0, 8 * PAGE, 2 * MIB));
            ok(kernel.sys().close(event));
            ok(kernel.sys().close(file));
            assertEquals(15 * PAGE, it.unmap(ioas, 0, -1));
        }
    }

    @EveryKernel
    void whatTheHardwareLacksIsRefused(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            int device = it.openDevice();
            long id = ok(it.bind(device));
            long ioas = ok(it.ioas());
            long hwpt = ok(it.hwpt(0, id, ioas));
            MemorySegment track = it.struct(iommu_hwpt_set_dirty_tracking.sizeof());
            iommu_hwpt_set_dirty_tracking.hwpt_id(track, 99);
            fails(Errno.ENOENT, it.call(0x8b, track));
            iommu_hwpt_set_dirty_tracking.hwpt_id(track, (int) ioas);
            fails(Errno.ENOENT, it.call(0x8b, track));
            iommu_hwpt_set_dirty_tracking.flags(track, 2);
            fails(Errno.EOPNOTSUPP, it.call(0x8b, track));

            MemorySegment dirty = it.struct(iommu_hwpt_get_dirty_bitmap.sizeof());
            iommu_hwpt_get_dirty_bitmap.hwpt_id(dirty, (int) hwpt);
            iommu_hwpt_get_dirty_bitmap.iova(dirty, -PAGE);
            iommu_hwpt_get_dirty_bitmap.length(dirty, 2 * PAGE);
            fails(Errno.EOVERFLOW, it.call(0x8c, dirty));
            iommu_hwpt_get_dirty_bitmap.iova(dirty, MIB);
            fails(Errno.EINVAL, it.call(0x8c, dirty));
            iommu_hwpt_get_dirty_bitmap.page_size(dirty, 4 * PAGE);
            fails(Errno.EINVAL, it.call(0x8c, dirty));

            MemorySegment invalidate = it.struct(iommu_hwpt_invalidate.sizeof());
            iommu_hwpt_invalidate.hwpt_id(invalidate, (int) hwpt);
            fails(Errno.EINVAL, it.call(0x8d, invalidate));
            iommu_hwpt_invalidate.hwpt_id(invalidate, 99);
            fails(Errno.ENOENT, it.call(0x8d, invalidate));
            iommu_hwpt_invalidate.entry_num(invalidate, 3);
            fails(Errno.EINVAL, it.call(0x8d, invalidate));
            assertEquals(0, iommu_hwpt_invalidate.entry_num(invalidate), "entries handled");

            MemorySegment info = it.struct(iommu_hw_info.sizeof());
            MemorySegment data = it.user(64).fill((byte) 0x55);
            iommu_hw_info.dev_id(info, 99);
            fails(Errno.ENOENT, it.call(0x8a, info));
            iommu_hw_info.dev_id(info, (int) id);
            iommu_hw_info.data_uptr(info, data.address());
            iommu_hw_info.data_len(info, 64);
            ok(it.call(0x8a, info));
            int known = iommu_hw_info.data_len(info);
            assertTrue(known >= 0 && known <= 64);
            assertEquals(0, data.get(ValueLayout.JAVA_BYTE, 63), "the tail is zeroed");
            iommu_hw_info.flags(info, 0x40);
            fails(Errno.EOPNOTSUPP, it.call(0x8a, info));
        }
    }

    @EveryKernel
    void faultQueues(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            int device = it.openDevice();
            long id = ok(it.bind(device));
            MemorySegment queue = it.struct(iommu_fault_alloc.sizeof());
            ok(it.call(0x8e, queue));
            int fd = iommu_fault_alloc.out_fault_fd(queue);
            assertEquals(Linux.FD_CLOEXEC, kernel.sys().fcntl(fd, Linux.F_GETFD, 0));
            fails(Errno.EBUSY, it.destroy(iommu_fault_alloc.out_fault_id(queue)));
            fails(Errno.ESPIPE, kernel.sys().read(fd, it.struct(41)));
            assertEquals(0, kernel.sys().read(fd, it.struct(40)), "nothing is queued");
            fails(Errno.ESPIPE, kernel.sys().write(fd, it.struct(9)));
            fails(Errno.EINVAL, kernel.sys().write(fd, it.struct(8)));
            ok(kernel.sys().close(fd));
            ok(it.destroy(iommu_fault_alloc.out_fault_id(queue)));

            fails(Errno.ENOENT, it.hwpt(4, id, ok(it.ioas())));
        }
    }

    @EveryKernel
    void virtualIommus(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            if (KvmMachine.before(kernel.sys(), 6, 13)) {
                kernel.needs("IOMMU_VIOMMU_ALLOC", it.call(0x90, it.struct(iommu_viommu_alloc.sizeof())));
            }
            long id = ok(it.bind(it.openDevice()));
            long ioas = ok(it.ioas());
            MemorySegment viommu = it.struct(iommu_viommu_alloc.sizeof());
            fails(Errno.EOPNOTSUPP, it.call(0x90, viommu));
            iommu_viommu_alloc.type(viommu, 0x7777);
            fails(Errno.ENOENT, it.call(0x90, viommu));
            iommu_viommu_alloc.dev_id(viommu, (int) id);
            iommu_viommu_alloc.hwpt_id(viommu, (int) ok(it.hwpt(0, id, ioas)));
            fails(Errno.EOPNOTSUPP, it.call(0x90, viommu));
            fails(Errno.ENOENT, it.call(0x91, it.struct(24)));
        }
    }

    @EveryKernel
    void closingInAnyOrderLeavesNothing(KernelUnderTest kernel) {
        for (int order = 0; order < 2; order++) {
            IommufdClient it = new IommufdClient(kernel);
            int device = it.openDevice();
            ok(it.bind(device));
            long ioas = ok(it.ioas());
            ok(it.map(ioas, ALL, it.memory(16), 16 * PAGE, MIB));
            ok(it.attach(device, ioas));
            if (order == 0) {
                ok(kernel.sys().close(it.fd));
                ok(it.detach(device));
                ok(kernel.sys().close(device));
                it.forget();
            }
            it.close();
        }
    }
}
