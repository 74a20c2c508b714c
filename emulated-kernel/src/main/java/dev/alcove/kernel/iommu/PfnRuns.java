// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommu;

import java.util.Arrays;

/** Page indexes with their frames, as runs in which both are contiguous. Not thread safe. */
public final class PfnRuns {
    /** Receives one run. */
    @FunctionalInterface
    public interface Run {
        /** Pages from {@code index} on, in frames from {@code pfn} on. */
        void accept(long index, long pfn, long pages);
    }

    private static final int WORDS = 3;

    /** Most are of one run. */
    private long[] words = new long[WORDS];
    private int used;
    private long pages;

    /** Adds pages behind the last ones; the first of them may be the last one again. */
    public void add(long index, long pfn, long count) {
        if (used > 0 && index < words[used - 3] + words[used - 1]) {
            if (count > 1) {
                add(index + 1, pfn + 1, count - 1);
            }
            return;
        }
        pages += count;
        if (used > 0) {
            long length = words[used - 1];
            if (words[used - 3] + length == index && words[used - 2] + length == pfn) {
                words[used - 1] = length + count;
                return;
            }
        }
        if (used == words.length) {
            words = Arrays.copyOf(words, used * 2);
        }
        words[used++] = index;
        words[used++] = pfn;
        words[used++] = count;
    }

    /** As {@link #add} of one page after the other; with a count below one nothing. */
    public void addAll(long index, long[] pfns, int count) {
        for (int first = 0; first < count; ) {
            int end = first + 1;
            while (end < count && pfns[end] == pfns[first] + (end - first)) {
                end++;
            }
            add(index + first, pfns[first], end - first);
            first = end;
        }
    }

    /** Pages in all runs. */
    public long pages() {
        return pages;
    }

    /** Visits the runs in the order in which they came. */
    public void forEach(Run run) {
        for (int i = 0; i < used; i += WORDS) {
            run.accept(words[i], words[i + 1], words[i + 2]);
        }
    }

    /** Forgets all runs. */
    public void clear() {
        used = 0;
        pages = 0;
    }
}
