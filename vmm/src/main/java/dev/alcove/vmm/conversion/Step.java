// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vmm.conversion;

/** What is done to a slice. Each step can be undone; freeing the old side cannot, and comes when all else is done. */
enum Step {
    /** Listeners (the IOMMU) stop using its runs. */
    DISCARD,
    /** KVM's attributes change. */
    ATTRIBUTES,
    /** The block's state changes. */
    STATE,
    /** Listeners (the IOMMU) begin to use its runs. */
    POPULATE;

    /** Which steps a conversion has, in which order; another one than {@link #order} is wrong, for tests that plant it. */
    @FunctionalInterface
    interface Order {
        Step[] of(boolean toPrivate);
    }

    private static final Step[] TO_PRIVATE = {DISCARD, ATTRIBUTES, STATE};
    private static final Step[] TO_SHARED = {ATTRIBUTES, STATE, POPULATE};

    /**
     * The steps in their order. A device is cut off before a page becomes private, and gets it only after it has become
     * shared: the only order that a conversion in place allows, and safe for two backings too.
     */
    static Step[] order(boolean toPrivate) {
        return toPrivate ? TO_PRIVATE : TO_SHARED;
    }
}
