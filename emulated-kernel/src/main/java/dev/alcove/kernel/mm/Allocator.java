// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.mm;

/** Every allocation that can fail in the kernel passes here first, so that a test can make the n-th one fail. */
@FunctionalInterface
public interface Allocator {
    /**
     * Asks for one allocation from the slabs.
     *
     * @param what a short name of what is allocated, for the test that fails it
     * @return whether the allocation may go on; false is {@code ENOMEM} for the caller
     */
    boolean charge(String what);

    /** Asks for a page from the page allocator, for the kernel's own use; as {@link #charge} otherwise. */
    default boolean chargePage(String what) {
        return charge(what);
    }

    /** Asks for pages for users, which may be in high memory; as {@link #charge} otherwise. */
    default boolean chargeUserPages(String what) {
        return charge(what);
    }

    /** Whether a charge may be refused just now; who charges less when nothing is there to allocate may look first. */
    default boolean mayRefuse() {
        return true;
    }

    /**
     * Whether a step of iommufd that allocates nothing, or gets along without what it cannot get, is to fail as if
     * it had ({@code fail_iommufd}).
     *
     * @param what a short name of the step, for the test that fails it
     */
    default boolean chargeIommufd(String what) {
        return true;
    }
}
