// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.vfio;

import dev.alcove.kernel.mm.MmioRegion;
import dev.alcove.sys.Linux;

/**
 * A BAR as mmap(2) of a device's file gives it: its registers, and the frames by which page tables of other devices name
 * them. Such frames lie behind all memory, in a window for each function.
 *
 * @param firstFrame of its registers
 * @param config says whether the user has memory decoding on
 */
record MappedBar(MmioRegion bar, long firstFrame, VfioConfigSpace config) implements MmioRegion {
    private static final long FIRST_FRAME = 1L << 38;

    /** Whether a frame is of registers, and not of memory. */
    static boolean isRegister(long frame) {
        return frame >= FIRST_FRAME;
    }

    /** The frame at an offset; -1 while the registers cannot be reached. */
    long frame(long offset) {
        return config.memoryEnabled() ? firstFrame + (offset >>> Linux.PAGE_SHIFT) : -1;
    }

    @Override
    public long size() {
        return bar.size();
    }

    @Override
    public long read(long offset, int size) {
        return bar.read(offset, size);
    }

    @Override
    public void write(long offset, int size, long value) {
        bar.write(offset, size, value);
    }
}
