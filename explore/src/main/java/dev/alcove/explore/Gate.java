// SPDX-License-Identifier: Apache-2.0
package dev.alcove.explore;

import dev.alcove.explore.schedule.Scheduler;

/**
 * Stands in front of the discard managers' read/write locks, so that a thread that would wait for one of them waits
 * where the scheduler sees it: conversions go in together, who registers or unregisters a listener goes in alone.
 * Belongs to whoever has the baton.
 */
final class Gate {
    private final Scheduler scheduler;
    private int converting;
    private boolean alone;

    Gate(Scheduler scheduler) {
        this.scheduler = scheduler;
    }

    void enter() {
        if (alone) {
            scheduler.until(() -> !alone, "the discard manager, for reading");
        }
        converting++;
    }

    void leave() {
        converting--;
    }

    void alone(String what, Runnable action) {
        if (alone || converting > 0) {
            scheduler.until(() -> !alone && converting == 0, "the discard manager, for writing");
        }
        scheduler.note(() -> what);
        alone = true;
        try {
            action.run();
        } finally {
            alone = false;
        }
    }
}
