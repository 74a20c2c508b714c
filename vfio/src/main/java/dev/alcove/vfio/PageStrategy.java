// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vfio;

import dev.alcove.discard.Outcome;
import dev.alcove.iommufd.Ioas;
import dev.alcove.sys.SyscallException;

/**
 * One IOMMU_IOAS_MAP for each 4 KiB page: any page can be unmapped by itself, because each is an area of its own. The
 * reference, and as slow as it sounds.
 *
 * @param ioas to map into
 */
public record PageStrategy(Ioas ioas) implements MapStrategy {
    private static final long PAGE = 4096;

    @Override
    public String name() {
        return "page";
    }

    @Override
    public Outcome map(long hva, long iova, long length, MapCounters counters) {
        for (long done = 0; done < length; done += PAGE) {
            try {
                counters.mapIoctl();
                ioas.map(hva + done, iova + done, PAGE, Ioas.READ | Ioas.WRITE);
            } catch (SyscallException refused) {
                return takeBack(iova, done, refused, counters);
            }
        }
        return Outcome.done();
    }

    private Outcome takeBack(long iova, long length, SyscallException refused, MapCounters counters) {
        if (length > 0) {
            try {
                counters.unmapIoctl();
                ioas.unmap(iova, length);
            } catch (SyscallException second) {
                return new Outcome.Unsafe(refused.getMessage() + "; and taking it back: " + second.getMessage());
            }
        }
        return VfioDmaMapper.refused(refused);
    }

    @Override
    public long unmap(long iova, long length, MapCounters counters) {
        counters.unmapIoctl();
        return ioas.unmap(iova, length);
    }
}
