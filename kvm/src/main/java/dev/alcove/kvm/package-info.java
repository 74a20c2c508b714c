// SPDX-License-Identifier: Apache-2.0
/** Typed client of {@code /dev/kvm}: one class per kernel object, one method per ioctl. */
@NullMarked
package dev.alcove.kvm;

import org.jspecify.annotations.NullMarked;
