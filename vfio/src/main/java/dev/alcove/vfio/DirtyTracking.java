// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vfio;

import dev.alcove.bindings.iommufd.iommufd;
import dev.alcove.bindings.vfio.vfio;
import dev.alcove.bindings.vfio.vfio_bitmap;
import dev.alcove.bindings.vfio.vfio_iommu_type1_dirty_bitmap;
import dev.alcove.bindings.vfio.vfio_iommu_type1_dirty_bitmap_get;
import dev.alcove.discard.RangeSet;
import dev.alcove.iommufd.Hwpt;
import dev.alcove.iommufd.Ioas;
import dev.alcove.sys.Errno;
import dev.alcove.sys.MissingFeatureException;
import dev.alcove.sys.SyscallException;
import dev.alcove.sys.Syscalls;
import dev.alcove.sys.UserArena;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;

import static java.lang.foreign.ValueLayout.JAVA_LONG;

/** Which pages devices have written: by the IOMMU itself where it can, by what a type 1 container knows else. */
public sealed interface DirtyTracking {
    /** Bytes that a bit stands for. */
    long PAGE = 4096;

    /** Begins; nothing counts as written before. */
    void start();

    /** Ends, and forgets what was written. */
    void stop();

    /**
     * The pages of a range that were written since {@link #start} or the last call for them. A container that cannot
     * tell names all that is mapped.
     *
     * @param iova multiple of 4096
     * @param length bytes, a multiple of 4096, above 0
     * @return IOVAs
     */
    RangeSet collect(long iova, long length);

    /**
     * A page table that a device is to be attached to instead of the address space itself, and that can track.
     *
     * @param deviceId of a bound device
     * @throws MissingFeatureException where its IOMMU cannot
     */
    static Hwpt tableFor(int deviceId, Ioas ioas) {
        try {
            return Hwpt.alloc(deviceId, ioas, iommufd.IOMMU_HWPT_ALLOC_DIRTY_TRACKING());
        } catch (SyscallException refused) {
            throw refused.errno() == Errno.EOPNOTSUPP ? unsupported("the device's IOMMU") : refused;
        }
    }

    /** Of a page table of {@link #tableFor}; {@link #start} says where it cannot. */
    static DirtyTracking of(Hwpt table) {
        return new OfTable(table);
    }

    /**
     * Of a container.
     *
     * @throws MissingFeatureException where it cannot: iommufd in its place does not, VFIO's own does
     */
    static DirtyTracking of(VfioContainer container) {
        if ((container.info().dirtyPageSizes() & PAGE) == 0) {
            throw unsupported(container.toString());
        }
        return new OfContainer(container);
    }

    private static MissingFeatureException unsupported(String who) {
        return new MissingFeatureException(
                who + " does not support tracking of dirty pages",
                "it takes an IOMMU with dirty bits (VT-d 3.0 second stage, AMD-Vi with HD, SMMUv3 with HTTU), or a type 1"
                        + " container of VFIO");
    }

    /** The memory of a bitmap for a range. */
    private static UserArena room(Syscalls syscalls, long length) {
        if (length <= 0 || length % PAGE != 0) {
            throw new IllegalArgumentException(length + " bytes are not whole pages");
        }
        return new UserArena(syscalls, bytes(length));
    }

    private static long bytes(long length) {
        return Math.ceilDiv(length / PAGE, Long.SIZE) * Long.BYTES;
    }

    private static RangeSet decode(MemorySegment bitmap, long iova, long length) {
        RangeSet dirty = new RangeSet();
        for (long word = 0; word < bitmap.byteSize() / Long.BYTES; word++) {
            long bits = bitmap.getAtIndex(JAVA_LONG, word);
            while (bits != 0) {
                int first = Long.numberOfTrailingZeros(bits);
                int run = Long.numberOfTrailingZeros(~(bits >>> first));
                long from = (word * Long.SIZE + first) * PAGE;
                dirty.add(iova + from, Math.min(run * PAGE, length - from));
                bits = first + run == Long.SIZE ? 0 : bits & (-1L << (first + run));
            }
        }
        return dirty;
    }

    /** By the IOMMU. */
    record OfTable(Hwpt table) implements DirtyTracking {
        @Override
        public void start() {
            try {
                table.dirtyTracking(true);
            } catch (SyscallException refused) {
                throw refused.errno() == Errno.EOPNOTSUPP ? unsupported("hwpt " + table.id()) : refused;
            }
        }

        @Override
        public void stop() {
            table.dirtyTracking(false);
        }

        @Override
        public RangeSet collect(long iova, long length) {
            try (UserArena user = room(table.iommu().syscalls(), length)) {
                MemorySegment bitmap = user.allocate(bytes(length), Long.BYTES);
                table.dirtyBitmap(iova, length, PAGE, 0, bitmap);
                return decode(bitmap, iova, length);
            }
        }
    }

    /** By a container: without help of a device's driver, all that is mapped counts as written. */
    record OfContainer(VfioContainer container) implements DirtyTracking {
        @Override
        public void start() {
            toggle(vfio.VFIO_IOMMU_DIRTY_PAGES_FLAG_START(), "start");
        }

        @Override
        public void stop() {
            toggle(vfio.VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP(), "stop");
        }

        private void toggle(int flag, String what) {
            try (Arena arena = Arena.ofConfined()) {
                MemorySegment cmd = vfio_iommu_type1_dirty_bitmap.allocate(arena);
                vfio_iommu_type1_dirty_bitmap.argsz(cmd, (int) vfio_iommu_type1_dirty_bitmap.sizeof());
                vfio_iommu_type1_dirty_bitmap.flags(cmd, flag);
                ask(cmd, what);
            }
        }

        private void ask(MemorySegment cmd, String what) {
            int answer = container.syscalls().ioctl(container.fd(), vfio.VFIO_IOMMU_DIRTY_PAGES(), cmd);
            SyscallException.check(answer, "VFIO_IOMMU_DIRTY_PAGES", container + " " + what);
        }

        @Override
        public RangeSet collect(long iova, long length) {
            try (Arena arena = Arena.ofConfined();
                    UserArena user = room(container.syscalls(), length)) {
                MemorySegment bitmap = user.allocate(bytes(length), Long.BYTES);
                long head = vfio_iommu_type1_dirty_bitmap.sizeof();
                MemorySegment cmd = arena.allocate(head + vfio_iommu_type1_dirty_bitmap_get.sizeof(), Long.BYTES);
                vfio_iommu_type1_dirty_bitmap.argsz(cmd, (int) cmd.byteSize());
                vfio_iommu_type1_dirty_bitmap.flags(cmd, vfio.VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP());
                MemorySegment get = cmd.asSlice(head);
                vfio_iommu_type1_dirty_bitmap_get.iova(get, iova);
                vfio_iommu_type1_dirty_bitmap_get.size(get, length);
                MemorySegment description = vfio_iommu_type1_dirty_bitmap_get.bitmap(get);
                vfio_bitmap.pgsize(description, PAGE);
                vfio_bitmap.size(description, bitmap.byteSize());
                vfio_bitmap.data(description, bitmap);
                ask(cmd, VfioDmaMapper.range(iova, length));
                return decode(bitmap, iova, length);
            }
        }
    }
}
