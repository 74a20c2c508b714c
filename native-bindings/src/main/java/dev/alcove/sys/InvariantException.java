// SPDX-License-Identifier: Apache-2.0
package dev.alcove.sys;

import org.jspecify.annotations.Nullable;

/** A state that must never be: a private page in reach of a device, a leak, books that do not agree. */
public final class InvariantException extends AlcoveException {
    private static final long serialVersionUID = 1L;

    public InvariantException(String message) {
        this(message, null);
    }

    /** @param hint what a person can do, or null */
    public InvariantException(String message, @Nullable String hint) {
        super(message, hint, null);
    }
}
