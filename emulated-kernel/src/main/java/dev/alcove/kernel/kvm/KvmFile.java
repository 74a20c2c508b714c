// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.kvm;

import dev.alcove.bindings.kvm.kvm_cpuid2;
import dev.alcove.bindings.kvm.kvm_msr_list;
import dev.alcove.kernel.file.OpenFile;
import dev.alcove.kernel.file.Stat;
import dev.alcove.kernel.task.Task;
import dev.alcove.sys.Errno;
import java.lang.foreign.MemorySegment;

/** A descriptor of /dev/kvm: the system ioctls. */
final class KvmFile extends OpenFile {
    private static final int API_VERSION = 12;

    private final Kvm kvm;
    private final long inode;

    KvmFile(Kvm kvm, int flags, long inode) {
        super(flags);
        this.kvm = kvm;
        this.inode = inode;
    }

    @Override
    public long ioctl(Task task, int request, long argument) {
        return switch (request) {
            case Ioctl.GET_API_VERSION -> argument == 0 ? API_VERSION : -Errno.EINVAL;
            case Ioctl.CREATE_VM -> createVm(task, argument);
            case Ioctl.CHECK_EXTENSION -> Capabilities.check(kvm, null, argument);
            case Ioctl.GET_VCPU_MMAP_SIZE -> argument == 0 ? RunPage.SIZE : -Errno.EINVAL;
            case Ioctl.GET_SUPPORTED_CPUID -> cpuid(task, argument, CpuidTable.supported());
            case Ioctl.GET_EMULATED_CPUID -> cpuid(task, argument, CpuidTable.empty());
            case Ioctl.GET_MSR_INDEX_LIST -> msrList(task, argument, Msrs.list());
            case Ioctl.GET_MSR_FEATURE_INDEX_LIST -> msrList(task, argument, new int[0]);
            case Ioctl.X86_GET_MCE_CAP_SUPPORTED ->
                task.memory().copyOut(argument, MemorySegment.ofArray(new long[] {MachineCheck.SUPPORTED}));
            default -> -Errno.EINVAL;
        };
    }

    private long createVm(Task task, long type) {
        if (type < 0 || type > 31 || (Capabilities.VM_TYPES >>> type & 1) == 0) {
            return -Errno.EINVAL;
        }
        if (!kvm.allocator().charge("vm")) {
            return -Errno.ENOMEM;
        }
        return task.install(new VmFile(kvm.create((int) type, task.mm()), kvm.nextInode()), true);
    }

    private static long cpuid(Task task, long argument, CpuidTable table) {
        MemorySegment head = UserCopy.struct(kvm_cpuid2.sizeof());
        if (task.memory().copyIn(argument, head) != 0) {
            return -Errno.EFAULT;
        }
        if (Integer.compareUnsigned(kvm_cpuid2.nent(head), Math.max(1, table.size())) < 0) {
            return -Errno.E2BIG;
        }
        return Kvm.copyCpuid(task.memory(), argument, head, table);
    }

    private static long msrList(Task task, long argument, int[] list) {
        MemorySegment head = UserCopy.struct(kvm_msr_list.sizeof());
        if (task.memory().copyIn(argument, head) != 0) {
            return -Errno.EFAULT;
        }
        int room = kvm_msr_list.nmsrs(head);
        kvm_msr_list.nmsrs(head, list.length);
        if (task.memory().copyOut(argument, head) != 0) {
            return -Errno.EFAULT;
        }
        if (Integer.compareUnsigned(room, list.length) < 0) {
            return -Errno.E2BIG;
        }
        return task.memory().copyOut(argument + kvm_msr_list.sizeof(), MemorySegment.ofArray(list));
    }

    @Override
    public long pread(Task task, MemorySegment buffer, long offset) {
        return -Errno.EINVAL;
    }

    @Override
    public long pwrite(Task task, MemorySegment buffer, long offset) {
        return -Errno.EINVAL;
    }

    @Override
    public long seek(Task task, long offset, int whence) {
        return 0;
    }

    @Override
    public Stat stat() {
        return new Stat(inode, Stat.S_IFCHR | 0600, 0, 0);
    }

    @Override
    protected void release() {}
}
