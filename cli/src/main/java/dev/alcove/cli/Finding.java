// SPDX-License-Identifier: Apache-2.0
package dev.alcove.cli;

/**
 * One thing that doctor looked at.
 *
 * @param name stable, for programs: lower case with dots
 * @param state whether it is there
 * @param detail what was found
 * @param remedy what to do when it is missing and somebody wants it; empty when there is nothing to do
 */
record Finding(String name, State state, String detail, String remedy) {
    /** Whether something is there. */
    enum State {
        ok,
        missing,
        info
    }

    static Finding ok(String name, String detail) {
        return new Finding(name, State.ok, detail, "");
    }

    static Finding info(String name, String detail) {
        return new Finding(name, State.info, detail, "");
    }

    static Finding missing(String name, String detail, String remedy) {
        return new Finding(name, State.missing, detail, remedy);
    }
}
