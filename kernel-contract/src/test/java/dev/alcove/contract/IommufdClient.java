// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract;

import dev.alcove.bindings.iommufd.iommu_destroy;
import dev.alcove.bindings.iommufd.iommu_fault_alloc;
import dev.alcove.bindings.iommufd.iommu_hwpt_alloc;
import dev.alcove.bindings.iommufd.iommu_ioas_alloc;
import dev.alcove.bindings.iommufd.iommu_ioas_allow_iovas;
import dev.alcove.bindings.iommufd.iommu_ioas_copy;
import dev.alcove.bindings.iommufd.iommu_ioas_iova_ranges;
import dev.alcove.bindings.iommufd.iommu_ioas_map;
import dev.alcove.bindings.iommufd.iommu_ioas_map_file;
import dev.alcove.bindings.iommufd.iommu_ioas_unmap;
import dev.alcove.bindings.iommufd.iommu_iova_range;
import dev.alcove.bindings.iommufd.iommu_option;
import dev.alcove.bindings.iommufd.iommu_vfio_ioas;
import dev.alcove.bindings.vfio.vfio_device_attach_iommufd_pt;
import dev.alcove.bindings.vfio.vfio_device_bind_iommufd;
import dev.alcove.bindings.vfio.vfio_device_detach_iommufd_pt;
import dev.alcove.bindings.vfio.vfio_iommu_type1_dma_map;
import dev.alcove.bindings.vfio.vfio_iommu_type1_dma_unmap;
import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import dev.alcove.sys.Syscalls;
import dev.alcove.sys.UserArena;
import dev.alcove.sys.UserMappings;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;

import static dev.alcove.contract.Checks.ok;
import static org.junit.jupiter.api.Assertions.assertEquals;

/** A process with /dev/iommu open: each call answers what the kernel answered, a result or a negated errno. */
final class IommufdClient implements AutoCloseable {
    static final int FIXED = 1;
    static final int WRITE = 2;
    static final int READ = 4;
    static final int ALL = FIXED | WRITE | READ;

    static final int DESTROY = 0x80;
    static final int IOAS_ALLOC = 0x81;
    static final int ALLOW_IOVAS = 0x82;
    static final int COPY = 0x83;
    static final int IOVA_RANGES = 0x84;
    static final int MAP = 0x85;
    static final int UNMAP = 0x86;
    static final int OPTION = 0x87;
    static final int VFIO_IOAS = 0x88;
    static final int HWPT_ALLOC = 0x89;
    static final int HW_INFO = 0x8a;
    static final int SET_DIRTY_TRACKING = 0x8b;
    static final int GET_DIRTY_BITMAP = 0x8c;
    static final int HWPT_INVALIDATE = 0x8d;
    static final int FAULT_QUEUE_ALLOC = 0x8e;
    static final int MAP_FILE = 0x8f;
    static final int VIOMMU_ALLOC = 0x90;
    static final int VDEVICE_ALLOC = 0x91;
    static final int CHANGE_PROCESS = 0x92;
    static final int VEVENTQ_ALLOC = 0x93;
    static final int HW_QUEUE_ALLOC = 0x94;

    private final KernelUnderTest kernel;
    private final Syscalls sys;
    private final Arena arena = Arena.ofConfined();
    private final UserArena user;
    private final List<Integer> files = new ArrayList<>();
    private final List<long[]> mappings = new ArrayList<>();
    private boolean closed;
    final int fd;

    IommufdClient(KernelUnderTest kernel) {
        this.kernel = kernel;
        this.sys = kernel.sys();
        this.fd = kernel.open("/dev/iommu");
        this.user = new UserArena(sys, 1 << 20);
    }

    Syscalls sys() {
        return sys;
    }

    MemorySegment struct(long size) {
        MemorySegment struct = arena.allocate(size, 8);
        iommu_destroy.size(struct, (int) size);
        return struct;
    }

    /** Memory that a struct may point to. */
    MemorySegment user(long size) {
        return user.allocate(size, 8);
    }

    /** A native ioctl by its number. */
    long call(int number, MemorySegment struct) {
        return sys.ioctl(fd, 0x3b00 | number, struct);
    }

