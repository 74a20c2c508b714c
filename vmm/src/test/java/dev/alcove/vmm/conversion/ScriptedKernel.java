// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vmm.conversion;

import dev.alcove.bindings.iommufd.iommu_destroy;
import dev.alcove.bindings.iommufd.iommu_ioas_alloc;
import dev.alcove.bindings.iommufd.iommu_ioas_iova_ranges;
import dev.alcove.bindings.iommufd.iommu_ioas_map;
import dev.alcove.bindings.iommufd.iommu_ioas_unmap;
import dev.alcove.bindings.iommufd.iommufd;
import dev.alcove.bindings.kvm.kvm;
import dev.alcove.bindings.kvm.kvm_create_guest_memfd;
import dev.alcove.bindings.kvm.kvm_memory_attributes;
import dev.alcove.bindings.kvm.kvm_userspace_memory_region;
import dev.alcove.bindings.vfio.vfio;
import dev.alcove.bindings.vfio.vfio_iommu_type1_dma_unmap;
import dev.alcove.discard.RangeSet;
import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.Predicate;
import org.jspecify.annotations.Nullable;

/**
 * Just enough of Linux to convert memory: memfds, guest_memfds, slots, attributes, one I/O address space. It keeps the
 * truth as the kernel would, can fail any call, and tells what is left open.
 */
final class ScriptedKernel extends NoSyscalls {
    /** A call that can be made to fail: every one that a real kernel may refuse. */
    record Call(String name, long start, long length) {}

    private final Arena arena = Arena.ofShared();
    private final Map<Integer, String> files = new HashMap<>();
    private final Map<Long, Long> mappings = new HashMap<>();
    private final TreeMap<Long, Long> areas = new TreeMap<>();
    private final List<Integer> slots = new ArrayList<>();
    private final RangeSet privates = new RangeSet();
    private int unmapOnly = -1;
    private boolean cuts;
    private int ioas;

    /** What is called, in order. */
    final List<Call> calls = new ArrayList<>();

    /** Decides which calls fail with {@link #errno}. */
    @Nullable Predicate<Call> failing;

    int errno = Errno.ENOMEM;

    synchronized void failNth(int n) {
        int[] left = {n};
        failing = call -> left[0]-- == 0;
    }

    synchronized void failNothing() {
        failing = null;
    }

    /** The next unmap takes out this many areas, then fails with EBUSY. */
    synchronized void unmapOnly(int count) {
        unmapOnly = count;
    }

    /** Descriptors, mappings, slots, areas that are left. */
    synchronized List<String> left() {
        List<String> left = new ArrayList<>(files.values());
        mappings.forEach((address, length) -> left.add("mapping of " + length));
        slots.forEach(slot -> left.add("slot " + slot));
        areas.forEach((iova, length) -> left.add("area of " + length));
        return left;
    }

    synchronized RangeSet privates() {
        return privates.copy();
    }

    synchronized RangeSet mapped() {
        RangeSet mapped = new RangeSet();
        areas.forEach(mapped::add);
        return mapped;
    }

    private boolean fails(String name, long start, long length) {
        Call call = new Call(name, start, length);
        calls.add(call);
        Predicate<Call> rule = failing;
        return rule != null && rule.test(call);
    }

    private int newFile(String kind) {
        int fd = 3;
        while (files.containsKey(fd)) {
            fd++;
        }
        files.put(fd, kind);
        return fd;
    }

    @Override
    public synchronized int open(String path, int flags, int mode) {
        boolean known = path.equals("/dev/kvm") || path.equals("/dev/iommu");
        return known ? fails("open", 0, 0) ? -errno : newFile(path) : -Errno.ENOENT;
    }

    @Override
    public synchronized int close(int fd) {
        String kind = files.remove(fd);
        if ("/dev/iommu".equals(kind)) {
            areas.clear();
        }
        return kind == null ? -Errno.EBADF : 0;
    }

    @Override
    public synchronized int memfdCreate(String name, int flags) {
        return fails("memfd_create", 0, 0) ? -errno : newFile("memfd");
    }

    @Override
    public synchronized int ftruncate(int fd, long length) {
        return fails("ftruncate", 0, length) ? -errno : 0;
    }

    @Override
    public synchronized long mmap(long address, long length, int protection, int flags, int fd, long offset) {
        if (fails("mmap", 0, length)) {
            return -errno;
        }
        long at = arena.allocate(length, Linux.PAGE_SIZE).address();
        mappings.put(at, length);
        return at;
    }

    @Override
    public synchronized int munmap(long address, long length) {
        return mappings.remove(address, length) ? 0 : -Errno.EINVAL;
    }

    @Override
    public synchronized int fallocate(int fd, int mode, long offset, long length) {
        String kind = files.get(fd);
        return kind == null ? -Errno.EBADF : fails("punch " + kind, offset, length) ? -errno : 0;
    }

    @Override
    public synchronized int ioctl(int fd, int request, long argument) {
        if (request == kvm.KVM_GET_API_VERSION()) {
            return kvm.KVM_API_VERSION();
        } else if (request == kvm.KVM_CHECK_EXTENSION()) {
            return 0;
        } else if (request == kvm.KVM_GET_VCPU_MMAP_SIZE()) {
            return 3 * Linux.PAGE_SIZE;
        } else if (request == kvm.KVM_CREATE_VM()) {
            privates.remove(0, Long.MAX_VALUE);
            return fails("create_vm", 0, 0) ? -errno : newFile("vm");
        } else if (request == vfio.VFIO_SET_IOMMU()) {
            cuts = true;
            return 0;
        }
        return -Errno.ENOTTY;
    }

