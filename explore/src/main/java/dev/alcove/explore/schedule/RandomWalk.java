// SPDX-License-Identifier: Apache-2.0
package dev.alcove.explore.schedule;

import java.util.List;
import java.util.SplittableRandom;

/** Switches at a step with a fixed probability, to anybody. */
public final class RandomWalk implements Chooser {
    private final SplittableRandom random;
    private final int oneIn;

    /** @param oneIn at how many steps it switches once, on average */
    public RandomWalk(long seed, int oneIn) {
        this.random = new SplittableRandom(seed);
        this.oneIn = oneIn;
    }

    @Override
    public Strand choose(Strand last, List<Strand> enabled) {
        boolean stay = random.nextInt(oneIn) != 0;
        return stay && enabled.contains(last) ? last : enabled.get(random.nextInt(enabled.size()));
    }
}
