// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract;

import dev.alcove.bindings.iommufd.iommu_hw_queue_alloc;
import dev.alcove.bindings.iommufd.iommu_hwpt_alloc;
import dev.alcove.bindings.iommufd.iommu_hwpt_get_dirty_bitmap;
import dev.alcove.bindings.iommufd.iommu_hwpt_invalidate;
import dev.alcove.bindings.iommufd.iommu_hwpt_set_dirty_tracking;
import dev.alcove.bindings.iommufd.iommu_vdevice_alloc;
import dev.alcove.bindings.iommufd.iommu_veventq_alloc;
import dev.alcove.bindings.iommufd.iommu_viommu_alloc;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

import static dev.alcove.contract.Checks.ok;
import static dev.alcove.contract.IommufdClient.GET_DIRTY_BITMAP;
import static dev.alcove.contract.IommufdClient.HWPT_ALLOC;
import static dev.alcove.contract.IommufdClient.HWPT_INVALIDATE;
import static dev.alcove.contract.IommufdClient.HW_QUEUE_ALLOC;
import static dev.alcove.contract.IommufdClient.SET_DIRTY_TRACKING;
import static dev.alcove.contract.IommufdClient.VDEVICE_ALLOC;
import static dev.alcove.contract.IommufdClient.VEVENTQ_ALLOC;
import static dev.alcove.contract.IommufdClient.VIOMMU_ALLOC;

/**
 * The mock IOMMU of a kernel that is built with IOMMUFD_TEST; skips the test on another, and before 6.17, when the last of
 * its objects came.
 */
final class MockIommuClient implements AutoCloseable {
    static final int NO_DIRTY = 1;
    static final int HAS_PASIDS = 4;

    static final int NEST_PARENT = 1;
    static final int DIRTY_TRACKING = 2;
    static final int FAULT_ID_VALID = 4;
    static final int PASID = 8;

    /** Where the aperture of a page table begins. */
    static final long APERTURE = 1 << 24;

    /** The types of data for nested page tables, virtual IOMMUs, invalidations, queues and events. */
    static final int NESTED = 0xdead;

    static final int MOCK = 0xdeadbeef;
    static final int EVENTS = 0xbeefbeef;

    private static final int SIZE = 72;

    private final KernelUnderTest kernel;
    final IommufdClient iommufd;

    MockIommuClient(KernelUnderTest kernel) {
        this.kernel = kernel;
        this.iommufd = new IommufdClient(kernel);
        iommufd.needs(HW_QUEUE_ALLOC, "IOMMU_HW_QUEUE_ALLOC");
        iommufd.needs(0xa0, "IOMMU_TEST_CMD");
    }

    /** An operation of IOMMU_TEST_CMD; the words lie behind the common ones. */
    long test(int operation, long id, int... words) {
        return iommufd.call(0xa0, struct(operation, id, words));
    }

    private MemorySegment struct(int operation, long id, int... words) {
        MemorySegment struct = iommufd.struct(SIZE);
        struct.set(ValueLayout.JAVA_INT, 4, operation);
        struct.set(ValueLayout.JAVA_INT, 8, (int) id);
        for (int i = 0; i < words.length; i++) {
            struct.set(ValueLayout.JAVA_INT, 16 + 4L * i, words[i]);
        }
        return struct;
    }

    /** A mock device that is attached: the object that it is, what it is attached to, and the device as iommufd knows it. */
    record Device(long object, long hwpt, long id) {}

    /** @param pt an address space or a page table */
    Device device(int flags, long pt) {
        MemorySegment struct = struct(12, pt, 0, 0, 0, flags);
        ok(iommufd.call(0xa0, struct));
        return new Device(
                struct.get(ValueLayout.JAVA_INT, 16),
                struct.get(ValueLayout.JAVA_INT, 20),
                struct.get(ValueLayout.JAVA_INT, 24));
    }

    /** Answers the page table. */
    long replace(Device device, long pt) {
        MemorySegment struct = struct(10, device.object(), (int) pt);
        long error = iommufd.call(0xa0, struct);
        return error < 0 ? error : struct.get(ValueLayout.JAVA_INT, 16);
    }

    long requestPage(Device device, int pasid, int group) {
        return test(15, 0, (int) device.id(), pasid, group, 3, 0xdeadb000, 0);
    }

    long attachPasid(Device device, int pasid, long pt) {
        return test(18, device.object(), pasid, (int) pt);
    }

