// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract.fuzz;

import java.util.ArrayList;
import java.util.BitSet;
import java.util.List;

/**
 * What a sequence may have made in one open of /dev/iommu: the ids of address spaces, and where they map something. A
 * guess, as no answer is known, but one that makes most calls hit something.
 */
final class IommufdModel {
    private static final int MOST_AREAS = 40;

    private final BitSet taken = new BitSet();
    private final List<Integer> ioases = new ArrayList<>();
    private final List<Area> areas = new ArrayList<>();

    /** A range that an address space may map. */
    record Area(int ioas, long iova, long length) {}

    IommufdModel() {
        taken.set(0);
    }

    /** Something of another kind gets the lowest free id. */
    int allocate() {
        int id = taken.nextClearBit(0);
        taken.set(id);
        return id;
    }

    void allocateIoas() {
        ioases.add(allocate());
    }

    void destroy(long id) {
        if (id > 0 && id < taken.size()) {
            taken.clear((int) id);
            ioases.remove((Integer) (int) id);
            areas.removeIf(area -> area.ioas() == id);
        }
    }

    void map(long ioas, long iova, long length) {
        if (areas.size() == MOST_AREAS) {
            areas.removeFirst();
        }
        areas.add(new Area((int) ioas, iova, length));
    }

    /** An address space, or 0. */
    int ioas(Draw draw) {
        return ioases.isEmpty() ? 0 : ioases.get((int) draw.below(ioases.size()));
    }

    /** A range that is mapped, or one at 0 in no address space. */
    Area area(Draw draw) {
        return areas.isEmpty() ? new Area(0, 0, 1) : areas.get((int) draw.below(areas.size()));
    }
}
