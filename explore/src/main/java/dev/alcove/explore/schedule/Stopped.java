// SPDX-License-Identifier: Apache-2.0
package dev.alcove.explore.schedule;

/**
 * Unwinds a thread whose run is over because of a violation. An error, not an exception: nobody on the way has an answer
 * to it.
 */
final class Stopped extends Error {
    private static final long serialVersionUID = 1;

    Stopped() {
        super("the run is over", null, false, false);
    }
}
