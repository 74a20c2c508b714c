// SPDX-License-Identifier: Apache-2.0
package dev.alcove.discard;

/**
 * Somebody who uses the populated parts of a RAM block and has to know when they change, such as an IOMMU mapping.
 *
 * <p>A range is a maximal run inside the registered section; a discard may cover several populates or a part of one.
 * A discard of parts that were never populated must be accepted and cost nothing. Callbacks for ranges that do not
 * overlap may come from several threads at once.
 */
public interface RamDiscardListener {
    /**
     * The range may be used from now on.
     *
     * @param offset in the block, bytes
     * @param size bytes
     * @return refused: the listener uses no part of the range
     */
    Outcome populate(long offset, long size);

    /**
     * The range must not be used once this returns.
     *
     * @return refused: the listener still uses all of the range that it used before
     */
    Outcome discard(long offset, long size);
}
