// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vmm.device;

import dev.alcove.memory.RamLayout;
import dev.alcove.sys.BadInputException;
import java.util.Map;
import java.util.TreeMap;

/**
 * Guest physical addresses for the BARs of devices, handed out as firmware would: below 4 GiB from 3 GiB on, and for
 * 64-bit BARs that do not fit there, behind all RAM. Thread safe; the monitor protects the table.
 */
public final class DeviceWindow {
    /** Below the I/O APIC's and local APICs' addresses. */
    private static final long LOW_END = 0xfec0_0000L;

    private static final long HIGH_ALIGNMENT = 1L << 30;
    private static final long HIGH_END = 1L << 46;

    /** Ranges that are taken: address to end. */
    private final TreeMap<Long, Long> taken = new TreeMap<>();

    private final long high;

    /** @param layout where RAM lies */
    public DeviceWindow(RamLayout layout) {
        long end = Math.max(RamLayout.HOLE_END, layout.blocks().getLast().end());
        this.high = (end + HIGH_ALIGNMENT - 1) & -HIGH_ALIGNMENT;
    }

    /**
     * Takes a range aligned to its size.
     *
     * @param size bytes, a power of two
     * @param wide whether addresses above 4 GiB will do
     */
    public synchronized long allocate(long size, boolean wide) {
        long at = free(RamLayout.HOLE_START, LOW_END, size);
        if (at < 0 && wide) {
            at = free(high, HIGH_END, size);
        }
        if (at < 0) {
            throw new BadInputException(
                    "no room for a BAR of " + size + " bytes in the guest's physical address space");
        }
        taken.put(at, at + size);
        return at;
    }

    /** The first free place of a window, or -1. */
    private long free(long from, long to, long size) {
        long at = (from + size - 1) & -size;
        while (at >= from && at <= to - size) {
            Map.Entry<Long, Long> before = taken.lowerEntry(at + size);
            if (before == null || before.getValue() <= at) {
                return at;
            }
            at = (before.getValue() + size - 1) & -size;
        }
        return -1;
    }

    /** Gives a range back. */
    public synchronized void release(long address) {
        taken.remove(address);
    }
}
