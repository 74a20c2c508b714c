// SPDX-License-Identifier: Apache-2.0
package dev.alcove.discard;

import dev.alcove.discard.RamDiscardManager.Change;
import dev.alcove.discard.VirtioMem.Response;
import java.util.BitSet;
import java.util.Random;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

import static dev.alcove.discard.PagesListener.PAGE;
import static org.junit.jupiter.api.Assertions.assertEquals;

/**
 * A guest that converts pages and plugs blocks at random, in the same memory, with listeners that fail: what devices
 * may use is what is shared and plugged, by two bitmaps.
 */
class RandomPlugAndShareTest {
    private static final int BLOCK_PAGES = 8;
    private static final int BLOCKS = 24;
    private static final int PAGES = BLOCKS * BLOCK_PAGES;
    private static final long SIZE = PAGES * PAGE;

    private final RamDiscardManager manager = new RamDiscardManager(SIZE);
    private final PopulatedRanges shared = new PopulatedRanges(SIZE, PAGE, false, new RegionSet(SIZE, 16));
    private final BitSet sharedPages = new BitSet();
    private final BitSet pluggedPages = new BitSet();
    private final BitSet releasedPages = new BitSet();
    private final VirtioMem memory = new VirtioMem(manager, BLOCK_PAGES * PAGE, this::released);
    private final PagesListener whole = new PagesListener(PAGES);
    private final PagesListener middle = new PagesListener(PAGES);
    private int failIn = -1;
    private @Nullable Throwable throwing;

    private boolean refuses() {
        return throwing == null && failIn >= 0 && failIn-- == 0;
    }

    private @Nullable Throwable thrown() {
        return throwing != null && failIn >= 0 && failIn-- == 0 ? throwing : null;
    }

    private void released(long offset, long size) {
        releasedPages.set((int) (offset / PAGE), (int) ((offset + size) / PAGE));
    }

    @ParameterizedTest
    @ValueSource(longs = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12})
    void devicesUseWhatIsSharedAndPlugged(long seed) {
        Random random = new Random(seed);
        assertEquals(Outcome.done(), manager.addSource(shared));
        assertEquals(Outcome.done(), manager.addSource(memory));
        assertEquals(Outcome.done(), manager.register(whole, new RamSection(0, SIZE)));
        assertEquals(Outcome.done(), manager.register(middle, new RamSection(PAGE * 5, SIZE - 20 * PAGE)));
        for (PagesListener listener : new PagesListener[] {whole, middle}) {
            listener.refusePopulate = this::refuses;
            listener.refuseDiscard = this::refuses;
            listener.thrown = this::thrown;
        }
        for (int step = 0; step < 1500; step++) {
            throwing = random.nextInt(3) == 0 ? new StackOverflowError() : null;
            failIn = random.nextInt(4) == 0 ? random.nextInt(8) : -1;
            String what = "seed " + seed + " step " + step + ": "
                    + switch (random.nextInt(8)) {
                        case 0 -> request(random);
                        case 1 -> random.nextInt(10) == 0 ? unplugAll() : plug(random);
                        case 2 -> plug(random);
                        case 3, 4 -> unplug(random);
                        default -> convert(random);
                    };
            failIn = -1;
            check(what);
        }
    }

    private String request(Random random) {
        memory.request(random.nextInt(BLOCKS + 1) * (BLOCK_PAGES * PAGE));
        return "request " + memory.requestedSize();
    }

    private String plug(Random random) {
        int block = random.nextInt(BLOCKS);
        int count = 1 + random.nextInt(4);
        int from = block * BLOCK_PAGES;
        int to = from + count * BLOCK_PAGES;
        boolean failing = failIn >= 0;
        Response response = memory.plug(from * PAGE, count);
        String what = "plug " + block + "+" + count + ": " + response;
        if (to > PAGES) {
            assertEquals(Response.ERROR, response, what);
        } else if (pluggedPages.cardinality() + to - from > memory.requestedSize() / PAGE) {
            assertEquals(Response.NACK, response, what);
        } else if (!pluggedPages.get(from, to).isEmpty()) {
            assertEquals(Response.ERROR, response, what);
        } else if (!failing || response == Response.ACK) {
            assertEquals(Response.ACK, response, what);
            pluggedPages.set(from, to);
        } else {
            assertEquals(Response.BUSY, response, what);
        }
        return what;
    }

    private String unplug(Random random) {
        int block = random.nextInt(BLOCKS);
        int count = 1 + random.nextInt(2);
        int from = block * BLOCK_PAGES;
        int to = from + count * BLOCK_PAGES;
        boolean failing = failIn >= 0;
        releasedPages.clear();
        Response response = memory.unplug(from * PAGE, count);
        String what = "unplug " + block + "+" + count + ": " + response;
        if (to > PAGES || pluggedPages.get(from, to).cardinality() < to - from) {
            assertEquals(Response.ERROR, response, what);
        } else if (!failing || response == Response.ACK) {
            assertEquals(Response.ACK, response, what);
            BitSet gone = new BitSet();
            gone.set(from, to);
            assertEquals(gone, releasedPages, what);
            pluggedPages.clear(from, to);
        } else {
            assertEquals(Response.BUSY, response, what);
            assertEquals(new BitSet(), releasedPages, what);
        }
        return what;
    }

    private String unplugAll() {
        boolean failing = failIn >= 0;
        releasedPages.clear();
        Response response = memory.unplugAll();
        if (!failing || response == Response.ACK) {
            assertEquals(Response.ACK, response);
            assertEquals(pluggedPages, releasedPages);
            pluggedPages.clear();
        }
        return "unplug all: " + response;
    }

    /** A run of equal pages, as the engine converts them: discard, then state; state, then populate, or back. */
    private String convert(Random random) {
        int from = random.nextInt(PAGES);
        boolean toShared = !sharedPages.get(from);
        int end = toShared ? sharedPages.nextSetBit(from) : sharedPages.nextClearBit(from);
        int to = Math.min(Math.min(PAGES, from + 1 + random.nextInt(30)), end < 0 ? PAGES : end);
        long offset = from * PAGE;
        long size = (to - from) * PAGE;
        boolean failing = failIn >= 0;
        Outcome outcome;
        try (Change _ = manager.change()) {
            if (toShared) {
                shared.populate(offset, size);
                outcome = manager.notifyPopulate(shared, offset, size);
                if (!outcome.isDone()) {
                    shared.discard(offset, size);
                }
            } else {
                outcome = manager.notifyDiscard(shared, offset, size);
                if (outcome.isDone()) {
                    shared.discard(offset, size);
                }
            }
        }
        String what = "pages " + from + " to " + to + " shared " + toShared + ": " + outcome;
        if (outcome.isDone()) {
            sharedPages.set(from, to, toShared);
        } else {
            assertEquals(true, failing && outcome instanceof Outcome.Refused, what);
        }
        return what;
    }

    private void check(String what) {
        BitSet expected = (BitSet) sharedPages.clone();
        expected.and(pluggedPages);
        BitSet replayed = new BitSet();
        manager.replayPopulated(
                0, SIZE, (offset, size) -> replayed.set((int) (offset / PAGE), (int) ((offset + size) / PAGE)));
        assertEquals(expected, replayed, what);
        assertEquals(pluggedPages.cardinality() * PAGE, memory.pluggedSize(), what);
        for (int page = 0; page < PAGES; page++) {
            assertEquals(expected.get(page), whole.used[page], what);
            assertEquals(expected.get(page) && page >= 5 && page < PAGES - 15, middle.used[page], what);
        }
        assertEquals(true, memory.unsafe().isEmpty(), what);
    }
}
