// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.file;

import dev.alcove.kernel.mm.MmioRegion;
import dev.alcove.kernel.mm.PageStore;
import dev.alcove.kernel.mm.Referenced;
import org.jspecify.annotations.Nullable;

/** What mmap(2) of a file maps. */
public sealed interface Mapping {
    /**
     * Pages of a store; what lies past the store's end raises SIGBUS.
     *
     * @param owner what each mapping takes a reference of instead of the file; null for the file
     */
    record Pages(PageStore store, long firstPage, @Nullable Referenced owner) implements Mapping {
        /** Pages that the file keeps alive. */
        public Pages(PageStore store, long firstPage) {
            this(store, firstPage, null);
        }
    }

    /** Registers of a device: reachable by vCPUs and by the kernel, not by the JVM (an access raises SIGBUS). */
    record Device(MmioRegion region, long offset) implements Mapping {}

    /** mmap fails; the errno is positive. */
    record Refused(int errno) implements Mapping {}
}
