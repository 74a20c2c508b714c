// SPDX-License-Identifier: Apache-2.0
package dev.alcove.discard;

import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;

import static dev.alcove.discard.PagesListener.PAGE;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

class RamDiscardManagerTest {
    private static final int PAGES = 16;
    private static final long SIZE = PAGES * PAGE;

    private final RamDiscardManager manager = new RamDiscardManager(SIZE);

    private static PopulatedRanges source(long granularity) {
        return new PopulatedRanges(SIZE, granularity, false);
    }

    private PopulatedRanges added(long granularity) {
        PopulatedRanges source = source(granularity);
        assertTrue(manager.addSource(source).isDone());
        return source;
    }

    private PagesListener registered(long firstPage, long pages) {
        PagesListener listener = new PagesListener(PAGES);
        assertTrue(manager.register(listener, new RamSection(firstPage * PAGE, pages * PAGE))
                .isDone());
        return listener;
    }

    /** Changes listeners and state as a conversion does. */
    private Outcome populate(PopulatedRanges source, long page, long pages) {
        Outcome outcome = manager.notifyPopulate(source, page * PAGE, pages * PAGE);
        if (outcome.isDone()) {
            source.populate(page * PAGE, pages * PAGE);
        }
        return outcome;
    }

    private Outcome discard(PopulatedRanges source, long page, long pages) {
        Outcome outcome = manager.notifyDiscard(source, page * PAGE, pages * PAGE);
        if (outcome.isDone()) {
            source.discard(page * PAGE, pages * PAGE);
        }
        return outcome;
    }

    private List<String> populatedRuns(long page, long pages) {
        List<String> runs = new ArrayList<>();
        manager.replayPopulated(page * PAGE, pages * PAGE, (offset, size) -> runs.add(offset / PAGE + ":" + size / PAGE));
        return runs;
    }

    private List<String> discardedRuns(long page, long pages) {
        List<String> runs = new ArrayList<>();
        manager.replayDiscarded(page * PAGE, pages * PAGE, (offset, size) -> runs.add(offset / PAGE + ":" + size / PAGE));
        return runs;
    }

    private static boolean[] pages(int... set) {
        boolean[] pages = new boolean[PAGES];
        for (int page : set) {
            pages[page] = true;
        }
        return pages;
    }

    @Test
    void withoutSourcesAllIsPopulated() {
        assertTrue(manager.isPopulated(0, SIZE));
        assertEquals(List.of("2:5"), populatedRuns(2, 5));
        assertEquals(List.of(), discardedRuns(0, PAGES));
        assertEquals(SIZE, manager.granularity());
        assertEquals(List.of("+0:16"), registered(0, PAGES).takeCalls());
    }

    @Test
    void oneSourceDecides() {
        PopulatedRanges source = added(PAGE);
        assertEquals(PAGE, manager.granularity());
        assertFalse(manager.isPopulated(0, PAGE));
        source.populate(0, 2 * PAGE);
        source.populate(4 * PAGE, PAGE);
        assertTrue(manager.isPopulated(0, 2 * PAGE));
        assertFalse(manager.isPopulated(PAGE, 2 * PAGE));
        assertTrue(manager.isPopulated(100, 5000));
        assertEquals(List.of("0:2", "4:1"), populatedRuns(0, PAGES));
        assertEquals(List.of("2:2", "5:11"), discardedRuns(0, PAGES));
    }

    @Test
    void aListenerFollowsOneSource() {
        PopulatedRanges source = added(PAGE);
        PagesListener listener = registered(0, PAGES);
        assertEquals(List.of(), listener.takeCalls());
        assertTrue(populate(source, 3, 4).isDone());
        assertTrue(discard(source, 4, 1).isDone());
        assertEquals(List.of("+3:4", "-4:1"), listener.takeCalls());
        assertArrayEquals(pages(3, 5, 6), listener.used);
    }

    @Test
    void twoSourcesAreAnded() {
        PopulatedRanges first = added(PAGE);
        PopulatedRanges second = added(PAGE);
        first.populate(0, 8 * PAGE);
        second.populate(4 * PAGE, 8 * PAGE);
        assertEquals(List.of("4:4"), populatedRuns(0, PAGES));
        assertEquals(List.of("0:4", "8:8"), discardedRuns(0, PAGES));
        assertTrue(manager.isPopulated(4 * PAGE, 4 * PAGE));
        assertFalse(manager.isPopulated(3 * PAGE, 2 * PAGE));
    }

