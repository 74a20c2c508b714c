// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.mm;

import dev.alcove.kernel.locking.StripedMutex;
import java.util.Collections;
import java.util.Comparator;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;

/**
 * Who maps the pages of a store (rmap). Changed under the lock of the mapping's address space and all of that of the store;
 * read under either, or a stripe of the latter.
 */
final class Mappings {
    private final StripedMutex storeLock;
    private final Set<Vma> mappings = new LinkedHashSet<>();
    /** The address spaces of the mappings, each once, in the order of their addresses. Replaced with them. */
    private volatile AddressSpace[] mappers = {};

    Mappings(StripedMutex storeLock) {
        this.storeLock = storeLock;
    }

    /** All of them, in the order in which they came. */
    Set<Vma> all() {
        return Collections.unmodifiableSet(mappings);
    }

    void add(Vma vma) {
        mappings.add(vma);
        noteMappers();
    }

    /** Puts the remaining parts of a mapping in its place. */
    void replace(Vma vma, List<Vma> parts) {
        mappings.remove(vma);
        mappings.addAll(parts);
        noteMappers();
    }

    /** Whether one is shared and writable. */
    boolean anyWritable() {
        return mappings.stream().anyMatch(Vma::writable);
    }

    /** Tells the notifiers of all who map pages of [from, to). */
    void invalidate(long from, long to, boolean start) {
        for (Vma vma : mappings) {
            long first = Math.max(from, vma.offset());
            long end = Math.min(to, vma.offset() + vma.pages());
            if (first < end) {
                vma.mm().invalidate(vma.address(first), vma.address(end), start);
            }
        }
    }

    /** Locks every address space that maps a page, in the order of their addresses, and then the store. */
    AddressSpace[] lockAll() {
        while (true) {
            AddressSpace[] locked = mappers;
            for (AddressSpace mm : locked) {
                mm.lock();
            }
            storeLock.lock();
            if (locked == mappers) {
                return locked;
            }
            unlockAll(locked);
        }
    }

    /** Undoes {@link #lockAll}. */
    void unlockAll(AddressSpace[] locked) {
        storeLock.unlock();
        for (int i = locked.length - 1; i >= 0; i--) {
            locked[i].unlock();
        }
    }

    private void noteMappers() {
        mappers = mappings.stream()
                .map(Vma::mm)
                .distinct()
                .sorted(Comparator.comparingLong(AddressSpace::base))
                .toArray(AddressSpace[]::new);
    }
}
