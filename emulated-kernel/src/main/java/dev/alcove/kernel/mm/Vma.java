// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.mm;

import dev.alcove.sys.Linux;
import org.jspecify.annotations.Nullable;

/**
 * A range of user addresses with one backing ({@code vm_area_struct}). Immutable: a cut makes new ones. Each holds one
 * reference on its owner.
 *
 * @param end first address behind it
 * @param store the pages, or null for device registers
 * @param region the device registers, or null for pages
 * @param offset of {@code start} in the backing: pages of a store, or bytes of a region
 */
record Vma(
        AddressSpace mm,
        long start,
        long end,
        int protection,
        boolean shared,
        Referenced owner,
        @Nullable PageStore store,
        @Nullable MmioRegion region,
        long offset) {
    /** Length in pages. */
    long pages() {
        return (end - start) >> Linux.PAGE_SHIFT;
    }

    /** The page of the store at an address. */
    long index(long address) {
        return offset + ((address - start) >> Linux.PAGE_SHIFT);
    }

    /** The address of a page of the store; it may lie outside. */
    long address(long index) {
        return start + ((index - offset) << Linux.PAGE_SHIFT);
    }

    /** Whether writes through it reach the file (MADV_REMOVE, seals). */
    boolean writable() {
        return shared && (protection & Linux.PROT_WRITE) != 0;
    }

    boolean allows(boolean write) {
        return write ? (protection & Linux.PROT_WRITE) != 0 : protection != Linux.PROT_NONE;
    }

    /** The part [from, to) of it. */
    Vma part(long from, long to) {
        long at = region == null ? index(from) : offset + (from - start);
        return new Vma(mm, from, to, protection, shared, owner, store, region, at);
    }

    /** Identity, as a VMA is a place and not a value. */
    @Override
    public boolean equals(@Nullable Object other) {
        return this == other;
    }

    @Override
    public int hashCode() {
        return System.identityHashCode(this);
    }
}
