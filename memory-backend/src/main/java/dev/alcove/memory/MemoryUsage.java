// SPDX-License-Identifier: Apache-2.0
package dev.alcove.memory;

import org.jspecify.annotations.Nullable;

/**
 * What a guest's memory takes of the host's, in bytes; null is what the kernel cannot tell, never a 0.
 *
 * @param residentShared what the shared side takes
 * @param residentPrivate what the private side takes; null on Linux up to 7.2, which counts no blocks of a guest_memfd
 * @param pinned what is pinned for devices: of the whole process (VmPin), in which there usually is one guest
 */
public record MemoryUsage(@Nullable Long residentShared, @Nullable Long residentPrivate, @Nullable Long pinned) {}
