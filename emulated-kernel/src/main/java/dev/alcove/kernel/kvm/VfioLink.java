// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.kvm;

import dev.alcove.bindings.kvm.kvm_device_attr;
import dev.alcove.kernel.file.OpenFile;
import dev.alcove.kernel.file.Stat;
import dev.alcove.kernel.task.Task;
import dev.alcove.kernel.task.UserMemory;
import dev.alcove.kernel.vfio.VfioDeviceFile;
import dev.alcove.kernel.vfio.VfioGroupFile;
import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.LinkedHashSet;
import java.util.Set;

/**
 * The KVM-VFIO device (virt/kvm/vfio.c): the VFIO files that work for a machine. On x86 they would learn of cache
 * coherence and of the machine; the emulated ones need neither, so it keeps them open and counts them.
 *
 * <p>Lock: the monitor guards the files.
 */
final class VfioLink extends OpenFile {
    /** KVM_DEV_TYPE_VFIO. */
    static final int TYPE = 4;

    private static final int FILE = 1;
    private static final int FILE_ADD = 1;
    private static final int FILE_DEL = 2;

    private final Vm vm;
    private final long inode;
    private final Set<OpenFile> files = new LinkedHashSet<>();

    private VfioLink(Vm vm, long inode) {
        super(Linux.O_RDWR);
        this.vm = vm;
        this.inode = inode;
    }

    /** Makes the device of a machine; answers its descriptor or a negated errno. */
    static int create(Vm vm, Task task) {
        if (!vm.charge("device")) {
            return -Errno.ENOMEM;
        }
        VfioLink link = new VfioLink(vm, vm.nextInode());
        vm.lock.lock();
        try {
            if (vm.vfio() != null) {
                return -Errno.EBUSY;
            }
            vm.setVfio(link);
        } finally {
            vm.lock.unlock();
        }
        vm.get();
        return task.install(link, true);
    }

    @Override
    public long ioctl(Task task, int request, long argument) {
        if (task.mm() != vm.mm()) {
            return -Errno.EIO;
        }
        return switch (request) {
            case Ioctl.SET_DEVICE_ATTR, Ioctl.HAS_DEVICE_ATTR -> attribute(task, request, argument);
            case Ioctl.GET_DEVICE_ATTR -> -Errno.EPERM;
            default -> -Errno.ENOTTY;
        };
    }

    private long attribute(Task task, int request, long argument) {
        MemorySegment s = UserCopy.struct(kvm_device_attr.sizeof());
        if (task.memory().copyIn(argument, s) != 0) {
            return -Errno.EFAULT;
        }
        long attribute = kvm_device_attr.attr(s);
        if (kvm_device_attr.group(s) != FILE || (attribute != FILE_ADD && attribute != FILE_DEL)) {
            return -Errno.ENXIO;
        }
        if (request == Ioctl.HAS_DEVICE_ATTR) {
            return 0;
        }
        UserMemory user = task.memory();
        MemorySegment fd = UserCopy.struct(4);
        if (user.copyIn(kvm_device_attr.addr(s), fd) != 0) {
            return -Errno.EFAULT;
        }
        OpenFile file = task.file(fd.get(ValueLayout.JAVA_INT, 0));
        if (file == null) {
            return -Errno.EBADF;
        }
        return attribute == FILE_ADD ? add(file) : delete(file);
    }

    private synchronized int add(OpenFile file) {
        if (!(file instanceof VfioDeviceFile || file instanceof VfioGroupFile)) {
            return -Errno.EINVAL;
        }
        if (!files.add(file)) {
            return -Errno.EEXIST;
        }
        file.get();
        return 0;
    }

    private synchronized int delete(OpenFile file) {
        if (!files.remove(file)) {
            return -Errno.ENOENT;
        }
        file.put();
        return 0;
    }

    @Override
    public boolean anonymous() {
        return true;
    }

    @Override
    public Stat stat() {
        return new Stat(inode, 0600, 0, 0);
    }

    @Override
    protected void release() {
        vm.lock.lock();
        try {
            vm.setVfio(null);
        } finally {
            vm.lock.unlock();
        }
        synchronized (this) {
            files.forEach(OpenFile::put);
            files.clear();
        }
        vm.put();
    }
}
