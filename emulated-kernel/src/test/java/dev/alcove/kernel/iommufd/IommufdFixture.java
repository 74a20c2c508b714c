// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommufd;

import dev.alcove.bindings.iommufd.iommu_destroy;
import dev.alcove.bindings.iommufd.iommu_ioas_alloc;
import dev.alcove.bindings.iommufd.iommu_ioas_copy;
import dev.alcove.bindings.iommufd.iommu_ioas_map;
import dev.alcove.bindings.iommufd.iommu_ioas_map_file;
import dev.alcove.bindings.iommufd.iommu_ioas_unmap;
import dev.alcove.bindings.iommufd.iommu_vfio_ioas;
import dev.alcove.bindings.vfio.vfio_iommu_type1_dma_unmap;
import dev.alcove.kernel.EmulatedKernel;
import dev.alcove.kernel.EmulatedProcess;
import dev.alcove.kernel.KernelProfile;
import dev.alcove.kernel.iommu.IommuDevice;
import dev.alcove.kernel.task.Credentials;
import dev.alcove.sys.HostSyscalls;
import dev.alcove.sys.Linux;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.HashSet;
import java.util.List;
import java.util.Set;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

/** A machine with a process that has /dev/iommu open, and devices as VFIO would bind them. */
final class IommufdFixture implements AutoCloseable {
    static final int FIXED = 1;
    static final int WRITE = 2;
    static final int READ = 4;
    static final int ALL = FIXED | WRITE | READ;

    private final Arena arena = Arena.ofShared();
    private long charges;
    private long failAt = -1;
    final EmulatedKernel kernel =
            new EmulatedKernel(KernelProfile.linux7_2(), new HostSyscalls(), 1 << 24, this::charge);
    final EmulatedProcess process;
    final int fd;
    final IommufdContext context;
    private final Set<Long> attached = new HashSet<>();
    private boolean failed;

    /** A process of root's. */
    IommufdFixture() {
        this(Credentials.root());
    }

    IommufdFixture(Credentials credentials) {
        process = kernel.process(credentials);
        fd = process.open("/dev/iommu", Linux.O_RDWR | Linux.O_CLOEXEC, 0);
        context = kernel.iommufd().contexts().getFirst();
    }

    private synchronized boolean charge(String what) {
        if (what.equals("page")) {
            // One page less is pinned at first then, and the next attempt gets it.
            return true;
        }
        boolean granted = ++charges != failAt;
        failed |= !granted;
        return granted;
    }

    /** Lets the n-th allocation from now fail; 0 for none. */
    synchronized void failNth(int n) {
        failAt = n == 0 ? -1 : charges + n;
        failed = false;
    }

    /** Whether the allocation failed. */
    synchronized boolean hasFailed() {
        return failed;
    }

    IommuDevice newDevice() {
        return kernel.iommu().newGroup().addDevice(0x100 + kernel.iommu().groups().size());
    }

    /** Attaches a device, or moves it to another page table, as VFIO does. */
    long attach(long device, long pt) {
        boolean first = attached.add(device);
        long answer = first ? context.attach(device, 0, (int) pt) : context.replace(device, 0, (int) pt);
        if (answer < 0 && first) {
            attached.remove(device);
        }
        return answer;
    }

    void detach(long device) {
        attached.remove(device);
        context.detach(device, 0);
    }

    void unbind(long device) {
        detach(device);
        context.unbind(device);
    }

    /** Shared anonymous memory. */
    long memory(long pages) {
        long address = process.mmap(
                0,
                pages * Linux.PAGE_SIZE,
                Linux.PROT_READ | Linux.PROT_WRITE,
                Linux.MAP_SHARED | Linux.MAP_ANONYMOUS,
                -1,
                0);
        assertTrue(!Linux.isError(address));
        return address;
    }

    long call(int number, MemorySegment struct, long size) {
        iommu_destroy.size(struct, (int) size);
        return process.ioctl(fd, 0x3b00 | number, struct);
    }

