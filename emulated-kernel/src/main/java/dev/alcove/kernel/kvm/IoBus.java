// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.kvm;

import dev.alcove.kernel.mm.Allocator;
import dev.alcove.sys.Errno;
import java.util.Arrays;

/**
 * Device accesses that are served in the kernel ({@code struct kvm_io_bus}): one bus for memory, one for ports.
 *
 * <p>The ranges are kept in the kernel's order and searched in its way, because with ranges that overlap it decides
 * which device is asked. Writers hold the machine's slots lock; {@link #write} takes none.
 */
final class IoBus {
    /** Devices that are no eventfd at most (NR_IOBUS_DEVS). */
    private static final int MOST_DEVICES = 1000;

    /** A device that serves writes. */
    interface Device {
        /**
         * A write inside the range that the device is registered for.
         *
         * @param length bytes, at most 8
         * @param value the bytes above {@code length} are zero
         * @return false when it is none of this device
         */
        boolean write(long address, int length, long value);
    }

    /** @param length bytes; 0 for accesses of any length at exactly the address */
    private record Range(long address, int length, Device device) {
        /** Where an access lies: below 0 before the range, 0 inside, above 0 behind. */
        int compare(long accessAddress, int accessLength) {
            if (Long.compareUnsigned(accessAddress, address) < 0) {
                return -1;
            }
            long end = length == 0 ? address : address + length;
            long accessEnd = length == 0 ? accessAddress : accessAddress + accessLength;
            return Long.compareUnsigned(accessEnd, end) > 0 ? 1 : 0;
        }
    }

    /** Never changed in place. */
    private volatile Range[] ranges = {};

    private int eventFds;

    /** Adds a device: 0, {@code -ENOSPC} when there are too many, {@code -ENOMEM}. */
    int register(long address, int length, Device device, boolean eventFd, Allocator allocator) {
        Range[] old = ranges;
        if (old.length - eventFds >= MOST_DEVICES) {
            return -Errno.ENOSPC;
        }
        if (!allocator.charge("bus of devices")) {
            return -Errno.ENOMEM;
        }
        int at = 0;
        while (at < old.length && compare(old[at], address, length) <= 0) {
            at++;
        }
        Range[] fresh = new Range[old.length + 1];
        System.arraycopy(old, 0, fresh, 0, at);
        fresh[at] = new Range(address, length, device);
        System.arraycopy(old, at, fresh, at + 1, old.length - at);
        ranges = fresh;
        eventFds += eventFd ? 1 : 0;
        return 0;
    }

    /** How a range that is there lies to a new one: the new one is what it is compared with. */
    private static int compare(Range old, long address, int length) {
        return new Range(address, length, (a, l, v) -> false).compare(old.address, old.length);
    }

    /** Takes a device out. */
    void unregister(Device device, boolean eventFd) {
        Range[] old = ranges;
        Range[] kept = Arrays.stream(old).filter(range -> range.device != device).toArray(Range[]::new);
        ranges = kept;
        eventFds -= eventFd ? old.length - kept.length : 0;
    }

    /** Offers a write to the devices; false when none takes it. */
    boolean write(long address, int length, long value) {
        Range[] all = ranges;
        int at = find(all, address, length);
        if (at < 0) {
            return false;
        }
        while (at > 0 && all[at - 1].compare(address, length) == 0) {
            at--;
        }
        for (; at < all.length && all[at].compare(address, length) == 0; at++) {
            if (all[at].device.write(address, length, value)) {
                return true;
            }
        }
        return false;
    }

    /** Whether nothing is registered: the usual case. */
    boolean empty() {
        return ranges.length == 0;
    }

    private static int find(Range[] all, long address, int length) {
        int base = 0;
        for (int count = all.length; count != 0; count >>= 1) {
            int pivot = base + (count >> 1);
            int order = all[pivot].compare(address, length);
            if (order == 0) {
                return pivot;
            }
            if (order > 0) {
                base = pivot + 1;
                count--;
            }
        }
        return -1;
    }
}
