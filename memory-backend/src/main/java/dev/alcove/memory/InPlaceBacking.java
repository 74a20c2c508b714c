// SPDX-License-Identifier: Apache-2.0
package dev.alcove.memory;

import dev.alcove.bindings.kvm.kvm;
import dev.alcove.kvm.GuestMemfd;
import dev.alcove.kvm.Vm;
import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import dev.alcove.sys.MissingFeatureException;
import dev.alcove.sys.SyscallException;
import java.lang.foreign.MemorySegment;
import java.util.Optional;

/**
 * One guest_memfd that is mapped here: a page is shared or private, and keeps its contents when it is converted. No
 * release of Linux has this yet; the emulated kernel offers it as a proposal.
 *
 * <p>An access to a page that is private raises SIGBUS, which the JVM turns into an InternalError.
 */
public final class InPlaceBacking implements MemoryBacking {
    private static final long FLAGS = GuestMemfd.FLAG_MMAP | GuestMemfd.FLAG_INIT_SHARED;

    private final GuestMemfd gmem;
    private final BlockMapping mapping;

    private InPlaceBacking(GuestMemfd gmem, BlockMapping mapping) {
        this.gmem = gmem;
        this.mapping = mapping;
    }

    /**
     * Makes a block; all of it is shared.
     *
     * @param backend of it only whether memory is taken now
     * @param size bytes, a multiple of 4096
     * @throws MissingFeatureException the kernel has no in-place conversion
     */
    public static InPlaceBacking create(Vm vm, RamBackend backend, String name, long size) {
        if ((vm.checkExtension(kvm.KVM_CAP_GUEST_MEMFD_FLAGS()) & FLAGS) != FLAGS) {
            throw missing();
        }
        GuestMemfd gmem = vm.createGuestMemfd(size, FLAGS);
        try {
            if (!gmem.convertsInPlace()) {
                throw missing();
            }
            if (backend.prealloc()) {
                gmem.allocate(0, size);
            }
            BlockMapping mapping = BlockMapping.of(
                    vm.syscalls(),
                    size,
                    Linux.MAP_SHARED,
                    gmem.fd(),
                    0,
                    answer -> new SyscallException("mmap", "guest_memfd of " + name + ", " + size + " bytes", answer));
            return new InPlaceBacking(gmem, mapping);
        } catch (RuntimeException failure) {
            gmem.close();
            throw failure;
        }
    }

    private static MissingFeatureException missing() {
        return new MissingFeatureException(
                "this kernel does not convert guest_memfd pages in place: no release of Linux does",
                "use --strategy dual, or --kernel emulated");
    }

    /**
     * Makes a part private or shared; all of it or nothing.
     *
     * @throws SyscallException EAGAIN where a device holds a page that is to be private; ENOMEM
     */
    public void convert(long offset, long length, boolean toPrivate) {
        gmem.setMemoryAttributes(offset, length, toPrivate ? kvm.KVM_MEMORY_ATTRIBUTE_PRIVATE() : 0);
    }

    @Override
    public MemorySegment shared() {
        return mapping.memory();
    }

    /** None: a guest_memfd cannot be mapped for a device by its descriptor. */
    @Override
    public Optional<FileRange> file() {
        return Optional.empty();
    }

    @Override
    public boolean hasPrivateSide() {
        return true;
    }

    @Override
    public MemoryRegion.Ram content() {
        return new MemoryRegion.Ram(mapping.address(), false, gmem, 0);
    }

    /** Not possible: a page is on one side or the other, and takes memory once. */
    @Override
    public void release(Side side, long offset, long length) {
        throw new SyscallException("release of one side", "a guest_memfd that has both", Errno.EOPNOTSUPP);
    }

    @Override
    public Residency.Source sharedResidency() {
        return new Residency.Unknown();
    }

    @Override
    public Residency.Source privateResidency() {
        return new Residency.Unknown();
    }

    @Override
    public void close() {
        mapping.close();
        gmem.close();
    }
}
