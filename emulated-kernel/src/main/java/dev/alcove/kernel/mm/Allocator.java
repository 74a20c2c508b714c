// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.mm;

/** Every allocation that can fail in the kernel passes here first, so that a test can make the n-th one fail. */
@FunctionalInterface
public interface Allocator {
    /**
     * Asks for one allocation.
     *
     * @param what a short name of what is allocated, for the test that fails it
     * @return whether the allocation may go on; false is {@code ENOMEM} for the caller
     */
    boolean charge(String what);
}
