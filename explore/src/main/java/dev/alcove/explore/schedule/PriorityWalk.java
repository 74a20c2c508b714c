// SPDX-License-Identifier: Apache-2.0
package dev.alcove.explore.schedule;

import java.util.List;
import java.util.SplittableRandom;

/**
 * The one of highest priority goes on; at a few random steps the one that goes falls behind all others. A bug that
 * needs d orderings between n threads in k steps is found with probability 1/(n k^(d-1)) or more, by depth d (Burckhardt
 * et al., "A randomized scheduler with probabilistic guarantees of finding bugs", ASPLOS 2010).
 */
public final class PriorityWalk implements Chooser {
    private final int[] priorities;
    /** Steps at which the one that goes falls behind, ascending. */
    private final int[] changes;

    private int step;
    private int changed;

    /**
     * @param strands how many there are at most
     * @param depth of the bugs to be found, from 1: one more than there are changes of priority
     * @param steps how long the run is, about
     */
    public PriorityWalk(long seed, int strands, int depth, int steps) {
        SplittableRandom random = new SplittableRandom(seed);
        priorities = new int[strands];
        for (int i = 0; i < strands; i++) {
            int at = random.nextInt(i + 1);
            priorities[i] = priorities[at];
            priorities[at] = i + 1;
        }
        changes = random.ints(depth - 1, 1, Math.max(2, steps)).sorted().toArray();
    }

    @Override
    public Strand choose(Strand last, List<Strand> enabled) {
        step++;
        while (changed < changes.length && changes[changed] <= step) {
            priorities[last.index()] = -++changed;
        }
        Strand best = enabled.getFirst();
        for (Strand strand : enabled) {
            if (priorities[strand.index()] > priorities[best.index()]) {
                best = strand;
            }
        }
        return best;
    }
}
