// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.mm;

import java.util.Map;
import java.util.TreeMap;

/** Runs of pages that no user mapping of a store shows. Guarded by the lock of the store; a stripe is enough to look. */
final class ConcealedPages {
    /** Start to end; no two touch. */
    private final TreeMap<Long, Long> runs = new TreeMap<>();

    /** Conceals [first, end), or no longer. */
    void change(long first, long end, boolean conceal) {
        long from = first;
        long to = end;
        for (Map.Entry<Long, Long> run = runs.floorEntry(end);
                run != null && run.getValue() >= first;
                run = runs.floorEntry(end)) {
            runs.remove(run.getKey());
            from = Math.min(from, run.getKey());
            to = Math.max(to, run.getValue());
        }
        if (conceal) {
            runs.put(from, to);
        } else {
            if (from < first) {
                runs.put(from, first);
            }
            if (to > end) {
                runs.put(end, to);
            }
        }
    }

    /** The runs that touch [first, end), whole. */
    ConcealedPages copy(long first, long end) {
        ConcealedPages copy = new ConcealedPages();
        Long start = runs.floorKey(first);
        copy.runs.putAll(runs.subMap(start == null ? first : start, true, end, true));
        return copy;
    }

    void addAll(ConcealedPages others) {
        others.runs.forEach((first, end) -> change(first, end, true));
    }

    /** The end of the run that holds a page, or the page itself. */
    long until(long index) {
        if (runs.isEmpty()) {
            return index; // asked for each page that is pinned: a search would make a Long
        }
        Map.Entry<Long, Long> run = runs.floorEntry(index);
        return run == null ? index : Math.max(index, run.getValue());
    }

    /** Where the first run at or behind a page starts; {@code end} where there is none before it. */
    long next(long index, long end) {
        Long start = runs.ceilingKey(index);
        return start == null ? end : Math.min(end, start);
    }
}
