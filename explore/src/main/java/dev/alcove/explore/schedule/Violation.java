// SPDX-License-Identifier: Apache-2.0
package dev.alcove.explore.schedule;

/**
 * What must not be.
 *
 * @param kind in a few words, the same for every case of its kind: a smaller case that shows the same has the same
 * @param detail what was seen
 */
public record Violation(String kind, String detail) {
    @Override
    public String toString() {
        return kind + ": " + detail;
    }
}
