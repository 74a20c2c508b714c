// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.kvm;

import dev.alcove.kernel.file.Mapping;
import dev.alcove.kernel.file.OpenFile;
import dev.alcove.kernel.file.Stat;
import dev.alcove.kernel.task.Task;
import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;

/** The descriptor of a vCPU: its ioctls, one at a time, and the pages it shares with user space. */
final class VcpuFile extends OpenFile {
    private final Vcpu vcpu;
    private final VcpuIoctls ioctls;
    private final RunLoop loop;
    private final long inode;

    /** @param vcpu for whose file a reference to the machine has been taken */
    VcpuFile(Vcpu vcpu, long inode) {
        super(Linux.O_RDWR);
        this.vcpu = vcpu;
        this.ioctls = new VcpuIoctls(vcpu);
        this.loop = new RunLoop(vcpu);
        this.inode = inode;
    }

    @Override
    public long ioctl(Task task, int request, long argument) {
        if (task.mm() != vcpu.vm().mm()) {
            return -Errno.EIO;
        }
        if ((request >>> 8 & 0xff) != 0xae) {
            return -Errno.EINVAL;
        }
        vcpu.mutex.lock();
        try {
            if (request == Ioctl.RUN) {
                return argument == 0 ? loop.run(task) : -Errno.EINVAL;
            }
            return ioctls.serve(task, request, argument);
        } finally {
            vcpu.mutex.unlock();
        }
    }

    /** Any offset can be mapped; what lies past the third page raises SIGBUS. */
    @Override
    public Mapping map(Task task, long offset, long length, int protection, int flags) {
        return new Mapping.Pages(vcpu.runPage().store(), offset >>> Linux.PAGE_SHIFT);
    }

    @Override
    public long seek(Task task, long offset, int whence) {
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
        vcpu.vm().put();
    }
}