    @Test
    void sourcesMayHaveDifferentGranularities() {
        PopulatedRanges coarse = added(4 * PAGE);
        assertEquals(4 * PAGE, manager.granularity());
        PopulatedRanges fine = added(PAGE);
        assertEquals(PAGE, manager.granularity());
        coarse.populate(4 * PAGE, 8 * PAGE);
        fine.populate(3 * PAGE, 2 * PAGE);
        fine.populate(11 * PAGE, 2 * PAGE);
        assertEquals(List.of("4:1", "11:1"), populatedRuns(0, PAGES));
        assertThrows(IllegalArgumentException.class, () -> coarse.populate(PAGE, 4 * PAGE));
    }

    @Test
    void aListenerGetsOnlyWhatTheOtherSourcesHavePopulated() {
        PopulatedRanges first = added(PAGE);
        PopulatedRanges second = added(PAGE);
        PagesListener listener = registered(0, PAGES);
        assertTrue(populate(first, 0, 8).isDone());
        assertEquals(List.of(), listener.takeCalls());
        assertTrue(populate(second, 6, 4).isDone());
        assertEquals(List.of("+6:2"), listener.takeCalls());
        assertTrue(discard(first, 0, 8).isDone());
        assertEquals(List.of("-6:2"), listener.takeCalls());
        second.populate(0, PAGE);
        second.populate(2 * PAGE, PAGE);
        assertTrue(populate(first, 0, 10).isDone());
        assertEquals(List.of("+0:1", "+2:1", "+6:4"), listener.takeCalls());
    }

    @Test
    void aSourceThatComesTakesAway() {
        PopulatedRanges first = added(PAGE);
        first.populate(0, 8 * PAGE);
        PagesListener listener = registered(0, PAGES);
        assertEquals(List.of("+0:8"), listener.takeCalls());
        PopulatedRanges second = source(PAGE);
        second.populate(2 * PAGE, 2 * PAGE);
        second.populate(7 * PAGE, 4 * PAGE);
        assertTrue(manager.addSource(second).isDone());
        assertArrayEquals(pages(2, 3, 7), listener.used);
        assertEquals(List.of("-0:2", "-4:3"), listener.takeCalls());
    }

    @Test
    void aSourceThatGoesGivesBack() {
        PopulatedRanges first = added(PAGE);
        PopulatedRanges second = added(PAGE);
        first.populate(0, 8 * PAGE);
        second.populate(2 * PAGE, 2 * PAGE);
        PagesListener listener = registered(0, PAGES);
        assertTrue(manager.removeSource(second).isDone());
        assertArrayEquals(pages(0, 1, 2, 3, 4, 5, 6, 7), listener.used);
        assertTrue(manager.addSource(second).isDone());
        assertArrayEquals(pages(2, 3), listener.used);
        assertTrue(manager.removeSource(first).isDone());
        assertTrue(manager.removeSource(second).isDone());
        assertEquals(List.of("0:16"), populatedRuns(0, PAGES));
        assertTrue(listener.used[15]);
    }

    @Test
    void aSourceIsThereOnce() {
        PopulatedRanges source = added(PAGE);
        assertThrows(IllegalStateException.class, () -> manager.addSource(source));
        assertTrue(manager.removeSource(source).isDone());
        assertThrows(IllegalStateException.class, () -> manager.removeSource(source));
        assertThrows(IllegalStateException.class, () -> manager.notifyPopulate(source, 0, PAGE));
    }

    @Test
    void aRefusedPopulateIsTakenBackFromAll() {
        PopulatedRanges source = added(PAGE);
        PagesListener first = registered(0, PAGES);
        PagesListener second = registered(0, PAGES);
        PagesListener third = registered(0, PAGES);
        second.refusePopulate = () -> true;
        Outcome outcome = populate(source, 2, 3);
        assertEquals(new Outcome.Refused(12, "no room"), outcome);
        assertEquals(List.of("+2:3", "-2:3"), first.takeCalls());
        assertEquals(List.of("+2:3", "-2:3"), second.takeCalls());
        assertEquals(List.of(), third.takeCalls());
        assertFalse(manager.isPopulated(2 * PAGE, PAGE));
    }

