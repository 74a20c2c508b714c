// SPDX-License-Identifier: Apache-2.0
package dev.alcove.discard;

import java.io.IOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.concurrent.atomic.AtomicBoolean;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

import static dev.alcove.discard.PagesListener.PAGE;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;

/** Sources and listeners that come, go, change and refuse at random, against one boolean for each page. */
class RandomTransactionsTest {
    private static final int PAGES = 32;

    /** A source with its model. */
    private static final class ModelledSource {
        final PopulatedRanges ranges;
        final boolean[] pages = new boolean[PAGES];
        final int step;
        boolean added;

        ModelledSource(int pagesPerPiece) {
            ranges = new PopulatedRanges(
                    PAGES * PAGE, pagesPerPiece * PAGE, false, new RegionSet(PAGES * PAGE, 15));
            step = pagesPerPiece;
        }
    }

    private record ModelledListener(PagesListener listener, int from, int to, AtomicBoolean registered) {}

    private final RamDiscardManager manager = new RamDiscardManager(PAGES * PAGE);
    private final List<ModelledSource> sources =
            List.of(new ModelledSource(1), new ModelledSource(1), new ModelledSource(4));
    private final List<ModelledListener> listeners = new ArrayList<>();
    /** Which call from now refuses; below zero none does. An undo must not be refused, so only one call does. */
    private int refuseIn = -1;

    /** What the call that fails throws; null where it refuses. */
    private @Nullable Throwable throwing;

    private boolean refuses() {
        return throwing == null && refuseIn >= 0 && refuseIn-- == 0;
    }

    private @Nullable Throwable thrown() {
        return throwing != null && refuseIn >= 0 && refuseIn-- == 0 ? throwing : null;
    }

    private static @Nullable Throwable failure(Random random) {
        return switch (random.nextInt(6)) {
            case 0 -> new IllegalStateException("boom");
            case 1 -> new StackOverflowError();
            case 2 -> new OutOfMemoryError("as if");
            case 3 -> new IOException("not in any signature");
            default -> null;
        };
    }

    private boolean populated(int page) {
        return sources.stream().allMatch(source -> !source.added || source.pages[page]);
    }

    @ParameterizedTest
    @ValueSource(longs = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16})
    void agreesWithTheModel(long seed) {
        Random random = new Random(seed);
        for (int i = 0; i < 3; i++) {
            int from = random.nextInt(PAGES);
            int to = from + 1 + random.nextInt(PAGES - from);
            PagesListener listener = new PagesListener(PAGES);
            listener.refusePopulate = this::refuses;
            listener.refuseDiscard = this::refuses;
            listener.thrown = this::thrown;
            listeners.add(new ModelledListener(listener, from, to, new AtomicBoolean()));
        }
        for (int step = 0; step < 600; step++) {
            throwing = failure(random);
            refuseIn = random.nextInt(3) == 0 ? random.nextInt(6) : -1;
            String what = "seed " + seed + " step " + step + ": " + act(random);
            refuseIn = -1;
            check(what);
        }
    }

    private String act(Random random) {
        ModelledSource source = sources.get(random.nextInt(sources.size()));
        ModelledListener listener = listeners.get(random.nextInt(listeners.size()));
        return switch (random.nextInt(8)) {
            case 0 -> toggleSource(source);
            case 1 -> toggleListener(listener);
            default -> change(random, source);
        };
    }

    private String toggleSource(ModelledSource source) {
        Outcome outcome = source.added ? manager.removeSource(source.ranges) : manager.addSource(source.ranges);
        assertFalse(outcome instanceof Outcome.Unsafe, outcome.toString());
        source.added ^= outcome.isDone();
        return "source " + sources.indexOf(source) + " there " + source.added + " " + outcome;
    }

    private String toggleListener(ModelledListener listener) {
        Outcome outcome = listener.registered.get()
                ? manager.unregister(listener.listener)
                : manager.register(
                        listener.listener, new RamSection(listener.from * PAGE, (listener.to - listener.from) * PAGE));
        assertFalse(outcome instanceof Outcome.Unsafe, outcome.toString());
        listener.registered.set(listener.registered.get() ^ outcome.isDone());
        return "listener " + listeners.indexOf(listener) + " there " + listener.registered.get() + " " + outcome;
    }

    /** Changes a run of a source that is uniform, as a planner would. */
    private String change(Random random, ModelledSource source) {
        int from = random.nextInt(PAGES / source.step) * source.step;
        int to = from;
        while (to < PAGES && source.pages[to] == source.pages[from] && (to == from || random.nextInt(4) > 0)) {
            to += source.step;
        }
        boolean populate = !source.pages[from];
        long offset = from * PAGE;
        long size = (to - from) * PAGE;
        Outcome outcome = Outcome.done();
        if (source.added) {
            outcome = populate
                    ? manager.notifyPopulate(source.ranges, offset, size)
                    : manager.notifyDiscard(source.ranges, offset, size);
            assertFalse(outcome instanceof Outcome.Unsafe, outcome.toString());
        }
        if (outcome.isDone()) {
            if (populate) {
                source.ranges.populate(offset, size);
            } else {
                source.ranges.discard(offset, size);
            }
            Arrays.fill(source.pages, from, to, populate);
        }
        return "pages " + from + " to " + to + " of source " + sources.indexOf(source) + " populated " + populate + " "
                + outcome;
    }

    private void check(String what) {
        boolean[] expected = new boolean[PAGES];
        boolean[] replayed = new boolean[PAGES];
        boolean[] gone = new boolean[PAGES];
        manager.replayPopulated(0, PAGES * PAGE, (offset, size) -> fill(replayed, offset, size));
        manager.replayDiscarded(0, PAGES * PAGE, (offset, size) -> fill(gone, offset, size));
        for (int page = 0; page < PAGES; page++) {
            expected[page] = populated(page);
            assertEquals(expected[page], replayed[page], what);
            assertEquals(expected[page], !gone[page], what);
            assertEquals(expected[page], manager.isPopulated(page * PAGE, PAGE), what);
            for (ModelledListener listener : listeners) {
                boolean inside = page >= listener.from && page < listener.to && listener.registered.get();
                assertEquals(inside && expected[page], listener.listener.used[page], what);
            }
        }
    }

    private static void fill(boolean[] pages, long offset, long size) {
        Arrays.fill(pages, (int) (offset / PAGE), (int) ((offset + size) / PAGE), true);
    }
}
