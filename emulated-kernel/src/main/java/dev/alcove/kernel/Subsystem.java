// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel;

/** A part of the kernel that is put together in {@link EmulatedKernel}'s constructor: KVM, iommufd, VFIO. */
@FunctionalInterface
public interface Subsystem extends AutoCloseable {
    /** Gives back what it holds; every process is gone by then. */
    @Override
    void close();
}
