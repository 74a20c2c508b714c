// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.gmem;

/**
 * A memslot that is bound to a part of a guest_memfd. All methods are called with the file's lock held and must take
 * leaf locks only.
 */
public interface GmemSlot {
    /**
     * The pages are about to go: forget every translation to them, wait until no vCPU uses one, and make no new ones.
     *
     * @param first page of the slot, counted from its start
     * @param count how many, at least one
     */
    void invalidateStart(long first, long count);

    /** New translations may be made; called once for each {@link #invalidateStart}, with the same arguments. */
    void invalidateEnd(long first, long count);

    /** The file is gone. The slot lives on without it: an access faults. */
    void unbound();
}
