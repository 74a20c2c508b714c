// SPDX-License-Identifier: Apache-2.0
/** The {@code alcove} command: composes a kernel with the virtual machine monitor. */
@org.jspecify.annotations.NullMarked
package dev.alcove.cli;
