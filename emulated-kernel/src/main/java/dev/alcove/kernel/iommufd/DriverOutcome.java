// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommufd;

/** What a driver answers to the wish for one of its objects. */
public sealed interface DriverOutcome<T> {
    /** Here it is. */
    record Made<T>(T object) implements DriverOutcome<T> {}

    /**
     * No.
     *
     * @param errno why not, positive
     */
    record Refused<T>(int errno) implements DriverOutcome<T> {}
}
