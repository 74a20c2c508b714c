// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.vfio;

import dev.alcove.bindings.vfio.vfio;
import dev.alcove.kernel.file.EventFile;
import dev.alcove.kernel.task.Task;
import dev.alcove.sys.Errno;
import org.jspecify.annotations.Nullable;

/**
 * VFIO_DEVICE_FEATURE of a function without virtual functions and without migration. Low power is a promise of the user
 * only: this machine has no run-time power management. Lock: the monitor.
 */
final class VfioFeatures {
    private static final int HEADER = 8;
    private static final int GET = vfio.VFIO_DEVICE_FEATURE_GET();
    private static final int SET = vfio.VFIO_DEVICE_FEATURE_SET();
    private static final int PROBE = vfio.VFIO_DEVICE_FEATURE_PROBE();
    private static final int WAKEUP_SIZE = 8;

    private static final int MIG_PRECOPY_INFO = 12;

    private final @Nullable VfioDmaBufs dmaBufs;
    private boolean lowPower;

    /** @param dmaBufs null where the kernel cannot export registers */
    VfioFeatures(@Nullable VfioDmaBufs dmaBufs) {
        this.dmaBufs = dmaBufs;
    }

    /** Carries the ioctl out. */
    synchronized long execute(Task task, long address) {
        UserStruct call = UserStruct.copyIn(task, address, HEADER);
        if (call == null) {
            return -Errno.EFAULT;
        }
        int flags = call.word(4);
        if (call.shorterThan(HEADER)
                || (flags & ~(vfio.VFIO_DEVICE_FEATURE_MASK() | GET | SET | PROBE)) != 0
                || ((flags & GET) != 0 && (flags & SET) != 0 && (flags & PROBE) == 0)) {
            return -Errno.EINVAL;
        }
        long room = Integer.toUnsignedLong(call.word(0)) - HEADER;
        int feature = flags & vfio.VFIO_DEVICE_FEATURE_MASK();
        if (feature == vfio.VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY()) {
            int checked = check(flags, SET, room, 0);
            return checked <= 0 ? checked : enterLowPower();
        }
        if (feature == vfio.VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP()) {
            int checked = check(flags, SET, room, WAKEUP_SIZE);
            return checked <= 0 ? checked : enterLowPower(task, address + HEADER);
        }
        if (feature == vfio.VFIO_DEVICE_FEATURE_LOW_POWER_EXIT()) {
            int checked = check(flags, SET, room, 0);
            if (checked > 0) {
                lowPower = false;
            }
            return Math.min(checked, 0);
        }
        if (feature == vfio.VFIO_DEVICE_FEATURE_DMA_BUF() && dmaBufs != null) {
            int checked = check(flags, GET, room, VfioDmaBufs.REQUEST_SIZE);
            return checked <= 0 ? checked : dmaBufs.export(task, address + HEADER);
        }
        // A driver without migration has nothing to tell of its progress.
        return feature == MIG_PRECOPY_INFO ? -Errno.EINVAL : -Errno.ENOTTY;
    }

    /** Checks the operation: 1 to go on, 0 when the caller only asks, {@code -EINVAL}. */
    private static int check(int flags, int supported, long room, int size) {
        int operation = flags & (GET | SET);
        if ((operation & ~supported) != 0) {
            return -Errno.EINVAL;
        }
        if ((flags & PROBE) != 0) {
            return 0;
        }
        return operation == 0 || room < size ? -Errno.EINVAL : 1;
    }

    private long enterLowPower(Task task, long address) {
        UserStruct entry = UserStruct.copyIn(task, address, WAKEUP_SIZE);
        if (entry == null) {
            return -Errno.EFAULT;
        }
        if (entry.word(0) < 0) {
            return -Errno.EINVAL;
        }
        int error = IrqSet.eventOf(task, entry.word(0), new EventFile[1]);
        return error != 0 ? error : enterLowPower();
    }

    private long enterLowPower() {
        if (lowPower) {
            return -Errno.EINVAL;
        }
        lowPower = true;
        return 0;
    }
}
