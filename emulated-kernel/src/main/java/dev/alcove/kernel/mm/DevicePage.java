// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.mm;

/** Device registers behind a user address, at an offset in bytes. */
public record DevicePage(MmioRegion region, long offset) {}
