// SPDX-License-Identifier: Apache-2.0
package dev.alcove.iommufd;

import dev.alcove.bindings.iommufd.iommu_destroy;
import dev.alcove.bindings.iommufd.iommu_ioas_alloc;
import dev.alcove.bindings.iommufd.iommu_option;
import dev.alcove.bindings.iommufd.iommu_vfio_ioas;
import dev.alcove.bindings.iommufd.iommufd;
import dev.alcove.bindings.vfio.vfio;
import dev.alcove.sys.Errno;
import dev.alcove.sys.KernelFile;
import dev.alcove.sys.Linux;
import dev.alcove.sys.SyscallException;
import dev.alcove.sys.Syscalls;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;

import static dev.alcove.sys.SyscallException.check;

/**
 * An iommufd context (Documentation/userspace-api/iommufd.rst): the owner of all objects that are made through it.
 * Methods may be called from any thread.
 */
public final class IommuFd extends KernelFile {
    /** Where the kernel offers iommufd. */
    public static final String PATH = "/dev/iommu";

    private final Type1Calls compat = new Type1Calls(this);

    private IommuFd(Syscalls syscalls, int fd) {
        super(syscalls, fd);
    }

    /**
     * Opens {@value #PATH}.
     *
     * @throws SyscallException ENOENT, EACCES: with a hint what to do
     */
    public static IommuFd open(Syscalls syscalls) {
        int fd = syscalls.open(PATH, Linux.O_RDWR | Linux.O_CLOEXEC, 0);
        if (fd < 0) {
            throw refusedOpen(fd);
        }
        return new IommuFd(syscalls, fd);
    }

    private static SyscallException refusedOpen(int answer) {
        String hint = switch (-answer) {
            case Errno.ENOENT, Errno.ENODEV, Errno.ENXIO -> "load the module (modprobe iommufd) on a kernel with"
                    + " CONFIG_IOMMUFD, 6.2 or newer, or use --kernel emulated";
            case Errno.EACCES, Errno.EPERM -> "give the user access to " + PATH + " (sudo setfacl -m u:$USER:rw " + PATH
                    + ")";
            default -> null;
        };
        return hint == null
                ? new SyscallException("open", PATH, answer)
                : new SyscallException("open", PATH, answer, hint);
    }

