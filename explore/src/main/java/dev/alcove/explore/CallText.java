// SPDX-License-Identifier: Apache-2.0
package dev.alcove.explore;

import dev.alcove.bindings.iommufd.iommu_ioas_map;
import dev.alcove.bindings.iommufd.iommu_ioas_map_file;
import dev.alcove.bindings.iommufd.iommu_ioas_unmap;
import dev.alcove.bindings.iommufd.iommufd;
import dev.alcove.bindings.kvm.kvm;
import dev.alcove.bindings.kvm.kvm_memory_attributes;
import dev.alcove.bindings.vfio.vfio;
import dev.alcove.bindings.vfio.vfio_iommu_type1_dma_unmap;
import dev.alcove.memory.GuestMemory;
import dev.alcove.memory.RamBlock;
import dev.alcove.sys.Errno;
import dev.alcove.sys.Ioctls;
import dev.alcove.sys.Linux;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** System calls as a kernel engineer reads them; an address of guest memory is told as block and offset. */
final class CallText {
    private static final Ioctls IOCTLS = new Ioctls();

    private @Nullable GuestMemory memory;

    /** From now on its addresses are told. */
    void knows(GuestMemory known) {
        memory = known;
    }

    String of(String name, @Nullable Object @Nullable [] arguments) {
        if (arguments == null) {
            return name + "()";
        }
        if (name.equals("ioctl") && arguments[1] instanceof Integer request) {
            return ioctl(request, arguments[2]);
        }
        List<String> parts = new ArrayList<>();
        for (Object argument : arguments) {
            parts.add(argument instanceof Long number ? address(number) : plain(argument));
        }
        return name + "(" + String.join(", ", parts) + ")";
    }

    private static String plain(@Nullable Object argument) {
        return argument instanceof MemorySegment segment ? segment.byteSize() + " bytes" : String.valueOf(argument);
    }

    private String ioctl(int request, @Nullable Object argument) {
        if (argument instanceof MemorySegment struct) {
            if (request == (int) kvm.KVM_SET_MEMORY_ATTRIBUTES()) {
                return "KVM_SET_MEMORY_ATTRIBUTES("
                        + range("gpa", kvm_memory_attributes.address(struct), kvm_memory_attributes.size(struct))
                        + (kvm_memory_attributes.attributes(struct) != 0 ? ", PRIVATE)" : ", shared)");
            } else if (request == iommufd.IOMMU_IOAS_MAP()) {
                return "IOMMU_IOAS_MAP(ioas " + iommu_ioas_map.ioas_id(struct) + ", "
                        + range("iova", iommu_ioas_map.iova(struct), iommu_ioas_map.length(struct)) + ", "
                        + address(iommu_ioas_map.user_va(struct)) + ")";
            } else if (request == iommufd.IOMMU_IOAS_MAP_FILE()) {
                return "IOMMU_IOAS_MAP_FILE(ioas " + iommu_ioas_map_file.ioas_id(struct) + ", "
                        + range("iova", iommu_ioas_map_file.iova(struct), iommu_ioas_map_file.length(struct)) + ", file "
                        + iommu_ioas_map_file.fd(struct) + " from 0x"
                        + Long.toHexString(iommu_ioas_map_file.start(struct)) + ")";
            } else if (request == iommufd.IOMMU_IOAS_UNMAP()) {
                return "IOMMU_IOAS_UNMAP(ioas " + iommu_ioas_unmap.ioas_id(struct) + ", "
                        + range("iova", iommu_ioas_unmap.iova(struct), iommu_ioas_unmap.length(struct)) + ")";
            } else if (request == vfio.VFIO_IOMMU_UNMAP_DMA()) {
                return "VFIO_IOMMU_UNMAP_DMA("
                        + range("iova", vfio_iommu_type1_dma_unmap.iova(struct), vfio_iommu_type1_dma_unmap.size(struct))
                        + ")";
            }
        }
        return IOCTLS.find(request).stream().findFirst().map(Ioctls.Ioctl::name).orElse("ioctl " + request) + "()";
    }

    private static String range(String what, long start, long size) {
        return what + " [0x" + Long.toHexString(start) + ", 0x" + Long.toHexString(start + size) + ")";
    }

    private String address(long value) {
        GuestMemory known = memory;
        if (known != null) {
            for (RamBlock block : known.blocks()) {
                long offset = value - block.hva().value();
                if (offset >= 0 && offset < block.range().size()) {
                    return block.name() + "+0x" + Long.toHexString(offset);
                }
            }
        }
        return value > Integer.MAX_VALUE ? "an address" : "0x" + Long.toHexString(value);
    }

    /** What a call came to: 0, a number, or the errno. */
    String answer(@Nullable Object answer) {
        long value = answer instanceof Number number ? number.longValue() : 0;
        return Linux.isError(value) ? "-" + Errno.name(-value) : address(value);
    }
}
