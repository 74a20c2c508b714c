// SPDX-License-Identifier: Apache-2.0
package dev.alcove.explore;

import dev.alcove.discard.GpaRange;
import java.util.ArrayList;
import java.util.List;

/**
 * What the pages of the small machine are for. Page n lies at guest physical address {@code n * 4096}; there are two
 * RAM blocks, which touch.
 */
final class Layout {
    static final int PAGE = 4096;

    /** Pages of code: shared, and nobody converts them. */
    static final int CODE_PAGES = 2;

    /** So many pages fit into one word, a bit for each. */
    private static final int MOST = 64;

    private static final int CODE = -1;
    /** Stays shared, beside pages that are converted: a device must be able to read it at any time. */
    private static final int STILL = -2;
    /** Anybody converts it at any time. */
    private static final int COMMON = -3;

    /** One of the above, or the number of the vCPU that alone converts and uses the page. */
    private final List<Integer> uses = new ArrayList<>();

    private final int secondBlock;
    private final int cpus;

    Layout(int cpus) {
        this.cpus = cpus;
        add(CODE, CODE_PAGES);
        add(COMMON, 2);
        add(STILL, 1);
        add(COMMON, 2);
        for (int cpu = 0; cpu < cpus; cpu += 2) {
            add(cpu, 2);
        }
        add(COMMON, 1);
        secondBlock = uses.size();
        add(COMMON, 2);
        add(STILL, 1);
        add(COMMON, 1);
        for (int cpu = 1; cpu < cpus; cpu += 2) {
            add(cpu, 2);
        }
        add(COMMON, 1);
        if (uses.size() > MOST) {
            throw new IllegalArgumentException(cpus + " vCPUs");
        }
    }

    private void add(int use, int pages) {
        for (int i = 0; i < pages; i++) {
            uses.add(use);
        }
    }

    int cpus() {
        return cpus;
    }

    int pages() {
        return uses.size();
    }

    List<GpaRange> blocks() {
        long second = (long) secondBlock * PAGE;
        return List.of(GpaRange.of(0, second), GpaRange.of(second, (long) pages() * PAGE - second));
    }

    /** Runs of pages that anybody converts, each as first page and number of pages. */
    List<int[]> commonRuns() {
        return runs(COMMON);
    }

    /** The pages of one vCPU: a single run. */
    int[] own(int cpu) {
        return runs(cpu).getFirst();
    }

    List<Integer> still() {
        List<Integer> pages = new ArrayList<>();
        for (int page = 0; page < pages(); page++) {
            if (isStill(page)) {
                pages.add(page);
            }
        }
        return pages;
    }

    boolean isStill(int page) {
        return uses.get(page) == STILL;
    }

    boolean isCommon(int page) {
        return uses.get(page) == COMMON;
    }

    boolean isOwn(int page) {
        return uses.get(page) >= 0;
    }

    private List<int[]> runs(int use) {
        List<int[]> runs = new ArrayList<>();
        for (int page = 0; page < pages(); page++) {
            if (uses.get(page) == use) {
                if (page > 0 && uses.get(page - 1) == use) {
                    runs.getLast()[1]++;
                } else {
                    runs.add(new int[] {page, 1});
                }
            }
        }
        return runs;
    }

    /** A bit for each page that begins in a range; pages beyond the machine have none. */
    long bits(long gpa, long size) {
        long first = Math.max(0, gpa / PAGE);
        long end = Math.min(pages(), (gpa + size) / PAGE);
        return first >= end ? 0 : (-1L >>> (MOST - (end - first))) << first;
    }

    /** Bits as a person reads them. */
    static String text(long bits) {
        List<String> parts = new ArrayList<>();
        for (int page = 0; page < MOST; page++) {
            if ((bits >>> page & 1) != 0) {
                parts.add("0x" + Long.toHexString((long) page * PAGE));
            }
        }
        return String.join(" ", parts);
    }
}