    @Override
    public synchronized int ioctl(int fd, int request, MemorySegment argument) {
        if (!files.containsKey(fd)) {
            return -Errno.EBADF;
        } else if (request == (int) kvm.KVM_CREATE_GUEST_MEMFD()) {
            return fails("create_guest_memfd", 0, kvm_create_guest_memfd.size(argument)) ? -errno : newFile("gmem");
        } else if (request == (int) kvm.KVM_SET_USER_MEMORY_REGION()
                || request == (int) kvm.KVM_SET_USER_MEMORY_REGION2()) {
            return setSlot(argument);
        } else if (request == (int) kvm.KVM_SET_MEMORY_ATTRIBUTES()) {
            return setAttributes(argument);
        } else if (request == iommufd.IOMMU_IOAS_ALLOC()) {
            iommu_ioas_alloc.out_ioas_id(argument, ++ioas);
            return 0;
        } else if (request == iommufd.IOMMU_DESTROY()) {
            return iommu_destroy.id(argument) == ioas ? 0 : -Errno.ENOENT;
        } else if (request == iommufd.IOMMU_VFIO_IOAS()) {
            return 0;
        } else if (request == iommufd.IOMMU_IOAS_IOVA_RANGES()) {
            iommu_ioas_iova_ranges.num_iovas(argument, 0);
            return 0;
        } else if (request == iommufd.IOMMU_IOAS_MAP()) {
            return map(argument);
        } else if (request == iommufd.IOMMU_IOAS_UNMAP()) {
            long iova = iommu_ioas_unmap.iova(argument);
            long length = iommu_ioas_unmap.length(argument);
            if (fails("unmap", iova, length)) {
                return -errno;
            }
            long unmapped = unmap(iova, length);
            iommu_ioas_unmap.length(argument, Math.max(0, unmapped));
            return unmapped == 0 ? -Errno.ENOENT : (int) Math.min(0, unmapped);
        } else if (request == vfio.VFIO_IOMMU_UNMAP_DMA()) {
            return compatUnmap(argument);
        }
        return -Errno.ENOTTY;
    }

    private int setSlot(MemorySegment region) {
        int slot = kvm_userspace_memory_region.slot(region);
        long size = kvm_userspace_memory_region.memory_size(region);
        if (size == 0) {
            return slots.remove((Integer) slot) ? 0 : -Errno.EINVAL;
        } else if (fails("slot", kvm_userspace_memory_region.guest_phys_addr(region), size)) {
            return -errno;
        }
        slots.add(slot);
        return 0;
    }

    private int setAttributes(MemorySegment struct) {
        long start = kvm_memory_attributes.address(struct);
        long size = kvm_memory_attributes.size(struct);
        boolean toPrivate = kvm_memory_attributes.attributes(struct) != 0;
        if (fails(toPrivate ? "set private" : "set shared", start, size)) {
            return -errno;
        }
        if (toPrivate) {
            privates.add(start, size);
        } else {
            privates.remove(start, size);
        }
        return 0;
    }

    private int map(MemorySegment struct) {
        long iova = iommu_ioas_map.iova(struct);
        long length = iommu_ioas_map.length(struct);
        if (fails("map", iova, length)) {
            return -errno;
        }
        if (mapped().containsAny(iova, length)) {
            return -Errno.EEXIST;
        }
        long va = iommu_ioas_map.user_va(struct);
        boolean known = mappings.entrySet().stream()
                .anyMatch(mapping -> va >= mapping.getKey() && va + length <= mapping.getKey() + mapping.getValue());
        if (!known) {
            return -Errno.EFAULT;
        }
        areas.put(iova, length);
        return 0;
    }

    private int compatUnmap(MemorySegment struct) {
        long iova = vfio_iommu_type1_dma_unmap.iova(struct);
        long length = vfio_iommu_type1_dma_unmap.size(struct);
        if (fails("unmap", iova, length)) {
            return -errno;
        }
        if (cuts) {
            cut(iova);
            cut(iova + length);
        }
        long unmapped = unmap(iova, length);
        vfio_iommu_type1_dma_unmap.size(struct, Math.max(0, unmapped));
        return (int) Math.min(0, unmapped);
    }

    private void cut(long at) {
        Map.Entry<Long, Long> area = areas.lowerEntry(at);
        if (area != null && area.getKey() + area.getValue() > at) {
            areas.put(area.getKey(), at - area.getKey());
            areas.put(at, area.getKey() + area.getValue() - at);
        }
    }

    /** Takes out whole areas in ascending order, and stops at one that is covered in part. */
    private long unmap(long iova, long length) {
        long unmapped = 0;
        while (true) {
            Map.Entry<Long, Long> area = areas.lowerEntry(iova + length);
            while (area != null) {
                Map.Entry<Long, Long> before = areas.lowerEntry(area.getKey());
                if (before == null || before.getKey() + before.getValue() <= iova) {
                    break;
                }
                area = before;
            }
            if (area == null || area.getKey() + area.getValue() <= iova) {
                return unmapped;
            }
            if (area.getKey() < iova || area.getKey() + area.getValue() > iova + length) {
                return -Errno.ENOENT;
            }
            if (unmapOnly == 0) {
                unmapOnly = -1;
                return -Errno.EBUSY;
            }
            unmapOnly -= unmapOnly > 0 ? 1 : 0;
            areas.remove(area.getKey());
            unmapped += area.getValue();
        }
    }
}
