// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kvm;

import dev.alcove.bindings.kvm.kvm;
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

/** The system file descriptor of KVM (Documentation/virt/kvm/api.rst, section 4, "system ioctls"). */
public final class Kvm extends KernelFile {
    /** Where the kernel offers KVM. */
    public static final String PATH = "/dev/kvm";

    private static final int LARGEST_CPUID = 1024;

    private Kvm(Syscalls syscalls, int fd) {
        super(syscalls, fd);
    }

    /**
     * Opens {@value #PATH} and checks the API version.
     *
     * @throws SyscallException ENOENT, EACCES, ENODEV: with a hint what to do
     * @throws MissingFeatureException another API version than 12
     */
    public static Kvm open(Syscalls syscalls) {
        int fd = syscalls.open(PATH, Linux.O_RDWR | Linux.O_CLOEXEC, 0);
        if (fd < 0) {
            throw refusedOpen(fd);
        }
        Kvm opened = new Kvm(syscalls, fd);
        try {
            int version = opened.apiVersion();
            if (version != kvm.KVM_API_VERSION()) {
                throw new MissingFeatureException(PATH + " has API version " + version + ", needed is 12");
            }
            return opened;
        } catch (RuntimeException thrown) {
            opened.close();
            throw thrown;
        }
    }

    private static SyscallException refusedOpen(int answer) {
        String hint = switch (-answer) {
            case Errno.ENOENT, Errno.ENODEV, Errno.ENXIO -> "load the module (modprobe kvm_intel or kvm_amd) and"
                    + " switch virtualisation on in the firmware, or use --kernel emulated";
            case Errno.EACCES, Errno.EPERM -> "add the user to the group kvm (sudo usermod -aG kvm $USER) and log in"
                    + " again";
            default -> null;
        };
        return hint == null
                ? new SyscallException("open", PATH, answer)
                : new SyscallException("open", PATH, answer, hint);
    }

    /** KVM_GET_API_VERSION: 12 in every kernel of today. */
    public int apiVersion() {
        return check(syscalls.ioctl(fd(), kvm.KVM_GET_API_VERSION(), 0), "KVM_GET_API_VERSION", PATH);
    }

    /**
     * KVM_CHECK_EXTENSION of the system: 0 where the capability is not there, else 1 or a number that the capability
     * defines. Some capabilities depend on the VM: ask {@link Vm#checkExtension} where there is one.
     *
     * @param capability one of {@code KVM_CAP_*}
     */
    public int checkExtension(int capability) {
        return check(
                syscalls.ioctl(fd(), kvm.KVM_CHECK_EXTENSION(), capability), "KVM_CHECK_EXTENSION", "" + capability);
    }

    /** KVM_CAP_VM_TYPES: bit n stands for VM type n; a kernel without the capability knows type 0 only. */
    public int vmTypes() {
        return checkExtension(kvm.KVM_CAP_VM_TYPES()) | 1;
    }

    /** Whether {@link #createVm} takes a type, one of {@code KVM_X86_*_VM}. */
    public boolean hasVmType(int type) {
        return (vmTypes() >>> type & 1) != 0;
    }

    /** KVM_GET_VCPU_MMAP_SIZE: bytes of the shared region of a vCPU. */
    public int vcpuMmapSize() {
        return check(syscalls.ioctl(fd(), kvm.KVM_GET_VCPU_MMAP_SIZE(), 0), "KVM_GET_VCPU_MMAP_SIZE", PATH);
    }

    /** KVM_GET_SUPPORTED_CPUID: what the host's CPU and KVM can offer to a guest. */
    public List<CpuidEntry> supportedCpuid() {
        try (Arena arena = Arena.ofConfined()) {
            for (int room = 128; ; room *= 2) {
                MemorySegment table = CpuidEntry.emptyTable(room, arena);
                int answer = syscalls.ioctl(fd(), (int) kvm.KVM_GET_SUPPORTED_CPUID(), table);
                if (answer != -Errno.E2BIG || room >= LARGEST_CPUID) {
                    check(answer, "KVM_GET_SUPPORTED_CPUID", room + " entries");
                    return CpuidEntry.read(table);
                }
            }
        }
    }

    /**
     * KVM_CREATE_VM.
     *
     * @param type one of {@code KVM_X86_*_VM}; EINVAL when the kernel does not have it
     */
    public Vm createVm(int type) {
        int fd = syscalls.ioctl(fd(), kvm.KVM_CREATE_VM(), type);
        if (fd == -Errno.EINVAL) {
            throw new SyscallException(
                    "KVM_CREATE_VM", "type " + type, fd, "this KVM offers the VM types " + typeNumbers());
        }
        check(fd, "KVM_CREATE_VM", "type " + type);
        return new Vm(syscalls, fd, type, vcpuMmapSize());
    }

    private String typeNumbers() {
        StringBuilder numbers = new StringBuilder();
        int types = vmTypes();
        for (int type = 0; type < Integer.SIZE; type++) {
            if ((types >>> type & 1) != 0) {
                numbers.append(numbers.isEmpty() ? "" : ", ").append(type);
            }
        }
        return numbers.toString();
    }
}
