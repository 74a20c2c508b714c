// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vmm.conversion;

import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/**
 * What changes its state in one go: ascending runs of one block. Between them everything has the wanted state already,
 * so that what has no effect there may be done to the hull, from the first run to the end of the last. Used by one
 * thread.
 */
final class Slice {
    /** The number of the block in the guest's memory. */
    final int block;

    final boolean toPrivate;
    /** The slice before it of the same request. */
    final @Nullable Slice before;
    /** Where each run starts and ends: offsets in the block, bytes. */
    private long[] bounds = new long[2];

    private int used;
    private long bytes;

    Slice(int block, boolean toPrivate, @Nullable Slice before) {
        this.block = block;
        this.toPrivate = toPrivate;
        this.before = before;
    }

    void add(long start, long end) {
        if (used == bounds.length) {
            bounds = Arrays.copyOf(bounds, 2 * used);
        }
        bounds[used++] = start;
        bounds[used++] = end;
        bytes += end - start;
    }

    /** How many runs there are. */
    int runs() {
        return used / 2;
    }

    /** The offset of a run. */
    long offset(int run) {
        return bounds[2 * run];
    }

    /** The bytes of a run. */
    long size(int run) {
        return bounds[2 * run + 1] - bounds[2 * run];
    }

    /** The offset of the hull. */
    long start() {
        return bounds[0];
    }

    /** The end of the hull. */
    long end() {
        return bounds[used - 1];
    }

    /** The bytes of the hull. */
    long hull() {
        return end() - start();
    }

    /** The bytes of the runs together. */
    long bytes() {
        return bytes;
    }

    @Override
    public String toString() {
        return "block " + block + " [0x" + Long.toHexString(start()) + ", 0x" + Long.toHexString(end()) + ") to "
                + (toPrivate ? "private" : "shared");
    }
}
