// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract.fuzz;

/**
 * The first line of a recording.
 *
 * @param seed of the generator
 * @param ops lines that follow, not counting the last one
 * @param kernel {@code emulated} or {@code linux}
 * @param release of the kernel, as uname(2) answers it
 */
public record Header(String surface, long seed, long ops, String kernel, String release) {
    /** The value of {@code format}. */
    static final String FORMAT = "alcove-fuzz";

    /** The one version that this code writes and reads. */
    static final int VERSION = 1;

    /** In a message. */
    public String describe() {
        return "surface " + surface + ", seed " + seed + ", " + ops + " ops, on " + kernel + " " + release;
    }
}
