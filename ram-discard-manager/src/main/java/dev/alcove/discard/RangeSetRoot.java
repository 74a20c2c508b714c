// SPDX-License-Identifier: Apache-2.0
package dev.alcove.discard;

/**
 * What a {@link RangeSet} changes, away from what lies before it: a processor fetches cache lines in pairs, and others read
 * what is near while this is written.
 */
abstract class RangeSetRoot extends LinesBefore {
    /** Immutable; replaced as a whole by each change, with compare and set. */
    volatile RunTree root;

    RangeSetRoot(RunTree root) {
        this.root = root;
    }
}