    long ioas() {
        MemorySegment struct = arena.allocate(iommu_ioas_alloc.layout());
        long error = call(0x81, struct, iommu_ioas_alloc.sizeof());
        return error != 0 ? error : iommu_ioas_alloc.out_ioas_id(struct);
    }

    long destroy(long id) {
        MemorySegment struct = arena.allocate(iommu_destroy.layout());
        iommu_destroy.id(struct, (int) id);
        return call(0x80, struct, iommu_destroy.sizeof());
    }

    long map(long ioas, int flags, long address, long length, long iova) {
        MemorySegment struct = arena.allocate(iommu_ioas_map.layout());
        iommu_ioas_map.ioas_id(struct, (int) ioas);
        iommu_ioas_map.flags(struct, flags);
        iommu_ioas_map.user_va(struct, address);
        iommu_ioas_map.length(struct, length);
        iommu_ioas_map.iova(struct, iova);
        long error = call(0x85, struct, iommu_ioas_map.sizeof());
        return error != 0 ? error : iommu_ioas_map.iova(struct);
    }

    long mapFile(long ioas, int file, long start, long length, long iova) {
        MemorySegment struct = arena.allocate(iommu_ioas_map_file.layout());
        iommu_ioas_map_file.ioas_id(struct, (int) ioas);
        iommu_ioas_map_file.flags(struct, ALL);
        iommu_ioas_map_file.fd(struct, file);
        iommu_ioas_map_file.start(struct, start);
        iommu_ioas_map_file.length(struct, length);
        iommu_ioas_map_file.iova(struct, iova);
        long error = call(0x8f, struct, iommu_ioas_map_file.sizeof());
        return error != 0 ? error : iommu_ioas_map_file.iova(struct);
    }

    long copy(long from, long fromIova, long to, long toIova, long length) {
        MemorySegment struct = arena.allocate(iommu_ioas_copy.layout());
        iommu_ioas_copy.flags(struct, ALL);
        iommu_ioas_copy.src_ioas_id(struct, (int) from);
        iommu_ioas_copy.dst_ioas_id(struct, (int) to);
        iommu_ioas_copy.src_iova(struct, fromIova);
        iommu_ioas_copy.dst_iova(struct, toIova);
        iommu_ioas_copy.length(struct, length);
        return call(0x83, struct, iommu_ioas_copy.sizeof());
    }

    long unmap(long ioas, long iova, long length) {
        MemorySegment struct = arena.allocate(iommu_ioas_unmap.layout());
        iommu_ioas_unmap.ioas_id(struct, (int) ioas);
        iommu_ioas_unmap.iova(struct, iova);
        iommu_ioas_unmap.length(struct, length);
        long error = call(0x86, struct, iommu_ioas_unmap.sizeof());
        return error != 0 ? error : iommu_ioas_unmap.length(struct);
    }

    /** Names an address space for the type1 calls, with small entries. */
    void type1(long ioas) {
        MemorySegment struct = arena.allocate(iommu_vfio_ioas.layout());
        iommu_vfio_ioas.ioas_id(struct, (int) ioas);
        iommu_vfio_ioas.op(struct, (short) 1);
        assertEquals(0, call(0x88, struct, iommu_vfio_ioas.sizeof()));
        assertEquals(0, process.ioctl(fd, 0x3b66, 1));
    }

    long cut(long iova, long length) {
        MemorySegment struct = arena.allocate(vfio_iommu_type1_dma_unmap.layout());
        vfio_iommu_type1_dma_unmap.argsz(struct, 24);
        vfio_iommu_type1_dma_unmap.iova(struct, iova);
        vfio_iommu_type1_dma_unmap.size(struct, length);
        long error = process.ioctl(fd, 0x3b72, struct);
        return error != 0 ? error : vfio_iommu_type1_dma_unmap.size(struct);
    }

    long pins() {
        return kernel.memory().totalPins();
    }

    /** Ends the process; nothing may be left. */
    @Override
    public void close() {
        process.close();
        assertEquals(List.of(), kernel.leaks());
        assertEquals(List.of(), kernel.iommufd().contexts());
        kernel.close();
        arena.close();
    }
}