    @Test
    void aRefusedRunTakesBackTheRunsBeforeItInReverseOrder() {
        PopulatedRanges first = added(PAGE);
        PopulatedRanges second = added(PAGE);
        second.populate(0, PAGE);
        second.populate(2 * PAGE, PAGE);
        second.populate(4 * PAGE, PAGE);
        PagesListener listener = registered(0, PAGES);
        listener.refusePopulate = () -> listener.calls.size() == 3;
        assertInstanceOf(Outcome.Refused.class, populate(first, 0, 8));
        assertEquals(List.of("+0:1", "+2:1", "+4:1", "-4:1", "-2:1", "-0:1"), listener.takeCalls());
    }

    @Test
    void aRefusedDiscardIsPopulatedAgain() {
        PopulatedRanges source = added(PAGE);
        PagesListener first = registered(0, PAGES);
        PagesListener second = registered(0, PAGES);
        assertTrue(populate(source, 0, 4).isDone());
        first.refuseDiscard = () -> true;
        assertEquals(new Outcome.Refused(16, "busy"), discard(source, 1, 2));
        assertArrayEquals(pages(0, 1, 2, 3), first.used);
        assertArrayEquals(pages(0, 1, 2, 3), second.used);
        assertEquals(List.of("+0:4", "-1:2", "+1:2"), second.takeCalls());
    }

    @Test
    void takingBackThatFailsIsUnsafe() {
        PopulatedRanges source = added(PAGE);
        PagesListener first = registered(0, PAGES);
        PagesListener second = registered(0, PAGES);
        second.refusePopulate = () -> true;
        first.refuseDiscard = () -> true;
        assertInstanceOf(Outcome.Unsafe.class, populate(source, 2, 3));
    }

    @Test
    void aReplayIsCutToItsRange() {
        PopulatedRanges source = added(PAGE);
        source.populate(2 * PAGE, 4 * PAGE);
        source.populate(8 * PAGE, 4 * PAGE);
        assertEquals(List.of("3:3", "8:2"), populatedRuns(3, 7));
        assertEquals(List.of("6:2"), discardedRuns(3, 7));
        assertEquals(List.of(), populatedRuns(12, 4));
    }

    @Test
    void aRedundantDiscardIsAccepted() {
        PopulatedRanges source = added(PAGE);
        PagesListener listener = registered(0, PAGES);
        assertTrue(discard(source, 0, PAGES).isDone());
        assertTrue(discard(source, 0, PAGES).isDone());
        assertArrayEquals(pages(), listener.used);
    }

    @Test
    void listenersGetTheirSectionOnly() {
        PopulatedRanges source = added(PAGE);
        PagesListener low = registered(0, 8);
        PagesListener high = registered(8, 8);
        PagesListener middle = registered(6, 4);
        assertTrue(populate(source, 4, 8).isDone());
        assertEquals(List.of("+4:4"), low.takeCalls());
        assertEquals(List.of("+8:4"), high.takeCalls());
        assertEquals(List.of("+6:4"), middle.takeCalls());
        assertTrue(discard(source, 0, 7).isDone());
        assertEquals(List.of("-0:7"), low.takeCalls());
        assertEquals(List.of(), high.takeCalls());
        assertEquals(List.of("-6:1"), middle.takeCalls());
    }

    @Test
    void theBordersOfTheBlockCount() {
        PopulatedRanges source = added(PAGE);
        PagesListener listener = registered(0, PAGES);
        assertTrue(populate(source, 0, 1).isDone());
        assertTrue(populate(source, PAGES - 1, 1).isDone());
        assertArrayEquals(pages(0, PAGES - 1), listener.used);
        assertThrows(IllegalArgumentException.class, () -> manager.notifyPopulate(source, SIZE, PAGE));
        assertThrows(IllegalArgumentException.class, () -> manager.notifyPopulate(source, SIZE - PAGE, 2 * PAGE));
        assertThrows(IllegalArgumentException.class, () -> manager.notifyPopulate(source, -PAGE, PAGE));
        assertThrows(IllegalArgumentException.class, () -> manager.notifyPopulate(source, 0, 0));
        assertThrows(IllegalArgumentException.class, () -> manager.notifyPopulate(source, PAGE, Long.MAX_VALUE));
    }

