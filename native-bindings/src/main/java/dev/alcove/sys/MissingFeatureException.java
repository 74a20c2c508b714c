// SPDX-License-Identifier: Apache-2.0
package dev.alcove.sys;

import org.jspecify.annotations.Nullable;

/** The kernel or the machine lacks what the job needs. */
public final class MissingFeatureException extends AlcoveException {
    private static final long serialVersionUID = 1L;

    public MissingFeatureException(String message) {
        this(message, null);
    }

    /** @param hint what a person can do, or null */
    public MissingFeatureException(String message, @Nullable String hint) {
        super(message, hint, null);
    }
}
