// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.pci.nvme;

import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;

/**
 * Asynchronous events, and the commands that wait for them (NVM Express 1.4, 5.2). After an event no other of its type is
 * told until the host has read its log page. Guarded by the controller's lock.
 */
final class NvmeEvents {
    /** Commands that may wait. */
    static final int LIMIT = 4;

    static final int ERROR = 0;
    static final int HEALTH = 1;
    static final int NOTICE = 2;

    /** Of errors: a doorbell of no queue, and a value beyond the queue. */
    static final int INVALID_DOORBELL = 0;

    static final int INVALID_DOORBELL_VALUE = 1;

    /** Of health: the temperature has passed a threshold. */
    static final int TEMPERATURE = 1;

    private static final int MOST_QUEUED = 64;

    private record Event(int type, int information, int logPage) {
        int result() {
            return type | information << 8 | logPage << 16;
        }
    }

    /**
     * A command that is over because of an event.
     *
     * @param command its identifier
     */
    record Told(int command, int result) {}

    private final List<Integer> waiting = new ArrayList<>();
    private final ArrayDeque<Event> queued = new ArrayDeque<>();
    private int masked;

    /** A command that waits; false when there are too many. */
    boolean await(int command) {
        return waiting.size() < LIMIT && waiting.add(command);
    }

    boolean anybodyWaits() {
        return !waiting.isEmpty();
    }

    /** Takes a command that waits back. */
    boolean abort(int command) {
        return waiting.remove((Integer) command);
    }

    void add(int type, int information, int logPage) {
        if (queued.size() < MOST_QUEUED) {
            queued.add(new Event(type, information, logPage));
        }
    }

    /** The host has read the log page of a type: the next of the type is told. */
    void clear(int type) {
        masked &= ~(1 << type);
    }

    /** Whether there is an event that a command waits for. */
    boolean canTell() {
        return !waiting.isEmpty() && queued.stream().anyMatch(event -> (masked & 1 << event.type) == 0);
    }

    /** Events for which a command waits; they count as told. */
    List<Told> tell() {
        List<Told> told = new ArrayList<>();
        for (Iterator<Event> events = queued.iterator(); events.hasNext() && !waiting.isEmpty(); ) {
            Event event = events.next();
            if ((masked & 1 << event.type) == 0) {
                events.remove();
                masked |= 1 << event.type;
                told.add(new Told(waiting.removeLast(), event.result()));
            }
        }
        return told;
    }

    void reset() {
        waiting.clear();
        queued.clear();
        masked = 0;
    }
}