    @Test
    void aRefusedRegistrationLeavesNothing() {
        PopulatedRanges source = added(PAGE);
        source.populate(0, PAGE);
        source.populate(2 * PAGE, PAGE);
        PagesListener listener = new PagesListener(PAGES);
        listener.refusePopulate = () -> listener.calls.size() == 2;
        RamSection all = new RamSection(0, SIZE);
        assertInstanceOf(Outcome.Refused.class, manager.register(listener, all));
        assertEquals(List.of("+0:1", "+2:1", "-2:1", "-0:1"), listener.takeCalls());
        assertTrue(populate(source, 4, 1).isDone());
        assertEquals(List.of(), listener.takeCalls());
        listener.refusePopulate = () -> false;
        assertTrue(manager.register(listener, all).isDone());
        assertArrayEquals(pages(0, 2, 4), listener.used);
        assertThrows(IllegalStateException.class, () -> manager.register(listener, all));
    }

    @Test
    void aListenerThatGoesUsesNothing() {
        PopulatedRanges source = added(PAGE);
        source.populate(0, PAGE);
        source.populate(2 * PAGE, PAGE);
        PagesListener listener = registered(0, PAGES);
        listener.takeCalls();
        assertTrue(manager.unregister(listener).isDone());
        assertEquals(List.of("-0:16"), listener.takeCalls());
        assertThrows(IllegalStateException.class, () -> manager.unregister(listener));
        assertTrue(populate(source, 4, 1).isDone());
        assertEquals(List.of(), listener.takeCalls());
    }

    @Test
    void aListenerThatDoesNotGoCanBeForgotten() {
        PopulatedRanges source = added(PAGE);
        source.populate(0, PAGE);
        PagesListener listener = registered(0, PAGES);
        PagesListener other = registered(0, PAGES);
        listener.refuseDiscard = () -> true;
        assertInstanceOf(Outcome.Refused.class, manager.unregister(listener));
        listener.takeCalls();
        other.takeCalls();
        assertThrows(AssertionError.class, () -> manager.forget(listener, () -> {
            assertThrows(IllegalStateException.class, manager::changeAlone, "nobody else is inside");
            throw new AssertionError("the end");
        }));
        assertTrue(populate(source, 4, 1).isDone());
        assertEquals(List.of(), listener.takeCalls());
        assertEquals(List.of("+4:1"), other.takeCalls());
        assertThrows(IllegalStateException.class, () -> manager.forget(listener, () -> {}));
    }

    @Test
    void aRefusedSourceIsNotAdded() {
        PopulatedRanges first = added(PAGE);
        first.populate(0, 4 * PAGE);
        PagesListener stubborn = registered(0, PAGES);
        PagesListener listener = registered(0, PAGES);
        stubborn.refuseDiscard = () -> true;
        PopulatedRanges second = source(PAGE);
        assertInstanceOf(Outcome.Refused.class, manager.addSource(second));
        assertArrayEquals(pages(0, 1, 2, 3), listener.used);
        assertTrue(manager.isPopulated(0, 4 * PAGE));
        assertThrows(IllegalStateException.class, () -> manager.removeSource(second));
    }

    @Test
    void aSourceThatMayNotGoStays() {
        PopulatedRanges first = added(PAGE);
        PagesListener listener = registered(0, PAGES);
        PagesListener stubborn = registered(0, PAGES);
        stubborn.refusePopulate = () -> true;
        assertInstanceOf(Outcome.Refused.class, manager.removeSource(first));
        assertArrayEquals(pages(), listener.used);
        assertFalse(manager.isPopulated(0, PAGE));
    }

    @Test
    void discardGoesInReverseOrderOfRegistration() {
        PopulatedRanges source = added(PAGE);
        List<String> order = new ArrayList<>();
        for (String name : List.of("a", "b")) {
            RamDiscardListener listener = new RamDiscardListener() {
                @Override
                public Outcome populate(long offset, long size) {
                    order.add(name + "+");
                    return Outcome.done();
                }

                @Override
                public Outcome discard(long offset, long size) {
                    order.add(name + "-");
                    return Outcome.done();
                }
            };
            assertTrue(manager.register(listener, new RamSection(0, SIZE)).isDone());
        }
        assertTrue(populate(source, 0, 1).isDone());
        assertTrue(discard(source, 0, 1).isDone());
        assertEquals(List.of("a+", "b+", "b-", "a-"), order);
    }
}
