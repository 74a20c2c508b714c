// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommufd;

import java.util.Arrays;

/** Page indexes with their frames, as runs in which both are contiguous. Not thread safe. */
final class PfnRuns {
    /** Receives one run. */
    interface Run {
        void accept(long index, long pfn, long pages);
    }

    private static final int WORDS = 3;

    private long[] words = new long[8 * WORDS];
    private int used;
    private long pages;

    /** Adds pages behind the last ones; the first of them may be the last one again. */
    void add(long index, long pfn, long count) {
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

    /** Pages in all runs. */
    long pages() {
        return pages;
    }

    void forEach(Run run) {
        for (int i = 0; i < used; i += WORDS) {
            run.accept(words[i], words[i + 1], words[i + 2]);
        }
    }

    void clear() {
        used = 0;
        pages = 0;
    }
}
