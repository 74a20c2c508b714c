// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.kvm;

import java.util.Arrays;
import java.util.List;
import java.util.TreeMap;
import org.jspecify.annotations.Nullable;

/**
 * The memslots of a machine, by number and by guest frame.
 *
 * <p>Writers hold the machine's slots lock; {@link #find}, {@link #all} and {@link #overlapping} need none.
 */
final class Memslots {
    /** By first guest frame; disjoint. Never changed in place: who has it has the slots of one moment. */
    private volatile List<Memslot> byFrame = Arrays.asList();

    private final TreeMap<Integer, Memslot> byId = new TreeMap<>();

    private volatile int generation;

    /** The slot that holds a guest frame, or null. */
    @Nullable Memslot find(long gfn) {
        List<Memslot> slots = byFrame;
        int at = floor(slots, gfn);
        return at >= 0 && slots.get(at).contains(gfn) ? slots.get(at) : null;
    }

    /** The last of the slots that starts at or before a guest frame, -1 where there is none. */
    private static int floor(List<Memslot> slots, long gfn) {
        int low = 0;
        int high = slots.size();
        while (low < high) {
            int middle = (low + high) >>> 1;
            if (slots.get(middle).baseGfn <= gfn) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        return low - 1;
    }

    /** All slots of one moment, in the order of their frames: the same object until they change. */
    List<Memslot> all() {
        return byFrame;
    }

    /** The slots of one moment that hold a frame of [first, end), in the order of their frames. */
    List<Memslot> overlapping(long first, long end) {
        List<Memslot> slots = byFrame;
        int from = floor(slots, first);
        if (from < 0 || !slots.get(from).contains(first)) {
            from++;
        }
        int to = from;
        while (to < slots.size() && slots.get(to).baseGfn < end) {
            to++;
        }
        return to == from ? List.of() : to - from == slots.size() ? slots : slots.subList(from, to);
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

    /** Begins a new generation; so do {@link #add}, {@link #remove} and {@link #replace}. */
    @SuppressWarnings("NonAtomicVolatileUpdate") // one writer at a time
    void advance() {
        generation++;
    }

    void add(Memslot slot) {
        advance();
        byId.put(slot.id, slot);
        publish(floor(byFrame, slot.baseGfn) + 1, 0, slot);
    }

    void remove(Memslot slot) {
        advance();
        byId.remove(slot.id);
        publish(floor(byFrame, slot.baseGfn), 1);
    }

    /** Puts a slot in the place of one with the same number and the same frames, at once for all who look. */
    void replace(Memslot old, Memslot fresh) {
        advance();
        byId.put(fresh.id, fresh);
        publish(floor(byFrame, old.baseGfn), 1, fresh);
    }

    /** Shows other slots instead of some that were one after the other. */
    private void publish(int at, int gone, Memslot... come) {
        Memslot[] old = byFrame.toArray(Memslot[]::new);
        Memslot[] all = new Memslot[old.length - gone + come.length];
        System.arraycopy(old, 0, all, 0, at);
        System.arraycopy(come, 0, all, at, come.length);
        System.arraycopy(old, at + gone, all, at + come.length, old.length - at - gone);
        byFrame = Arrays.asList(all);
    }
}
