// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.vfio;

import dev.alcove.bindings.vfio.vfio;
import dev.alcove.kernel.file.OpenFile;
import dev.alcove.kernel.file.Stat;
import dev.alcove.kernel.task.Task;
import dev.alcove.sys.Errno;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;

/** An open /dev/vfio/N (drivers/vfio/group.c). */
public final class VfioGroupFile extends OpenFile {
    static final int VIABLE = vfio.VFIO_GROUP_FLAGS_VIABLE();
    static final int CONTAINER_SET = vfio.VFIO_GROUP_FLAGS_CONTAINER_SET();

    private static final int GET_STATUS = 0x3b67;
    private static final int SET_CONTAINER = 0x3b68;
    private static final int UNSET_CONTAINER = 0x3b69;
    private static final int GET_DEVICE_FD = 0x3b6a;
    private static final int STATUS_SIZE = 8;
    /** Bytes of a device's name, with what ends it. */
    private static final int MOST_NAME = 4096;

    private final VfioGroup group;
    private final long inode;

    VfioGroupFile(VfioGroup group, int flags, long inode) {
        super(flags);
        this.group = group;
        this.inode = inode;
    }

    VfioGroup group() {
        return group;
    }

    @Override
    public long ioctl(Task task, int request, long argument) {
        return switch (request) {
            case GET_STATUS -> status(task, argument);
            case SET_CONTAINER -> setContainer(task, argument);
            case UNSET_CONTAINER -> group.unsetContainer();
            case GET_DEVICE_FD -> deviceFd(task, argument);
            default -> -Errno.ENOTTY;
        };
    }

    private long status(Task task, long argument) {
        UserStruct status = UserStruct.copyIn(task, argument, STATUS_SIZE);
        if (status == null) {
            return -Errno.EFAULT;
        }
        if (status.shorterThan(STATUS_SIZE)) {
            return -Errno.EINVAL;
        }
        status.setWord(4, group.status());
        return status.copyOut();
    }

    private long setContainer(Task task, long argument) {
        UserStruct fd = UserStruct.copyIn(task, argument, Integer.BYTES);
        if (fd == null) {
            return -Errno.EFAULT;
        }
        OpenFile file = task.file(fd.word(0));
        return file == null ? -Errno.EBADF : group.setContainer(file);
    }

    /** The argument is the device's name; after blanks, options may follow, but none is for these devices. */
    private long deviceFd(Task task, long argument) {
        byte[] name = new byte[MOST_NAME];
        MemorySegment octet = MemorySegment.ofArray(new byte[1]);
        int length = 0;
        while (true) {
            if (length == MOST_NAME) {
                return -Errno.EINVAL;
            }
            if (task.memory().copyIn(argument + length, octet) < 0) {
                return -Errno.EFAULT;
            }
            name[length] = octet.get(ValueLayout.JAVA_BYTE, 0);
            if (name[length] == 0) {
                break;
            }
            length++;
        }
        String request = new String(name, 0, length, StandardCharsets.ISO_8859_1);
        VfioDevice device = group.find(request);
        if (device == null) {
            return -Errno.ENODEV;
        }
        boolean options = request.chars().skip(device.address().toString().length()).anyMatch(character -> character != ' ');
        return options ? -Errno.EINVAL : group.openDevice(task, device);
    }

    @Override
    public Stat stat() {
        return new Stat(inode, Stat.S_IFCHR | 0600, 0, 0);
    }

    @Override
    protected void release() {
        group.closed();
    }
}
