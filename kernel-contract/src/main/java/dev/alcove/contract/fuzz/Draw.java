// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract.fuzz;

import java.util.NavigableMap;
import java.util.SplittableRandom;
import java.util.TreeMap;
import java.util.function.Supplier;

/** What generators draw from: values, and kinds of ops by weight. */
public final class Draw implements Supplier<Op> {
    private final SplittableRandom random;
    private final NavigableMap<Integer, Supplier<Op>> kinds = new TreeMap<>();
    private int weights;

    public Draw(SplittableRandom random) {
        this.random = random;
    }

    /** Adds a kind of op, {@code weight} times as likely as one of weight 1. */
    public Draw add(int weight, Supplier<Op> kind) {
        kinds.put(weights, kind);
        weights += weight;
        return this;
    }

    /** The next op, of a kind that {@link #add} has added. */
    @Override
    public Op get() {
        return kinds.floorEntry(random.nextInt(weights)).getValue().get();
    }

    /** One of the values, each as likely as any other. */
    public long of(long... values) {
        return values[random.nextInt(values.length)];
    }

    /** From 0 to {@code bound} - 1. */
    public long below(long bound) {
        return random.nextLong(bound);
    }

    /** True once in {@code n} times. */
    public boolean oneIn(int n) {
        return random.nextInt(n) == 0;
    }
}