    /** Whether the kernel knows a native ioctl: if so, no struct of length 0 will do. */
    boolean has(int number) {
        return call(number, struct(0x40).fill((byte) 0)) != -Errno.ENOTTY;
    }

    /** Skips the test where the kernel does not know a native ioctl. */
    void needs(int number, String name) {
        kernel.needs(name, has(number) ? 0 : -Errno.ENOTTY);
    }

    /** A native ioctl whose struct lies in memory that can be read but not written. */
    long callReadOnly(int number, MemorySegment struct) {
        int file = Checks.fd(sys.memfdCreate("request", Linux.MFD_CLOEXEC));
        ok(sys.ftruncate(file, Linux.PAGE_SIZE));
        assertEquals(struct.byteSize(), sys.pwrite(file, struct, 0));
        long page = ok(sys.mmap(0, Linux.PAGE_SIZE, Linux.PROT_READ, Linux.MAP_SHARED, file, 0));
        long answer = sys.ioctl(fd, 0x3b00 | number, page);
        sys.munmap(page, Linux.PAGE_SIZE);
        sys.close(file);
        return answer;
    }

    /** A native ioctl whose struct ends where memory ends, whatever length it claims. */
    long callAtTheEndOfMemory(int number, MemorySegment struct) {
        long page = memory(2);
        ok(sys.munmap(page + Linux.PAGE_SIZE, Linux.PAGE_SIZE));
        long start = page + Linux.PAGE_SIZE - struct.byteSize();
        UserMappings.segment(start, struct.byteSize()).copyFrom(struct);
        return sys.ioctl(fd, 0x3b00 | number, start);
    }

    long ioas() {
        MemorySegment struct = struct(iommu_ioas_alloc.sizeof());
        long error = call(IOAS_ALLOC, struct);
        return error < 0 ? error : iommu_ioas_alloc.out_ioas_id(struct);
    }

    long destroy(long id) {
        MemorySegment struct = struct(iommu_destroy.sizeof());
        iommu_destroy.id(struct, (int) id);
        return call(DESTROY, struct);
    }

    long map(long ioas, int flags, long address, long length, long iova) {
        MemorySegment struct = struct(iommu_ioas_map.sizeof());
        iommu_ioas_map.ioas_id(struct, (int) ioas);
        iommu_ioas_map.flags(struct, flags);
        iommu_ioas_map.user_va(struct, address);
        iommu_ioas_map.length(struct, length);
        iommu_ioas_map.iova(struct, iova);
        long error = call(MAP, struct);
        return error < 0 ? error : iommu_ioas_map.iova(struct);
    }

    long mapFile(long ioas, int flags, int file, long start, long length, long iova) {
        MemorySegment struct = struct(iommu_ioas_map_file.sizeof());
        iommu_ioas_map_file.ioas_id(struct, (int) ioas);
        iommu_ioas_map_file.flags(struct, flags);
        iommu_ioas_map_file.fd(struct, file);
        iommu_ioas_map_file.start(struct, start);
        iommu_ioas_map_file.length(struct, length);
        iommu_ioas_map_file.iova(struct, iova);
        long error = call(MAP_FILE, struct);
        return error < 0 ? error : iommu_ioas_map_file.iova(struct);
    }

    long copy(int flags, long from, long fromIova, long to, long toIova, long length) {
        MemorySegment struct = struct(iommu_ioas_copy.sizeof());
        iommu_ioas_copy.flags(struct, flags);
        iommu_ioas_copy.src_ioas_id(struct, (int) from);
        iommu_ioas_copy.dst_ioas_id(struct, (int) to);
        iommu_ioas_copy.src_iova(struct, fromIova);
        iommu_ioas_copy.dst_iova(struct, toIova);
        iommu_ioas_copy.length(struct, length);
        long error = call(COPY, struct);
        return error < 0 ? error : iommu_ioas_copy.dst_iova(struct);
    }

