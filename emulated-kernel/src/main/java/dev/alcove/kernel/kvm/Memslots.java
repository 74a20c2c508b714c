// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.kvm;

import java.util.Collection;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentSkipListMap;
import org.jspecify.annotations.Nullable;

/**
 * The memslots of a machine, by number and by guest frame.
 *
 * <p>Writers hold the machine's slots lock; {@link #find} and {@link #all} need none.
 */
final class Memslots {
    /** By first guest frame; disjoint. */
    private final ConcurrentSkipListMap<Long, Memslot> byFrame = new ConcurrentSkipListMap<>();

    private final TreeMap<Integer, Memslot> byId = new TreeMap<>();

    private volatile int generation;

    /** The slot that holds a guest frame, or null. */
    @Nullable Memslot find(long gfn) {
        Map.Entry<Long, Memslot> entry = byFrame.floorEntry(gfn);
        return entry != null && entry.getValue().contains(gfn) ? entry.getValue() : null;
    }

    /** All slots, in the order of their frames. */
    Collection<Memslot> all() {
        return byFrame.values();
    }

    /** The slots that hold a frame of [first, end). */
    Collection<Memslot> overlapping(long first, long end) {
        Memslot before = find(first);
        return byFrame.subMap(before == null ? first : before.baseGfn, true, end, false)
                .values();
    }

    /** The slot with a number, or null. */
    @Nullable Memslot get(int id) {
        return byId.get(id);
    }

    /** Whether another slot than {@code id} holds a frame of [first, end). */
    boolean overlaps(int id, long first, long end) {
        for (Memslot slot : overlapping(first, end)) {
            if (slot.id != id) {
                return true;
            }
        }
        return false;
    }

    /** Advances with each change. */
    int generation() {
        return generation;
    }

    /** Begins a new generation; so do {@link #add} and {@link #remove}. */
    @SuppressWarnings("NonAtomicVolatileUpdate") // one writer at a time
    void advance() {
        generation++;
    }

    void add(Memslot slot) {
        advance();
        byId.put(slot.id, slot);
        byFrame.put(slot.baseGfn, slot);
    }

    void remove(Memslot slot) {
        advance();
        byId.remove(slot.id);
        byFrame.remove(slot.baseGfn);
    }
}
