// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vfio;

import dev.alcove.bindings.iommufd.iommu_vfio_ioas;
import dev.alcove.bindings.iommufd.iommufd;
import dev.alcove.bindings.vfio.vfio;
import dev.alcove.iommufd.Ioas;
import dev.alcove.iommufd.IommuFd;
import dev.alcove.iommufd.IovaRange;
import dev.alcove.iommufd.Type1Calls;
import dev.alcove.sys.Errno;
import dev.alcove.sys.KernelFile;
import dev.alcove.sys.Linux;
import dev.alcove.sys.MissingFeatureException;
import dev.alcove.sys.SyscallException;
import dev.alcove.sys.Syscalls;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.List;

import static dev.alcove.sys.SyscallException.check;

/**
 * The older interface's I/O address space ({@code /dev/vfio/vfio}): VFIO's own type 1 container, or iommufd in its
 * place (CONFIG_IOMMUFD_VFIO_CONTAINER), which behaves better. The order is open, a {@link VfioGroup} joins,
 * {@link #setIommu()}, mappings and devices. Methods may be called from any thread.
 */
public final class VfioContainer extends KernelFile implements DmaSpace {
    /** Where the kernel offers it. */
    public static final String PATH = "/dev/vfio/vfio";

    private final boolean compatible;
    private final Type1Calls calls = new Type1Calls(this);
    /** What {@link #setIommu} set; 0 before. */
    private volatile int type;

    private final String path;

    private VfioContainer(Syscalls syscalls, int fd, String path) {
        super(syscalls, fd);
        this.path = path;
        this.compatible = answersAsIommufd();
    }

    /**
     * Opens what the kernel has: iommufd, which is a container as well and can be cut, else {@value #PATH}.
     *
     * @throws SyscallException ENOENT, EACCES: with a hint what to do
     */
    public static VfioContainer open(Syscalls syscalls) {
        int fd = syscalls.open(IommuFd.PATH, Linux.O_RDWR | Linux.O_CLOEXEC, 0);
        return fd >= 0 ? new VfioContainer(syscalls, fd, IommuFd.PATH) : open(syscalls, PATH);
    }

    /**
     * Opens a container.
     *
     * @param path {@value #PATH}, or iommufd's
     */
    public static VfioContainer open(Syscalls syscalls, String path) {
        int fd = syscalls.open(path, Linux.O_RDWR | Linux.O_CLOEXEC, 0);
        if (fd < 0) {
            throw new SyscallException("open", path, fd, switch (-fd) {
                case Errno.ENOENT, Errno.ENODEV -> "load the modules: modprobe vfio vfio_iommu_type1";
                case Errno.EACCES, Errno.EPERM -> "give the user access (sudo setfacl -m u:$USER:rw " + path + ")";
                default -> null;
            });
        }
        return new VfioContainer(syscalls, fd, path);
    }

    /** VFIO's own container does not know iommufd's question for the address space of the older calls. */
    private boolean answersAsIommufd() {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment cmd = iommu_vfio_ioas.allocate(arena);
            iommu_vfio_ioas.size(cmd, (int) iommu_vfio_ioas.sizeof());
            iommu_vfio_ioas.op(cmd, (short) iommufd.IOMMU_VFIO_IOAS_GET());
            int answer = syscalls.ioctl(fd(), iommufd.IOMMU_VFIO_IOAS(), cmd);
            return answer == 0 || answer == -Errno.ENODEV;
        }
    }

    /** Whether iommufd stands in for VFIO's own container. */
    public boolean isIommufd() {
        return compatible;
    }

    /** VFIO_CHECK_EXTENSION: what the container can do, such as VFIO_TYPE1v2_IOMMU. */
    public boolean extension(int extension) {
        int answer = syscalls.ioctl(fd(), vfio.VFIO_CHECK_EXTENSION(), extension);
        return check(answer, "VFIO_CHECK_EXTENSION", path + " extension " + extension) > 0;
    }

    /**
     * {@link #setIommu(int)} to what serves conversions best: with iommufd version 1, which can be cut; else version 2,
     * which refuses to unmap more than was asked for.
     *
     * @throws MissingFeatureException the kernel has neither
     */
    public void setIommu() {
        int first = compatible ? vfio.VFIO_TYPE1_IOMMU() : vfio.VFIO_TYPE1v2_IOMMU();
        int second = compatible ? vfio.VFIO_TYPE1v2_IOMMU() : vfio.VFIO_TYPE1_IOMMU();
        if (extension(first)) {
            setIommu(first);
        } else if (extension(second)) {
            setIommu(second);
        } else {
            throw new MissingFeatureException("no type 1 IOMMU behind " + path, "modprobe vfio_iommu_type1");
        }
    }

    /**
     * VFIO_SET_IOMMU, once a group has joined.
     *
     * @param type VFIO_TYPE1_IOMMU or VFIO_TYPE1v2_IOMMU
     * @throws SyscallException EINVAL no group, or set already; ENODEV no such driver
     */
    public void setIommu(int type) {
        check(syscalls.ioctl(fd(), vfio.VFIO_SET_IOMMU(), type), "VFIO_SET_IOMMU", path + " to type " + type);
        this.type = type;
    }

    /** What the container says of itself (VFIO_IOMMU_GET_INFO); after {@link #setIommu}. */
    public ContainerInfo info() {
        return ContainerInfo.ask(this);
    }

    /** VFIO_IOMMU_MAP_DMA. EBUSY and EEXIST something is mapped there; ENOSPC too many mappings; EINVAL; EFAULT; ENOMEM. */
    @Override
    public void map(DmaSource source, long offset, long iova, long length) {
        calls.map(source.hva() + offset, iova, length, Ioas.READ | Ioas.WRITE);
    }

    /** VFIO_IOMMU_UNMAP_DMA of whole mappings; version 2 answers EINVAL, iommufd ENOENT, where one sticks out. */
    @Override
    public long unmap(long iova, long length) {
        return calls.unmap(iova, length);
    }

    /** Unmaps all there is; the answer is the number of bytes. */
    public long unmapAll() {
        return calls.unmapAll();
    }

    /** Only iommufd cuts, and only as version 1. */
    @Override
    public boolean cuts() {
        return compatible && type == vfio.VFIO_TYPE1_IOMMU();
    }

    @Override
    public long cut(long iova, long length) {
        if (!cuts()) {
            throw new UnsupportedOperationException("a type 1 container of VFIO cannot be cut");
        }
        return calls.unmap(iova, length);
    }

    @Override
    public long mappingsLeft() {
        // iommufd answers 65535 whatever is mapped: it does not count.
        return compatible ? UNLIMITED : info().mappingsLeft();
    }

    @Override
    public String raiseLimit(long mappings) {
        return "set the module parameter vfio_iommu_type1.dma_entry_limit=" + mappings + " before the start (echo "
                + mappings + " > /sys/module/vfio_iommu_type1/parameters/dma_entry_limit), or use a kernel with iommufd";
    }

    @Override
    public List<IovaRange> reachable() {
        return info().ranges();
    }

    @Override
    public String toString() {
        return path + (compatible ? " of iommufd" : "") + " type " + type;
    }
}