    long unmap(long ioas, long iova, long length) {
        MemorySegment struct = struct(iommu_ioas_unmap.sizeof());
        iommu_ioas_unmap.ioas_id(struct, (int) ioas);
        iommu_ioas_unmap.iova(struct, iova);
        iommu_ioas_unmap.length(struct, length);
        long error = call(UNMAP, struct);
        return error < 0 ? error : iommu_ioas_unmap.length(struct);
    }

    /** @param ranges first and last, in turn */
    long allow(long ioas, long... ranges) {
        MemorySegment list = user(Math.max(16, ranges.length * 8L));
        for (int i = 0; i < ranges.length; i += 2) {
            MemorySegment range = list.asSlice(i * 8L, 16);
            iommu_iova_range.start(range, ranges[i]);
            iommu_iova_range.last(range, ranges[i + 1]);
        }
        MemorySegment struct = struct(iommu_ioas_allow_iovas.sizeof());
        iommu_ioas_allow_iovas.ioas_id(struct, (int) ioas);
        iommu_ioas_allow_iovas.num_iovas(struct, ranges.length / 2);
        iommu_ioas_allow_iovas.allowed_iovas(struct, list.address());
        return call(ALLOW_IOVAS, struct);
    }

    /** The usable ranges: first and last, in turn. */
    long[] ranges(long ioas) {
        int room = 64;
        MemorySegment list = user(room * 16L);
        MemorySegment struct = struct(iommu_ioas_iova_ranges.sizeof());
        iommu_ioas_iova_ranges.ioas_id(struct, (int) ioas);
        iommu_ioas_iova_ranges.num_iovas(struct, room);
        iommu_ioas_iova_ranges.allowed_iovas(struct, list.address());
        ok(call(IOVA_RANGES, struct));
        long[] ranges = new long[2 * iommu_ioas_iova_ranges.num_iovas(struct)];
        for (int i = 0; i < ranges.length; i += 2) {
            ranges[i] = iommu_iova_range.start(list.asSlice(i * 8L, 16));
            ranges[i + 1] = iommu_iova_range.last(list.asSlice(i * 8L, 16));
        }
        return ranges;
    }

    /** SET of an option; op 0 is SET, 1 GET (which answers the value). */
    long option(int option, int op, long object, long value) {
        MemorySegment struct = struct(iommu_option.sizeof());
        iommu_option.option_id(struct, option);
        iommu_option.op(struct, (short) op);
        iommu_option.object_id(struct, (int) object);
        iommu_option.val64(struct, value);
        long error = call(OPTION, struct);
        return error < 0 || op == 0 ? error : iommu_option.val64(struct);
    }

    /** GET 0, SET 1, CLEAR 2; GET answers the id. */
    long vfioIoas(int op, long ioas) {
        MemorySegment struct = struct(iommu_vfio_ioas.sizeof());
        iommu_vfio_ioas.ioas_id(struct, (int) ioas);
        iommu_vfio_ioas.op(struct, (short) op);
        long error = call(VFIO_IOAS, struct);
        return error < 0 || op != 0 ? error : iommu_vfio_ioas.ioas_id(struct);
    }

    long hwpt(int flags, long device, long parent) {
        return hwpt(flags, device, parent, 0);
    }

    long hwpt(int flags, long device, long parent, long faults) {
        MemorySegment struct = struct(iommu_hwpt_alloc.sizeof());
        iommu_hwpt_alloc.fault_id(struct, (int) faults);
        iommu_hwpt_alloc.flags(struct, flags);
        iommu_hwpt_alloc.dev_id(struct, (int) device);
        iommu_hwpt_alloc.pt_id(struct, (int) parent);
        long error = call(HWPT_ALLOC, struct);
        return error < 0 ? error : iommu_hwpt_alloc.out_hwpt_id(struct);
    }

    /** A fault queue's object and its file, which is closed at the end. */
    record FaultQueue(long id, int fd) {}

    FaultQueue faultQueue() {
        MemorySegment struct = struct(iommu_fault_alloc.sizeof());
        ok(call(FAULT_QUEUE_ALLOC, struct));
        int queue = iommu_fault_alloc.out_fault_fd(struct);
        files.add(queue);
        return new FaultQueue(iommu_fault_alloc.out_fault_id(struct), queue);
    }

