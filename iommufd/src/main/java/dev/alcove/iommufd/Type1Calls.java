// SPDX-License-Identifier: Apache-2.0
package dev.alcove.iommufd;

import dev.alcove.bindings.vfio.vfio;
import dev.alcove.bindings.vfio.vfio_iommu_type1_dma_map;
import dev.alcove.bindings.vfio.vfio_iommu_type1_dma_unmap;
import dev.alcove.sys.KernelFile;
import dev.alcove.sys.StructCache;
import dev.alcove.sys.SyscallException;
import java.lang.foreign.MemorySegment;

/**
 * The calls of the older interface that map and unmap: VFIO's own container takes them, and iommufd, for its
 * compatibility address space. Methods may be called from any thread.
 */
public final class Type1Calls {
    private final KernelFile file;
    private final StructCache maps = new StructCache(vfio_iommu_type1_dma_map.layout());
    private final StructCache unmaps = new StructCache(vfio_iommu_type1_dma_unmap.layout());

    /** @param file that takes the calls; stays the caller's */
    public Type1Calls(KernelFile file) {
        this.file = file;
    }

    /**
     * VFIO_IOMMU_MAP_DMA.
     *
     * @param hva multiple of 4096 in this process
     * @param iova multiple of 4096
     * @param length bytes, multiple of 4096
     * @param access {@link Ioas#READ} and {@link Ioas#WRITE}
     * @throws SyscallException EEXIST something is mapped there (EBUSY in part); EINVAL, EFAULT, ENODEV; ENOSPC too many
     *     mappings; ENOMEM: with the limit that would do
     */
    public void map(long hva, long iova, long length, int access) {
        MemorySegment cmd = maps.take();
        int answer;
        try {
            vfio_iommu_type1_dma_map.argsz(cmd, (int) vfio_iommu_type1_dma_map.sizeof());
            vfio_iommu_type1_dma_map.flags(
                    cmd,
                    ((access & Ioas.READ) != 0 ? vfio.VFIO_DMA_MAP_FLAG_READ() : 0)
                            | ((access & Ioas.WRITE) != 0 ? vfio.VFIO_DMA_MAP_FLAG_WRITE() : 0));
            vfio_iommu_type1_dma_map.vaddr(cmd, hva);
            vfio_iommu_type1_dma_map.iova(cmd, iova);
            vfio_iommu_type1_dma_map.size(cmd, length);
            answer = file.syscalls().ioctl(file.fd(), vfio.VFIO_IOMMU_MAP_DMA(), cmd);
        } finally {
            maps.give(cmd);
        }
        if (answer < 0) {
            throw Ioas.mapFailed(file.syscalls(), "VFIO_IOMMU_MAP_DMA", iova, length, answer);
        }
    }

    /** VFIO_IOMMU_UNMAP_DMA of a range; the answer is how many bytes were unmapped. */
    public long unmap(long iova, long length) {
        return unmap(iova, length, 0);
    }

    /** VFIO_IOMMU_UNMAP_DMA of all there is; the answer is how many bytes were unmapped. */
    public long unmapAll() {
        return unmap(0, 0, vfio.VFIO_DMA_UNMAP_FLAG_ALL());
    }

    private long unmap(long iova, long length, int flags) {
        MemorySegment cmd = unmaps.take();
        int answer;
        long unmapped;
        try {
            vfio_iommu_type1_dma_unmap.argsz(cmd, (int) vfio_iommu_type1_dma_unmap.sizeof());
            vfio_iommu_type1_dma_unmap.flags(cmd, flags);
            vfio_iommu_type1_dma_unmap.iova(cmd, iova);
            vfio_iommu_type1_dma_unmap.size(cmd, length);
            answer = file.syscalls().ioctl(file.fd(), vfio.VFIO_IOMMU_UNMAP_DMA(), cmd);
            unmapped = vfio_iommu_type1_dma_unmap.size(cmd);
        } finally {
            unmaps.give(cmd);
        }
        if (answer < 0) {
            throw new SyscallException("VFIO_IOMMU_UNMAP_DMA", Ioas.range(iova, length), answer);
        }
        return unmapped;
    }
}
