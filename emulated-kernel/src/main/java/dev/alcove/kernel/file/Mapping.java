// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.file;

import dev.alcove.kernel.mm.MmioRegion;
import dev.alcove.kernel.mm.PageStore;

/** What mmap(2) of a file maps. */
public sealed interface Mapping {
    /** Pages of a store, from {@code firstPage} on; what lies past the store's end raises SIGBUS. */
    record Pages(PageStore store, long firstPage) implements Mapping {}

    /** Registers of a device: reachable by vCPUs and by the kernel, not by the JVM (an access raises SIGBUS). */
    record Device(MmioRegion region, long offset) implements Mapping {}

    /** mmap fails; the errno is positive. */
    record Refused(int errno) implements Mapping {}
}
