// SPDX-License-Identifier: Apache-2.0
package dev.alcove.discard;

import dev.alcove.discard.VirtioMem.Response;
import dev.alcove.discard.VirtioMem.State;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;

import static dev.alcove.discard.PagesListener.PAGE;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

class VirtioMemTest {
    private static final long BLOCK = 2 << 20;
    private static final long SIZE = 1 << 30;
    private static final int PAGES = (int) (SIZE / PAGE);
    private static final int BLOCK_PAGES = (int) (BLOCK / PAGE);

    private final RamDiscardManager manager = new RamDiscardManager(SIZE);
    private final List<String> released = new ArrayList<>();
    private final VirtioMem memory =
            new VirtioMem(manager, BLOCK, (offset, size) -> released.add(offset / BLOCK + ":" + size / BLOCK));
    private final PagesListener listener = new PagesListener(PAGES);

    VirtioMemTest() {
        assertTrue(manager.register(listener, new RamSection(0, SIZE)).isDone());
        assertTrue(manager.addSource(memory).isDone());
        assertEquals(List.of("+0:" + PAGES, "-0:" + PAGES), listener.takeCalls());
    }

    @Test
    void theGuestPlugsWhatIsRequested() {
        assertEquals(Response.NACK, memory.plug(0, 1));
        memory.request(4 * BLOCK);
        assertEquals(Response.ACK, memory.plug(BLOCK, 3));
        assertEquals(List.of("+512:1536"), listener.takeCalls());
        assertEquals(Response.NACK, memory.plug(4 * BLOCK, 2));
        assertEquals(Response.ACK, memory.plug(4 * BLOCK, 1));
        assertEquals(4 * BLOCK, memory.pluggedSize());
        assertTrue(manager.isPopulated(BLOCK, 4 * BLOCK));
        assertFalse(manager.isPopulated(0, BLOCK));
        assertEquals(BLOCK, manager.granularity());
    }

    @Test
    void plugAndUnplugAskForTheOppositeState() {
        memory.request(8 * BLOCK);
        assertEquals(Response.ACK, memory.plug(0, 2));
        listener.takeCalls();
        assertEquals(Response.ERROR, memory.plug(BLOCK, 2));
        assertEquals(Response.ERROR, memory.unplug(BLOCK, 2));
        assertEquals(Response.ERROR, memory.unplug(4 * BLOCK, 1));
        assertEquals(List.of(), listener.takeCalls());
        assertEquals(Response.ACK, memory.unplug(BLOCK, 1));
        assertEquals(List.of("-512:512"), listener.takeCalls());
        assertEquals(List.of("1:1"), released);
    }

    @Test
    void hostileNumbersAreErrors() {
        memory.request(SIZE);
        for (long offset : new long[] {-1, -BLOCK, Long.MIN_VALUE, 1, BLOCK - 1, SIZE, Long.MAX_VALUE & -BLOCK}) {
            assertEquals(Response.ERROR, memory.plug(offset, 1), "plug at " + offset);
            assertEquals(Response.ERROR, memory.unplug(offset, 1), "unplug at " + offset);
            assertEquals(Optional.empty(), memory.state(offset, 1), "state at " + offset);
        }
        for (int blocks : new int[] {0, -1, Integer.MIN_VALUE, Integer.MAX_VALUE, (int) (SIZE / BLOCK) + 1}) {
            assertEquals(Response.ERROR, memory.plug(0, blocks), "plug of " + blocks);
            assertEquals(Optional.empty(), memory.state(0, blocks), "state of " + blocks);
        }
        assertEquals(0, memory.pluggedSize());
    }

    @Test
    void theUsablePartGrowsWithTheRequestAndShrinksWithUnplugAll() {
        long extent = 256 << 20;
        assertEquals(extent, memory.usableSize());
        memory.request(2 * BLOCK);
        assertEquals(extent + 2 * BLOCK, memory.usableSize());
        assertEquals(Response.ACK, memory.plug(extent + BLOCK, 1));
        assertEquals(Response.ERROR, memory.plug(extent + 2 * BLOCK, 1));
        memory.request(0);
        assertEquals(extent + 2 * BLOCK, memory.usableSize());
        assertEquals(Response.ACK, memory.unplugAll());
        assertEquals(extent, memory.usableSize());
        memory.request(SIZE);
        assertEquals(SIZE, memory.usableSize());
        assertThrows(IllegalArgumentException.class, () -> memory.request(SIZE + BLOCK));
        assertThrows(IllegalArgumentException.class, () -> memory.request(BLOCK + 4096));
        assertThrows(IllegalArgumentException.class, () -> memory.request(-BLOCK));
    }

