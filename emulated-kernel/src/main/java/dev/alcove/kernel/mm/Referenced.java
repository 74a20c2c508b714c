// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.mm;

/** What a mapping keeps alive: an open file, or anonymous memory. */
public interface Referenced {
    /** Takes a reference. */
    void get();

    /** Drops a reference; the last one releases the object. Never called with an address space's lock held. */
    void put();
}
