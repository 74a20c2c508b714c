// SPDX-License-Identifier: Apache-2.0
package dev.alcove.explore;

import dev.alcove.discard.Outcome;
import dev.alcove.explore.schedule.Scheduler;
import dev.alcove.explore.schedule.Strand;
import dev.alcove.explore.schedule.Violation;
import dev.alcove.vmm.conversion.ConversionEngine;
import dev.alcove.vmm.cpu.Conversions;
import java.util.Objects;
import java.util.function.Supplier;

/** The engine's conversions, with the ledger told of each. Belongs to whoever has the baton. */
final class Watched implements Conversions {
    private final ConversionEngine engine;
    private final Scheduler scheduler;
    private final Ledger ledger;
    private final Layout layout;
    /** What the engine answered a strand last, as the guest is to get it. */
    private final long[] answers;

    Watched(ConversionEngine engine, Scheduler scheduler, Ledger ledger, Storm storm, int strands) {
        this.engine = engine;
        this.scheduler = scheduler;
        this.ledger = ledger;
        this.layout = storm.layout();
        this.answers = new long[strands];
    }

    long lastAnswer(Strand strand) {
        return answers[strand.index()];
    }

    @Override
    public Outcome hypercall(long gpa, long pages, long attributes) {
        boolean toPrivate = (attributes & 1 << 4) != 0;
        Outcome outcome = watch(gpa, pages * Layout.PAGE, toPrivate, () -> engine.hypercall(gpa, pages, attributes));
        answers[strand().index()] = ConversionEngine.hypercallReturn(outcome);
        return outcome;
    }

    @Override
    public Outcome memoryFault(long flags, long gpa, long size) {
        return watch(gpa, size, flags != 0, () -> engine.memoryFault(flags, gpa, size));
    }

    private Outcome watch(long gpa, long size, boolean toPrivate, Supplier<Outcome> conversion) {
        Strand strand = strand();
        int begin = scheduler.steps();
        ledger.begin(strand.index(), layout.bits(gpa, size), toPrivate, begin);
        Outcome outcome = conversion.get();
        ledger.end(strand.index(), strand.name(), outcome.isDone(), scheduler.steps());
        scheduler.note(() -> "the engine: " + outcome);
        // One thing fails at most: whatever it is, the engine can take back what it has done.
        if (outcome instanceof Outcome.Unsafe unsafe) {
            scheduler.fail(new Violation("the engine gives the machine up", unsafe.reason()));
        }
        return outcome;
    }

    private Strand strand() {
        return Objects.requireNonNull(scheduler.current());
    }
}
