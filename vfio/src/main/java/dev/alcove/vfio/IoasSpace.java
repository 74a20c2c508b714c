// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vfio;

import dev.alcove.iommufd.Ioas;
import dev.alcove.iommufd.IovaRange;
import dev.alcove.sys.Errno;
import dev.alcove.sys.SyscallException;
import dev.alcove.sys.UserArena;
import java.util.List;

/** An IOAS of iommufd. */
public final class IoasSpace implements DmaSpace {
    private final Ioas ioas;
    private final boolean cuts;
    private final boolean files;

    private IoasSpace(Ioas ioas, boolean cuts) {
        this.ioas = ioas;
        this.cuts = cuts;
        this.files = ioas.mapsFiles();
    }

    /** An address space whose areas can only be unmapped as a whole. */
    public static IoasSpace of(Ioas ioas) {
        return new IoasSpace(ioas, false);
    }

    /**
     * Prepares an address space for {@link #cut}: makes it the context's compatibility address space, which turns
     * large IOPTEs off. Must come before a device is attached: with a device an area that has large IOPTEs cannot be
     * cut any more. A context has one compatibility address space, so only one address space of it can do this.
     *
     * @throws dev.alcove.sys.SyscallException EINVAL there are a device and areas already; ENOTTY the kernel has no
     *     compatibility interface
     */
    public static IoasSpace cutting(Ioas ioas) {
        ioas.iommu().setVfioIoas(ioas);
        ioas.iommu().setIommuType1();
        return new IoasSpace(ioas, true);
    }

    /**
     * {@link #cutting} where the kernel can do it, else {@link #of}. It is asked by doing it: two pages are mapped and
     * one of them cut off. Before a device is attached.
     */
    public static IoasSpace best(Ioas ioas) {
        try {
            IoasSpace cutting = cutting(ioas);
            if (cutting.proves()) {
                return cutting;
            }
        } catch (SyscallException _) {
            // this kernel does not cut
        }
        return of(ioas);
    }

    private boolean proves() {
        try (UserArena memory = new UserArena(ioas.iommu().syscalls(), 2 * MapStrategy.PAGE)) {
            long hva = memory.allocate(2 * MapStrategy.PAGE, MapStrategy.PAGE).address();
            ioas.map(hva, MapStrategy.PAGE, 2 * MapStrategy.PAGE, Ioas.READ);
            try {
                return cut(2 * MapStrategy.PAGE, MapStrategy.PAGE) == MapStrategy.PAGE;
            } finally {
                ioas.unmapAll();
            }
        }
    }

    public Ioas ioas() {
        return ioas;
    }

    @Override
    public void map(DmaSource source, long offset, long iova, long length) {
        if (!files || source.file() < 0 || !mapFile(source, offset, iova, length)) {
            ioas.map(source.hva() + offset, iova, length, Ioas.READ | Ioas.WRITE);
        }
    }

    /** False for a file that the kernel does not pin by itself: one of a disk's file system, say. */
    private boolean mapFile(DmaSource source, long offset, long iova, long length) {
        try {
            ioas.mapFile(source.file(), source.start() + offset, iova, length, Ioas.READ | Ioas.WRITE);
            return true;
        } catch (SyscallException refused) {
            if (refused.errno() == Errno.EINVAL) {
                return false;
            }
            throw refused;
        }
    }

    @Override
    public long unmap(long iova, long length) {
        return ioas.unmap(iova, length);
    }

    @Override
    public boolean cuts() {
        return cuts;
    }

    @Override
    public long cut(long iova, long length) {
        if (!cuts) {
            throw new UnsupportedOperationException("this address space was not prepared for cuts");
        }
        return ioas.iommu().compatUnmap(iova, length);
    }

    @Override
    public long mappingsLeft() {
        return UNLIMITED;
    }

    @Override
    public String raiseLimit(long mappings) {
        return "an IOAS has no limit";
    }

    @Override
    public List<IovaRange> reachable() {
        return ioas.iovaRanges();
    }

    @Override
    public String toString() {
        return "ioas " + ioas.id();
    }
}
