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
    private static final int PROT_EXEC = 4;

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

    /** Any offset can be mapped; where there is no page, an access raises SIGBUS. */
    @Override
    public Mapping map(Task task, long offset, long length, int protection, int flags) {
        boolean ring = inDirtyRing(offset >>> Linux.PAGE_SHIFT) || inDirtyRing((offset + length - 1) >>> Linux.PAGE_SHIFT);
        if (ring && ((protection & PROT_EXEC) != 0 || (flags & Linux.MAP_TYPE) == Linux.MAP_PRIVATE)) {
            return new Mapping.Refused(Errno.EINVAL);
        }
        return new Mapping.Pages(vcpu.runPage().store(), offset >>> Linux.PAGE_SHIFT);
    }

    private boolean inDirtyRing(long page) {
        return page >= DirtyRing.PAGE_OFFSET
                && page < DirtyRing.PAGE_OFFSET + vcpu.vm().dirtyRingBytes() / Linux.PAGE_SIZE;
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
