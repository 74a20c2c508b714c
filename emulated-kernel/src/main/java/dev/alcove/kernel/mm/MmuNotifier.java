// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.mm;

/**
 * Somebody who caches translations of an address space (a stage-2 view). Both methods are called with the locks
 * of the address space and of the page store held: take only leaf locks, and never fault user memory under them.
 */
public interface MmuNotifier {
    /** The frames behind [start, end) are about to go: drop every translation and do not make new ones. */
    void invalidateStart(long start, long end);

    /** Translations of [start, end) may be made again. */
    void invalidateEnd(long start, long end);
}
