// SPDX-License-Identifier: Apache-2.0
package dev.alcove.sys;

import org.jspecify.annotations.Nullable;

/**
 * The one family of errors of Alcove. The message says what failed and where; {@link #hint()} says what a person
 * can do about it, where there is something.
 */
public abstract sealed class AlcoveException extends RuntimeException
        permits SyscallException, BadInputException, MissingFeatureException, InvariantException {
    private static final long serialVersionUID = 1L;

    private final @Nullable String hint;

    AlcoveException(String message, @Nullable String hint, @Nullable Throwable cause) {
        super(message, cause);
        this.hint = hint;
    }

    /** What a person can do: one sentence, or null. */
    public @Nullable String hint() {
        return hint;
    }
}
