// SPDX-License-Identifier: Apache-2.0
package dev.alcove.memory;

import dev.alcove.sys.BadInputException;
import dev.alcove.sys.Errno;
import dev.alcove.sys.KernelFile;
import dev.alcove.sys.Linux;
import dev.alcove.sys.SyscallException;
import dev.alcove.sys.Syscalls;
import java.lang.foreign.MemorySegment;
import java.util.Optional;

/**
 * Memory that this process maps: all RAM of an ordinary guest, and the shared side of a confidential one. A memfd, a
 * file or anonymous memory, see {@link RamBackend}; there is no descriptor behind the last.
 */
public final class SharedBacking extends KernelFile implements MemoryBacking {
    /**
     * A part of a file.
     *
     * @param offset where it begins
     * @param total bytes that the file has to have for all parts
     */
    public record FilePlace(long offset, long total) {}

    private final RamBackend backend;
    private final long fileOffset;
    private final BlockMapping mapping;

    private SharedBacking(Syscalls syscalls, RamBackend backend, int fd, long fileOffset, BlockMapping mapping) {
        super(syscalls, fd);
        this.backend = backend;
        this.fileOffset = fileOffset;
        this.mapping = mapping;
    }

    /** A memfd. */
    public static SharedBacking create(Syscalls syscalls, String name, long size) {
        return create(syscalls, RamBackend.memfd(), name, size, new FilePlace(0, size));
    }

    /**
     * Takes address space for a block; memory comes with the first touch of a page, that of huge pages is promised now.
     *
     * @param name of the block, for /proc/self/maps
     * @param size bytes, a multiple of the backend's page size
     * @param place where in a file the block is, as all blocks of a guest share one
     * @throws SyscallException ENOMEM, EMFILE, what opening the file gives
     * @throws BadInputException the file is too short
     */
    public static SharedBacking create(
            Syscalls syscalls, RamBackend backend, String name, long size, FilePlace place) {
        if (size % backend.pageSize() != 0) {
            throw new BadInputException(
                    name + " of " + size + " bytes is not a whole number of huge pages of "
                            + (backend.pageSize() >> 20) + " MiB",
                    "give the guest, and each NUMA node, a multiple of that");
        }
        int fd = BackendFiles.open(syscalls, backend, name, size, place);
        long offset = backend.kind() == RamBackend.Kind.FILE ? place.offset() : 0;
        BlockMapping mapping = BlockMapping.of(syscalls, size, mapFlags(backend), fd, offset, answer -> {
            if (fd >= 0) {
                syscalls.close(fd);
            }
            return refused(syscalls, backend, "mmap", name + ", " + size + " bytes", answer, size);
        });
        SharedBacking backing = new SharedBacking(syscalls, backend, fd, offset, mapping);
        try {
            // A child would share what devices write; and such a mapping never becomes one with a neighbour's, which
            // counting what is resident needs.
            syscalls.madvise(mapping.address(), size, Linux.MADV_DONTFORK);
            backing.populate();
            return backing;
        } catch (RuntimeException failure) {
            backing.close();
            throw failure;
        }
    }

    private static int mapFlags(RamBackend backend) {
        int flags = backend.shared() ? Linux.MAP_SHARED : Linux.MAP_PRIVATE;
        if (backend.kind() == RamBackend.Kind.RAM) {
            flags |= Linux.MAP_ANONYMOUS;
            flags |= backend.hugePage() == 0 ? 0 : Linux.MAP_HUGETLB | BackendFiles.sizeFlag(backend);
        }
        // The promise of huge pages is what turns a pool that is too small into an error here, and not into a
        // SIGBUS when the guest touches them.
        return backend.hugePage() == 0 ? flags | Linux.MAP_NORESERVE : flags;
    }

    static SyscallException refused(
            Syscalls syscalls, RamBackend backend, String operation, String subject, long answer, long bytes) {
        return backend.hugePage() == 0
                ? new SyscallException(operation, subject, answer)
                : HugePagePool.refused(syscalls, operation, subject, answer, backend.hugePage(), bytes);
    }

    /** Takes all memory now, where that is wanted. */
    private void populate() {
        if (!backend.prealloc()) {
            return;
        }
        int answer;
        do {
            answer = syscalls.madvise(mapping.address(), size(), Linux.MADV_POPULATE_WRITE);
        } while (answer == -Errno.EINTR);
        if (answer < 0) {
            throw refused(syscalls, backend, "madvise(MADV_POPULATE_WRITE)", size() + " bytes of RAM", answer, size());
        }
    }

    @Override
    public MemorySegment shared() {
        return mapping.memory();
    }

    @Override
    public Optional<FileRange> file() {
        return fd() >= 0 && backend.shared() ? Optional.of(new FileRange(fd(), fileOffset)) : Optional.empty();
    }

    @Override
    public boolean hasPrivateSide() {
        return false;
    }

    @Override
    public MemoryRegion.Ram content() {
        return MemoryRegion.Ram.of(mapping.address());
    }

    /** Of huge pages only whole ones are freed; a part of one is made zero. */
    @Override
    public void release(Side side, long offset, long length) {
        if (side == Side.PRIVATE) {
            throw new IllegalStateException("this block has no private side");
        }
        int answer;
        do {
            answer = punch(offset, length);
        } while (answer == -Errno.EINTR);
        if (answer == 0) {
            return;
        }
        SyscallException.check(
                answer,
                backend.shared() && fd() >= 0 ? "fallocate(PUNCH_HOLE)" : "madvise",
                "offset 0x" + Long.toHexString(offset) + ", " + length + " bytes");
    }

    private int punch(long offset, long length) {
        if (offset < 0 || length <= 0 || offset + length > size()) {
            return -Errno.EINVAL;
        }
        if (backend.shared() && fd() >= 0) {
            return syscalls.fallocate(
                    fd(), Linux.FALLOC_FL_KEEP_SIZE | Linux.FALLOC_FL_PUNCH_HOLE, fileOffset + offset, length);
        }
        if (backend.hugePage() == 0) {
            return syscalls.madvise(
                    mapping.address() + offset, length, backend.shared() ? Linux.MADV_REMOVE : Linux.MADV_DONTNEED);
        }
        return punchHuge(offset, length);
    }

    /** madvise takes whole huge pages only. */
    private int punchHuge(long offset, long length) {
        long page = backend.hugePage();
        long first = (offset + page - 1) & -page;
        long end = (offset + length) & -page;
        if (first >= end) {
            mapping.memory().asSlice(offset, length).fill((byte) 0);
            return 0;
        }
        mapping.memory().asSlice(offset, first - offset).fill((byte) 0);
        mapping.memory().asSlice(end, offset + length - end).fill((byte) 0);
        return syscalls.madvise(
                mapping.address() + first,
                end - first,
                backend.shared() ? Linux.MADV_REMOVE : Linux.MADV_DONTNEED);
    }

    @Override
    public Residency.Source sharedResidency() {
        // The blocks of a file on a disk are not what is in memory.
        return fd() >= 0 && backend.shared() && backend.kind() == RamBackend.Kind.MEMFD
                ? new Residency.Blocks(fd())
                : new Residency.Mapped(mapping.address(), size());
    }

    @Override
    public Residency.Source privateResidency() {
        return new Residency.Nothing();
    }

    /** Unmaps and closes. No other thread may be inside an access. */
    @Override
    public void close() {
        mapping.close();
        super.close();
    }
}
