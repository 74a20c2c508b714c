// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vmm.device;

import dev.alcove.memory.RamLayout;
import dev.alcove.sys.BadInputException;

/**
 * Guest physical addresses for the BARs of devices, handed out as firmware would: below 4 GiB from 3 GiB on, and for
 * 64-bit BARs that do not fit there, behind all RAM. Not thread safe: for the time before the vCPUs run.
 */
public final class DeviceWindow {
    /** Below the I/O APIC's and local APICs' addresses. */
    private static final long LOW_END = 0xfec0_0000L;

    private static final long HIGH_ALIGNMENT = 1L << 30;
    private static final long HIGH_END = 1L << 46;

    private long low = RamLayout.HOLE_START;
    private long high;

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
    public long allocate(long size, boolean wide) {
        long at = (low + size - 1) & -size;
        if (at + size <= LOW_END && at >= low) {
            low = at + size;
            return at;
        }
        at = (high + size - 1) & -size;
        if (!wide || at < high || at + size > HIGH_END || at + size < at) {
            throw new BadInputException(
                    "no room for a BAR of " + size + " bytes in the guest's physical address space");
        }
        high = at + size;
        return at;
    }
}
