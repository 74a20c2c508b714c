// SPDX-License-Identifier: Apache-2.0
package dev.alcove.sys;

import org.jspecify.annotations.Nullable;

/** Something that a person or a guest handed in is not acceptable: an option, an image, a file. */
public final class BadInputException extends AlcoveException {
    private static final long serialVersionUID = 1L;

    public BadInputException(String message) {
        this(message, null);
    }

    /** @param hint what a person can do, or null */
    public BadInputException(String message, @Nullable String hint) {
        super(message, hint, null);
    }
}