    long replacePasid(Device device, int pasid, long pt) {
        return test(19, device.object(), pasid, (int) pt);
    }

    long detachPasid(Device device, int pasid) {
        return test(20, device.object(), pasid);
    }

    /** @param hwpt 0 for none */
    long isAttached(Device device, int pasid, long hwpt) {
        return test(21, device.object(), pasid, (int) hwpt);
    }

    long report(Device device) {
        return test(17, 0, (int) device.id());
    }

    long caches(Device device, int entry, int value) {
        return test(16, device.id(), entry, value);
    }

    long nested(int flags, Device device, long parent, long faults, int type, int length) {
        MemorySegment data = iommufd.user(16).fill((byte) 0);
        data.set(ValueLayout.JAVA_INT, 0, 0x1234);
        MemorySegment struct = iommufd.struct(iommu_hwpt_alloc.sizeof());
        iommu_hwpt_alloc.flags(struct, flags);
        iommu_hwpt_alloc.dev_id(struct, (int) device.id());
        iommu_hwpt_alloc.pt_id(struct, (int) parent);
        iommu_hwpt_alloc.fault_id(struct, (int) faults);
        iommu_hwpt_alloc.data_type(struct, type);
        iommu_hwpt_alloc.data_len(struct, length);
        iommu_hwpt_alloc.data_uptr(struct, data.address());
        long error = iommufd.call(HWPT_ALLOC, struct);
        return error < 0 ? error : iommu_hwpt_alloc.out_hwpt_id(struct);
    }

    /** A nested page table as it should be. */
    long nested(Device device, long parent) {
        return nested(0, device, parent, 0, NESTED, 8);
    }

    long viommu(int flags, int type, long device, long hwpt) {
        MemorySegment struct = iommufd.struct(iommu_viommu_alloc.sizeof());
        iommu_viommu_alloc.flags(struct, flags);
        iommu_viommu_alloc.type(struct, type);
        iommu_viommu_alloc.dev_id(struct, (int) device);
        iommu_viommu_alloc.hwpt_id(struct, (int) hwpt);
        long error = iommufd.call(VIOMMU_ALLOC, struct);
        return error < 0 ? error : iommu_viommu_alloc.out_viommu_id(struct);
    }

    /** With data that comes back in {@code data}: two words, an offset and a length. */
    long viommu(Device device, long hwpt, MemorySegment data, int length) {
        MemorySegment struct = iommufd.struct(iommu_viommu_alloc.sizeof());
        iommu_viommu_alloc.type(struct, MOCK);
        iommu_viommu_alloc.dev_id(struct, (int) device.id());
        iommu_viommu_alloc.hwpt_id(struct, (int) hwpt);
        iommu_viommu_alloc.data_len(struct, length);
        iommu_viommu_alloc.data_uptr(struct, data.address());
        long error = iommufd.call(VIOMMU_ALLOC, struct);
        return error < 0 ? error : iommu_viommu_alloc.out_viommu_id(struct);
    }

    long vdevice(long viommu, long device, long number) {
        MemorySegment struct = iommufd.struct(iommu_vdevice_alloc.sizeof());
        iommu_vdevice_alloc.viommu_id(struct, (int) viommu);
        iommu_vdevice_alloc.dev_id(struct, (int) device);
        iommu_vdevice_alloc.virt_id(struct, number);
        long error = iommufd.call(VDEVICE_ALLOC, struct);
        return error < 0 ? error : iommu_vdevice_alloc.out_vdevice_id(struct);
    }

    long hwQueue(long viommu, int type, int index, long iova, long length) {
        MemorySegment struct = iommufd.struct(iommu_hw_queue_alloc.sizeof());
        iommu_hw_queue_alloc.viommu_id(struct, (int) viommu);
        iommu_hw_queue_alloc.type(struct, type);
        iommu_hw_queue_alloc.index(struct, index);
        iommu_hw_queue_alloc.nesting_parent_iova(struct, iova);
        iommu_hw_queue_alloc.length(struct, length);
        long error = iommufd.call(HW_QUEUE_ALLOC, struct);
        return error < 0 ? error : iommu_hw_queue_alloc.out_hw_queue_id(struct);
    }

    /** An event queue's object and its file, which is closed at the end. */
    record EventQueue(long id, int fd) {}

