// SPDX-License-Identifier: Apache-2.0
package dev.alcove.memory;

import dev.alcove.bindings.kvm.kvm;
import dev.alcove.kvm.Memslot;
import dev.alcove.memory.FlatView.FlatRange;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.Collection;
import java.util.Deque;
import java.util.HashMap;
import java.util.HashSet;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.NavigableMap;
import java.util.Set;
import java.util.TreeMap;

/**
 * The least changes that lead from the slots that there are to those that a {@link FlatView} wants: a slot that stays
 * is not touched, one whose dirty log goes on or off changes its flags, one that is shown elsewhere moves. At no moment
 * do two slots overlap: deletions come first, then moves, each after the one that makes room for it (where they wait
 * for each other in a ring, one is deleted and made again), then creations, then flags. Pure.
 */
final class SlotDiff {
    private static final int DIRTY = (int) kvm.KVM_MEM_LOG_DIRTY_PAGES();

    /** What two slots share of which one can become the other by a move. */
    private record Memory(long size, long hva, int flags) {
        static Memory of(Memslot slot) {
            return new Memory(slot.size(), slot.hva(), slot.flags() & ~DIRTY);
        }

        static Memory of(FlatRange range) {
            return new Memory(range.size(), range.hva(), range.flags() & ~DIRTY);
        }
    }

    private final List<SlotChange> deletes = new ArrayList<>();
    private final List<SlotChange.Move> moves = new ArrayList<>();
    private final List<FlatRange> creates = new ArrayList<>();
    private final List<SlotChange> flags = new ArrayList<>();
    private final BitSet numbers = new BitSet();
    /** Slots that will have gone or moved away, by address: who is in the way. */
    private final NavigableMap<Long, Memslot> leaving = new TreeMap<>();

    private SlotDiff() {}

    /** The changes, in the order in which they must be made. New slots get the lowest numbers that are free. */
    static List<SlotChange> between(Collection<Memslot> slots, FlatView wanted) {
        SlotDiff diff = new SlotDiff();
        diff.classify(slots, wanted);
        return diff.order();
    }

    private void classify(Collection<Memslot> slots, FlatView wanted) {
        Map<Long, Memslot> byAddress = new HashMap<>();
        for (Memslot slot : slots) {
            byAddress.put(slot.gpa(), slot);
            numbers.set(slot.slot());
        }
        List<FlatRange> fresh = new ArrayList<>();
        Set<Memslot> staying = new HashSet<>();
        for (FlatRange range : wanted.ranges()) {
            Memslot there = byAddress.get(range.gpa());
            if (there != null && sameButForLog(FlatRange.of(there), range)) {
                staying.add(there);
                if (there.flags() != range.flags()) {
                    flags.add(new SlotChange.Flags(there, range.slot(there.slot())));
                }
            } else {
                fresh.add(range);
            }
        }
        Map<Memory, Deque<Memslot>> movable = new HashMap<>();
        for (Memslot slot : slots) {
            if (!staying.contains(slot)) {
                leaving.put(slot.gpa(), slot);
                if (slot.gmemFd() < 0) {
                    movable.computeIfAbsent(Memory.of(slot), key -> new ArrayDeque<>())
                            .add(slot);
                }
            }
        }
        Set<Memslot> moving = new HashSet<>();
        for (FlatRange range : fresh) {
            Deque<Memslot> sources = range.gmemFd() < 0 ? movable.get(Memory.of(range)) : null;
            Memslot source = sources == null ? null : sources.poll();
            if (source == null) {
                creates.add(range);
            } else {
                moving.add(source);
                moves.add(new SlotChange.Move(source, range.slot(source.slot())));
            }
        }
        for (Memslot slot : slots) {
            if (!staying.contains(slot) && !moving.contains(slot)) {
                delete(slot);
            }
        }
    }

    private static boolean sameButForLog(FlatRange a, FlatRange b) {
        return a.size() == b.size()
                && a.hva() == b.hva()
                && (a.flags() & ~DIRTY) == (b.flags() & ~DIRTY)
                && a.gmemFd() == b.gmemFd()
                && a.gmemOffset() == b.gmemOffset();
    }

    private void delete(Memslot slot) {
        deletes.add(new SlotChange.Delete(slot));
        leaving.remove(slot.gpa());
        numbers.clear(slot.slot());
    }

    private List<SlotChange> order() {
        List<SlotChange> ordered = new ArrayList<>();
        List<SlotChange.Move> waiting = new ArrayList<>(moves);
        while (!waiting.isEmpty()) {
            boolean moved = false;
            for (Iterator<SlotChange.Move> rest = waiting.iterator(); rest.hasNext(); ) {
                SlotChange.Move move = rest.next();
                if (!blocked(move)) {
                    ordered.add(move);
                    leaving.remove(move.from().gpa());
                    rest.remove();
                    moved = true;
                }
            }
            if (!moved) {
                // A ring. Deleted with the others at the start, and made again at the end.
                SlotChange.Move move = waiting.removeFirst();
                delete(move.from());
                creates.add(FlatRange.of(move.to()));
            }
        }
        ordered.addAll(0, deletes);
        for (FlatRange range : creates) {
            int number = numbers.nextClearBit(0);
            numbers.set(number);
            ordered.add(new SlotChange.Create(range.slot(number)));
        }
        ordered.addAll(flags);
        return ordered;
    }

    /** Whether a slot that has not left yet is where a slot is to be moved; its own old place does not count. */
    private boolean blocked(SlotChange.Move move) {
        long end = move.to().gpa() + move.to().size();
        for (Memslot other : leaving.headMap(end, false).descendingMap().values()) {
            if (other.slot() != move.from().slot() && other.gpa() + other.size() > move.to().gpa()) {
                return true;
            }
            if (other.gpa() + other.size() <= move.to().gpa() && other.slot() != move.from().slot()) {
                return false;
            }
        }
        return false;
    }
}
