// SPDX-License-Identifier: Apache-2.0
/** An x86-64 system emulator. Pure Java, no dependency; it knows nothing of KVM. */
@NullMarked
package dev.alcove.cpu;

import org.jspecify.annotations.NullMarked;