    /** Answers what the kernel answered, for calls that are to fail. */
    long tryEventQueue(long viommu, int type, int depth) {
        MemorySegment struct = iommufd.struct(iommu_veventq_alloc.sizeof());
        iommu_veventq_alloc.viommu_id(struct, (int) viommu);
        iommu_veventq_alloc.type(struct, type);
        iommu_veventq_alloc.veventq_depth(struct, depth);
        return iommufd.call(VEVENTQ_ALLOC, struct);
    }

    EventQueue eventQueue(long viommu, int depth) {
        MemorySegment struct = iommufd.struct(iommu_veventq_alloc.sizeof());
        iommu_veventq_alloc.viommu_id(struct, (int) viommu);
        iommu_veventq_alloc.type(struct, EVENTS);
        iommu_veventq_alloc.veventq_depth(struct, depth);
        ok(iommufd.call(VEVENTQ_ALLOC, struct));
        int fd = iommufd.own(iommu_veventq_alloc.out_veventq_fd(struct));
        return new EventQueue(iommu_veventq_alloc.out_veventq_id(struct), fd);
    }

    /** How an invalidation ended, and how many requests were done. */
    record Invalidated(long answer, int done) {}

    /** @param words of all requests, three each for a virtual IOMMU, two for a nested page table */
    Invalidated invalidate(long object, int type, int entryLength, int count, int... words) {
        MemorySegment data = iommufd.user(Math.max(64, 4L * words.length)).fill((byte) 0);
        MemorySegment.copy(MemorySegment.ofArray(words), 0, data, 0, 4L * words.length);
        MemorySegment struct = iommufd.struct(iommu_hwpt_invalidate.sizeof());
        iommu_hwpt_invalidate.hwpt_id(struct, (int) object);
        iommu_hwpt_invalidate.data_type(struct, type);
        iommu_hwpt_invalidate.data_uptr(struct, data.address());
        iommu_hwpt_invalidate.entry_len(struct, entryLength);
        iommu_hwpt_invalidate.entry_num(struct, count);
        long answer = iommufd.call(HWPT_INVALIDATE, struct);
        return new Invalidated(answer, iommu_hwpt_invalidate.entry_num(struct));
    }

    long track(long hwpt, boolean on) {
        MemorySegment struct = iommufd.struct(iommu_hwpt_set_dirty_tracking.sizeof());
        iommu_hwpt_set_dirty_tracking.flags(struct, on ? 1 : 0);
        iommu_hwpt_set_dirty_tracking.hwpt_id(struct, (int) hwpt);
        return iommufd.call(SET_DIRTY_TRACKING, struct);
    }

    /** Makes one page of 2 KiB dirty. */
    long dirty(long hwpt, long iova) {
        MemorySegment one = iommufd.user(8).fill((byte) 0);
        one.set(ValueLayout.JAVA_BYTE, 0, (byte) 1);
        MemorySegment struct = struct(13, hwpt);
        struct.set(ValueLayout.JAVA_LONG, 24, iova);
        struct.set(ValueLayout.JAVA_LONG, 32, 2048);
        struct.set(ValueLayout.JAVA_LONG, 40, 2048);
        struct.set(ValueLayout.JAVA_LONG, 48, one.address());
        return iommufd.call(0xa0, struct);
    }

    long bitmap(long hwpt, int flags, long iova, long length, long pageSize, long bitmap) {
        MemorySegment struct = iommufd.struct(iommu_hwpt_get_dirty_bitmap.sizeof());
        iommu_hwpt_get_dirty_bitmap.hwpt_id(struct, (int) hwpt);
        iommu_hwpt_get_dirty_bitmap.flags(struct, flags);
        iommu_hwpt_get_dirty_bitmap.iova(struct, iova);
        iommu_hwpt_get_dirty_bitmap.length(struct, length);
        iommu_hwpt_get_dirty_bitmap.page_size(struct, pageSize);
        iommu_hwpt_get_dirty_bitmap.data(struct, bitmap);
        return iommufd.call(GET_DIRTY_BITMAP, struct);
    }

    /** The poll(2) events of a file, of all that there are. */
    int poll(int file) {
        MemorySegment poll = iommufd.struct(8);
        poll.set(ValueLayout.JAVA_INT, 0, file);
        poll.set(ValueLayout.JAVA_SHORT, 4, (short) 0x3f);
        ok(kernel.sys().poll(poll, 0));
        return poll.get(ValueLayout.JAVA_SHORT, 6);
    }

    @Override
    public void close() {
        iommufd.close();
    }
}
