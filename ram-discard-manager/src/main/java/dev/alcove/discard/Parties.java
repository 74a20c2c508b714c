// SPDX-License-Identifier: Apache-2.0
package dev.alcove.discard;

import dev.alcove.discard.Transaction.Listening;
import java.util.Arrays;

/**
 * The sources and listeners of a block, in the order in which they came. Never changed, and never the same object
 * twice.
 */
final class Parties {
    private static final RangeSet[] ALL = {};

    private final RamDiscardSource[] sources;
    private final Listening[] listeners;

    private Parties(RamDiscardSource[] sources, Listening[] listeners) {
        this.sources = sources;
        this.listeners = listeners;
    }

    static Parties none() {
        return new Parties(new RamDiscardSource[0], new Listening[0]);
    }

    boolean hasSources() {
        return sources.length > 0;
    }

    boolean has(RamDiscardSource source) {
        return indexOf(source) >= 0;
    }

    /** The smallest granularity of a source, at most {@code granularity}. */
    long granularity(long most) {
        long least = most;
        for (RamDiscardSource source : sources) {
            least = Math.min(least, source.granularity());
        }
        return least;
    }

    /** Those who are told. */
    Listening[] listeners() {
        return listeners;
    }

    /** One listener alone; nobody where it is not registered. */
    Listening[] only(RamDiscardListener listener) {
        for (Listening listening : listeners) {
            if (listening.listener() == listener) {
                return new Listening[] {listening};
            }
        }
        return new Listening[0];
    }

    /** What each source has populated in a range, one after the other. */
    RangeSet[] populated(long offset, long length) {
        RangeSet[] sets = sources.length == 0 ? ALL : new RangeSet[sources.length];
        for (int i = 0; i < sets.length; i++) {
            sets[i] = sources[i].snapshot(offset, length);
        }
        return sets;
    }

    /** Whether these, which were got before, still are what the sources have populated. */
    boolean stillPopulated(RangeSet[] sets, long offset, long length) {
        for (int i = 0; i < sets.length; i++) {
            if (!sources[i].isStill(sets[i], offset, length)) {
                return false;
            }
        }
        return true;
    }

    /**
     * What each source but one has populated in a range.
     *
     * @throws IllegalStateException where that one is not there
     */
    RangeSet[] populatedBut(RamDiscardSource source, long offset, long length) {
        int index = indexOf(source);
        if (index < 0) {
            throw new IllegalStateException("this source is not there");
        }
        if (sources.length == 1) {
            return ALL;
        }
        RangeSet[] sets = new RangeSet[sources.length - 1];
        for (int i = 0; i < sources.length; i++) {
            if (i != index) {
                sets[i < index ? i : i - 1] = sources[i].snapshot(offset, length);
            }
        }
        return sets;
    }

    Parties with(RamDiscardSource source) {
        RamDiscardSource[] more = Arrays.copyOf(sources, sources.length + 1);
        more[sources.length] = source;
        return new Parties(more, listeners);
    }

    Parties without(RamDiscardSource source) {
        return new Parties(
                Arrays.stream(sources).filter(other -> other != source).toArray(RamDiscardSource[]::new), listeners);
    }

    Parties with(Listening listening) {
        Listening[] more = Arrays.copyOf(listeners, listeners.length + 1);
        more[listeners.length] = listening;
        return new Parties(sources, more);
    }

    Parties without(RamDiscardListener listener) {
        return new Parties(
                sources,
                Arrays.stream(listeners)
                        .filter(other -> other.listener() != listener)
                        .toArray(Listening[]::new));
    }

    private int indexOf(RamDiscardSource source) {
        int index = sources.length - 1;
        while (index >= 0 && sources[index] != source) {
            index--;
        }
        return index;
    }
}
