// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract;

import java.lang.annotation.ElementType;
import java.lang.annotation.Retention;
import java.lang.annotation.RetentionPolicy;
import java.lang.annotation.Target;

/** The part of the kernel's interface that a suite is about: its row in the report. A method's own goes before its class's. */
@Target({ElementType.TYPE, ElementType.METHOD})
@Retention(RetentionPolicy.RUNTIME)
public @interface Surface {
    /** In lower case as the kernel's people say it, such as {@code kvm memslots}. */
    String value();
}
