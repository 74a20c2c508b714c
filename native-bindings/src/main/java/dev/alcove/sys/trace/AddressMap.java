// SPDX-License-Identifier: Apache-2.0
package dev.alcove.sys.trace;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.jspecify.annotations.Nullable;

/** Recorded mappings, and where they are in the replay. Of one thread at a time. */
final class AddressMap {
    /**
     * A recorded mapping.
     *
     * @param start its recorded address
     * @param replayed where it is now; {@link #ABSENT} where there is none
     */
    record Mapping(long start, long length, long replayed) {
        long end() {
            return start + length;
        }

        /** Whether it was only recorded. */
        boolean absent() {
            return replayed == ABSENT;
        }
    }

    static final long ABSENT = -1;

    private final TreeMap<Long, Mapping> mappings = new TreeMap<>();

    /** The mapping that an address lies in. */
    @Nullable Mapping find(long address) {
        Map.Entry<Long, Mapping> at = mappings.floorEntry(address);
        return at != null && address < at.getValue().end() ? at.getValue() : null;
    }

    /** A new mapping takes the place of what was there. */
    void add(long start, long length, long replayed) {
        remove(start, length);
        mappings.put(start, new Mapping(start, length, replayed));
    }

    /** Takes a range out; mappings that lie across its ends are cut. */
    void remove(long start, long length) {
        long end = start + length;
        List<Mapping> met = new ArrayList<>();
        Mapping below = find(start);
        if (below != null) {
            met.add(below);
        }
        met.addAll(mappings.subMap(start, true, Math.max(start, end), false).values());
        for (Mapping mapping : met) {
            mappings.remove(mapping.start);
            if (mapping.start < start) {
                mappings.put(mapping.start, new Mapping(mapping.start, start - mapping.start, mapping.replayed));
            }
            if (mapping.end() > end) {
                long replayed = mapping.absent() ? ABSENT : mapping.replayed + (end - mapping.start);
                mappings.put(end, new Mapping(end, mapping.end() - end, replayed));
            }
        }
    }

    /** The mappings that are there in the replay. */
    List<Mapping> present() {
        return mappings.values().stream().filter(m -> !m.absent()).toList();
    }
}
