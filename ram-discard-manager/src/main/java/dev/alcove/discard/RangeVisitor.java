// SPDX-License-Identifier: Apache-2.0
package dev.alcove.discard;

/** Takes ranges of bytes, in ascending order. */
@FunctionalInterface
public interface RangeVisitor {
    /**
     * The next range.
     *
     * @param offset the first byte
     * @param size bytes, above 0
     */
    void range(long offset, long size);
}