    @Test
    void statesAreTold() {
        memory.request(4 * BLOCK);
        assertEquals(Response.ACK, memory.plug(BLOCK, 2));
        assertEquals(Optional.of(State.UNPLUGGED), memory.state(3 * BLOCK, 4));
        assertEquals(Optional.of(State.PLUGGED), memory.state(BLOCK, 2));
        assertEquals(Optional.of(State.MIXED), memory.state(0, 2));
    }

    @Test
    void aListenerThatRefusesMakesItBusy() {
        memory.request(4 * BLOCK);
        listener.refusePopulate = () -> true;
        assertEquals(Response.BUSY, memory.plug(0, 1));
        assertEquals(0, memory.pluggedSize());
        listener.refusePopulate = () -> false;
        assertEquals(Response.ACK, memory.plug(0, 1));
        listener.refuseDiscard = () -> true;
        assertEquals(Response.BUSY, memory.unplug(0, 1));
        assertEquals(BLOCK, memory.pluggedSize());
        assertEquals(List.of(), released);
        assertTrue(listener.used[0]);
    }

    @Test
    void unplugAllIsAllOrNothing() {
        memory.request(8 * BLOCK);
        assertEquals(Response.ACK, memory.plug(0, 1));
        assertEquals(Response.ACK, memory.plug(2 * BLOCK, 1));
        assertEquals(Response.ACK, memory.plug(4 * BLOCK, 1));
        listener.takeCalls();
        listener.refuseDiscard = () -> listener.calls.size() == 2;
        assertEquals(Response.BUSY, memory.unplugAll());
        assertEquals(List.of("-0:512", "-1024:512", "+0:512"), listener.takeCalls());
        assertEquals(3 * BLOCK, memory.pluggedSize());
        listener.refuseDiscard = () -> false;
        assertEquals(Response.ACK, memory.unplugAll());
        assertEquals(List.of("0:1", "2:1", "4:1"), released);
    }

    @Test
    void afterSomethingUnsafeNothingWorks() {
        memory.request(4 * BLOCK);
        listener.refusePopulate = () -> true;
        listener.refuseDiscard = () -> true;
        assertEquals(Response.ERROR, memory.plug(0, 1));
        assertTrue(memory.unsafe().isPresent());
        listener.refusePopulate = () -> false;
        listener.refuseDiscard = () -> false;
        assertEquals(Response.ERROR, memory.plug(0, 1));
        assertEquals(Response.ERROR, memory.unplugAll());
    }

    @Test
    void devicesGetWhatIsPluggedAndShared() {
        PopulatedRanges shared = new PopulatedRanges(SIZE, PAGE, false);
        assertTrue(manager.addSource(shared).isDone());
        assertEquals(PAGE, manager.granularity());
        assertTrue(manager.notifyPopulate(shared, 10 * PAGE, 4 * PAGE).isDone());
        shared.populate(10 * PAGE, 4 * PAGE);
        assertTrue(manager.notifyPopulate(shared, (BLOCK_PAGES - 1) * PAGE, 2 * PAGE).isDone());
        shared.populate((BLOCK_PAGES - 1) * PAGE, 2 * PAGE);
        assertEquals(List.of(), listener.takeCalls());
        memory.request(4 * BLOCK);
        assertEquals(Response.ACK, memory.plug(0, 1));
        assertEquals(List.of("+10:4", "+511:1"), listener.takeCalls());
        assertEquals(Response.ACK, memory.plug(BLOCK, 2));
        assertEquals(List.of("+512:1"), listener.takeCalls());
        assertEquals(Response.ACK, memory.unplug(0, 1));
        assertEquals(List.of("-10:4", "-511:1"), listener.takeCalls());
        assertFalse(manager.isPopulated(10 * PAGE, PAGE));
        assertTrue(shared.isPopulated(10 * PAGE, PAGE));
    }
}