    long type1Map(int flags, long address, long length, long iova) {
        MemorySegment struct = struct(vfio_iommu_type1_dma_map.sizeof());
        vfio_iommu_type1_dma_map.flags(struct, flags);
        vfio_iommu_type1_dma_map.vaddr(struct, address);
        vfio_iommu_type1_dma_map.iova(struct, iova);
        vfio_iommu_type1_dma_map.size(struct, length);
        return sys.ioctl(fd, 0x3b71, struct);
    }

    /** Answers the size written back, or the errno. */
    long type1Unmap(int flags, long iova, long length) {
        MemorySegment struct = struct(24);
        vfio_iommu_type1_dma_unmap.flags(struct, flags);
        vfio_iommu_type1_dma_unmap.iova(struct, iova);
        vfio_iommu_type1_dma_unmap.size(struct, length);
        long error = sys.ioctl(fd, 0x3b72, struct);
        return error < 0 ? error : vfio_iommu_type1_dma_unmap.size(struct);
    }

    /** Memory that can be mapped for DMA; given back at the end. */
    long memory(long pages) {
        long length = pages * Linux.PAGE_SIZE;
        long address = ok(sys.mmap(
                0,
                length,
                Linux.PROT_READ | Linux.PROT_WRITE,
                Linux.MAP_SHARED | Linux.MAP_ANONYMOUS,
                -1,
                0));
        mappings.add(new long[] {address, length});
        return address;
    }

    /** Opens the first VFIO device; skips the test where there is none. Answers its descriptor. */
    int openDevice() {
        int device = kernel.open("/dev/vfio/devices/vfio0");
        files.add(device);
        return device;
    }

    /** Binds a device; answers its id here. */
    long bind(int device) {
        MemorySegment struct = struct(16);
        vfio_device_bind_iommufd.flags(struct, 0);
        vfio_device_bind_iommufd.iommufd(struct, fd);
        long error = sys.ioctl(device, 0x3b76, struct);
        return error < 0 ? error : struct.get(ValueLayout.JAVA_INT, 12);
    }

    /** Answers the id of the page table. */
    long attach(int device, long pt) {
        MemorySegment struct = struct(12);
        vfio_device_attach_iommufd_pt.pt_id(struct, (int) pt);
        long error = sys.ioctl(device, 0x3b77, struct);
        return error < 0 ? error : vfio_device_attach_iommufd_pt.pt_id(struct);
    }

    /** Attaches with a PASID; answers the id of the page table. */
    long attachPasid(int device, int pasid, long pt) {
        MemorySegment struct = struct(16);
        vfio_device_attach_iommufd_pt.flags(struct, 1);
        vfio_device_attach_iommufd_pt.pt_id(struct, (int) pt);
        vfio_device_attach_iommufd_pt.pasid(struct, pasid);
        long error = sys.ioctl(device, 0x3b77, struct);
        return error < 0 ? error : vfio_device_attach_iommufd_pt.pt_id(struct);
    }

    long detachPasid(int device, int pasid) {
        MemorySegment struct = struct(12);
        vfio_device_detach_iommufd_pt.flags(struct, 1);
        vfio_device_detach_iommufd_pt.pasid(struct, pasid);
        return sys.ioctl(device, 0x3b78, struct);
    }

    /** Closes a descriptor at the end. */
    int own(int file) {
        files.add(Checks.fd(file));
        return file;
    }

    /** Closes a descriptor that {@link #openDevice} or {@link #faultQueue} made. */
    void closeFile(int file) {
        files.remove(Integer.valueOf(file));
        ok(sys.close(file));
    }

    /** Closes /dev/iommu, before the devices. */
    void closeContext() {
        closed = true;
        ok(sys.close(fd));
    }

    long detach(int device) {
        MemorySegment struct = struct(8);
        vfio_device_detach_iommufd_pt.flags(struct, 0);
        return sys.ioctl(device, 0x3b78, struct);
    }

    @Override
    public void close() {
        files.forEach(sys::close);
        if (!closed) {
            sys.close(fd);
        }
        mappings.forEach(mapping -> sys.munmap(mapping[0], mapping[1]));
        user.close();
        arena.close();
    }
}
