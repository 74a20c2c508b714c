// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vfio;

import dev.alcove.discard.Outcome;
import dev.alcove.iommufd.Ioas;
import dev.alcove.sys.SyscallException;

/**
 * One ioctl for each 4 KiB page: any page can be unmapped by itself, because each is a mapping of its own. The
 * reference, as slow as it sounds, and what is left on a type 1 container.
 *
 * @param space to map into
 */
public record PageStrategy(DmaSpace space) implements MapStrategy {
    public PageStrategy(Ioas ioas) {
        this(IoasSpace.of(ioas));
    }

    @Override
    public String name() {
        return "page";
    }

    @Override
    public long mappings(long length) {
        return length / PAGE;
    }

    @Override
    public long mostMappings(long length) {
        return length / PAGE;
    }

    @Override
    public long largest() {
        return PAGE;
    }

    @Override
    public Outcome mapWhole(DmaSource source, long offset, long iova, long length, MapCounters counters) {
        return MapStrategy.one(space, source, offset, iova, length, counters);
    }

    @Override
    public Outcome map(DmaSource source, long offset, long iova, long length, MapCounters counters) {
        for (long done = 0; done < length; done += PAGE) {
            try {
                counters.mapIoctl();
                space.map(source, offset + done, iova + done, PAGE);
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
                space.unmap(iova, length);
            } catch (SyscallException second) {
                return new Outcome.Unsafe(refused.getMessage() + "; and taking it back: " + second.getMessage());
            }
        }
        return MapStrategy.refused(refused);
    }

    @Override
    public long unmap(long iova, long length, MapCounters counters) {
        counters.unmapIoctl();
        return space.unmap(iova, length);
    }
}