    /** IOMMU_IOAS_ALLOC: a new, empty I/O address space. */
    public Ioas ioasAlloc() {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment cmd = iommu_ioas_alloc.allocate(arena);
            iommu_ioas_alloc.size(cmd, (int) iommu_ioas_alloc.sizeof());
            check(syscalls.ioctl(fd(), iommufd.IOMMU_IOAS_ALLOC(), cmd), "IOMMU_IOAS_ALLOC", PATH);
            return new Ioas(this, iommu_ioas_alloc.out_ioas_id(cmd));
        }
    }

    /** IOMMU_DESTROY of any object of this context; ENOENT no such object, EBUSY it is in use. */
    public void destroy(int id) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment cmd = iommu_destroy.allocate(arena);
            iommu_destroy.size(cmd, (int) iommu_destroy.sizeof());
            iommu_destroy.id(cmd, id);
            check(syscalls.ioctl(fd(), iommufd.IOMMU_DESTROY(), cmd), "IOMMU_DESTROY", "object " + id);
        }
    }

    /** IOMMU_VFIO_IOAS SET: the address space that the VFIO compatible calls of this descriptor mean. ENOENT. */
    public void setVfioIoas(Ioas ioas) {
        vfioIoas(iommufd.IOMMU_VFIO_IOAS_SET(), ioas.id());
    }

    /** IOMMU_VFIO_IOAS GET: the id of that address space, or 0 when there is none. */
    public int vfioIoas() {
        return vfioIoas(iommufd.IOMMU_VFIO_IOAS_GET(), 0);
    }

    /** IOMMU_VFIO_IOAS CLEAR. */
    public void clearVfioIoas() {
        vfioIoas(iommufd.IOMMU_VFIO_IOAS_CLEAR(), 0);
    }

    private int vfioIoas(int op, int id) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment cmd = iommu_vfio_ioas.allocate(arena);
            iommu_vfio_ioas.size(cmd, (int) iommu_vfio_ioas.sizeof());
            iommu_vfio_ioas.ioas_id(cmd, id);
            iommu_vfio_ioas.op(cmd, (short) op);
            int answer = syscalls.ioctl(fd(), iommufd.IOMMU_VFIO_IOAS(), cmd);
            if (answer == -Errno.ENODEV && op == iommufd.IOMMU_VFIO_IOAS_GET()) {
                return 0;
            }
            check(answer, "IOMMU_VFIO_IOAS", "op " + op + " ioas " + id);
            return iommu_vfio_ioas.ioas_id(cmd);
        }
    }

    /**
     * IOMMU_OPTION_RLIMIT_MODE: who is charged for pinned memory.
     *
     * @param perProcess true counts in the process (VmPin), as VFIO type1 does; false in the user, the default
     * @throws SyscallException EPERM without CAP_SYS_RESOURCE, EBUSY once there is an object
     */
    public void rlimitMode(boolean perProcess) {
        option(
                iommufd.IOMMU_OPTION_RLIMIT_MODE(),
                iommufd.IOMMU_OPTION_OP_SET(),
                0,
                perProcess ? 1 : 0);
    }

    /** IOMMU_OPTION; the answer is the value of the option. */
    long option(int option, int op, int object, long value) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment cmd = iommu_option.allocate(arena);
            iommu_option.size(cmd, (int) iommu_option.sizeof());
            iommu_option.option_id(cmd, option);
            iommu_option.op(cmd, (short) op);
            iommu_option.object_id(cmd, object);
            iommu_option.val64(cmd, value);
            int answer = syscalls.ioctl(fd(), iommufd.IOMMU_OPTION(), cmd);
            check(answer, "IOMMU_OPTION", "option " + option + " of object " + object + " to " + value);
            return iommu_option.val64(cmd);
        }
    }

    /**
     * VFIO_SET_IOMMU(VFIO_TYPE1_IOMMU): from now on all IOPTEs of the compatibility address space are small, so that
     * {@link #compatUnmap} may cut an area anywhere. Before a device is attached.
     *
     * @throws SyscallException ENODEV without {@link #setVfioIoas}, EINVAL with domains and areas
     */
    public void setIommuType1() {
        int answer = syscalls.ioctl(fd(), vfio.VFIO_SET_IOMMU(), vfio.VFIO_TYPE1_IOMMU());
        check(answer, "VFIO_SET_IOMMU", "VFIO_TYPE1_IOMMU");
    }

    /** VFIO_CHECK_EXTENSION of the compatibility interface, with a VFIO extension number. */
    public boolean compatExtension(int extension) {
        int answer = syscalls.ioctl(fd(), vfio.VFIO_CHECK_EXTENSION(), extension);
        return check(answer, "VFIO_CHECK_EXTENSION", "" + extension) > 0;
    }

    /**
     * VFIO_IOMMU_MAP_DMA in the compatibility address space.
     *
     * @param hva multiple of 4096 in this process
     * @param iova multiple of 4096
     * @param length bytes, multiple of 4096
     * @param access {@link Ioas#READ} and {@link Ioas#WRITE}
     * @throws SyscallException EEXIST, EINVAL, EFAULT, ENOMEM, ENODEV
     */
    public void compatMap(long hva, long iova, long length, int access) {
        compat.map(hva, iova, length, access);
    }

    /**
     * VFIO_IOMMU_UNMAP_DMA in the compatibility address space: takes out exactly this range. After
     * {@link #setIommuType1} the range may be part of an area; its neighbours stay mapped all the time.
     *
     * @return bytes that were unmapped; 0 where nothing was mapped
     * @throws SyscallException ENOENT part of an area without type 1 mode; EBUSY, ENODEV
     */
    public long compatUnmap(long iova, long length) {
        return compat.unmap(iova, length);
    }
}
