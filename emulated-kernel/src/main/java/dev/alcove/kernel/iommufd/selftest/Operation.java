// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommufd.selftest;

/** Carries out one operation of IOMMU_TEST_CMD. */
@FunctionalInterface
interface Operation {
    /** The ioctl's result: 0 or more, or a negated errno. */
    long execute(TestCommand command);
}
