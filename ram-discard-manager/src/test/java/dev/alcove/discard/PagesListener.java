// SPDX-License-Identifier: Apache-2.0
package dev.alcove.discard;

import java.util.ArrayList;
import java.util.List;
import java.util.function.BooleanSupplier;

/** A listener that keeps what it uses as one boolean for each page, and refuses when it is told to. */
final class PagesListener implements RamDiscardListener {
    static final long PAGE = 4096;

    final boolean[] used;
    final List<String> calls = new ArrayList<>();
    BooleanSupplier refusePopulate = () -> false;
    BooleanSupplier refuseDiscard = () -> false;

    PagesListener(int pages) {
        used = new boolean[pages];
    }

    @Override
    public Outcome populate(long offset, long size) {
        calls.add("+" + offset / PAGE + ":" + size / PAGE);
        if (refusePopulate.getAsBoolean()) {
            return new Outcome.Refused(12, "no room");
        }
        for (long page = offset / PAGE; page < (offset + size) / PAGE; page++) {
            if (used[(int) page]) {
                return new Outcome.Unsafe("page " + page + " is populated twice");
            }
            used[(int) page] = true;
        }
        return Outcome.done();
    }

    @Override
    public Outcome discard(long offset, long size) {
        calls.add("-" + offset / PAGE + ":" + size / PAGE);
        if (refuseDiscard.getAsBoolean()) {
            return new Outcome.Refused(16, "busy");
        }
        for (long page = offset / PAGE; page < (offset + size) / PAGE; page++) {
            used[(int) page] = false;
        }
        return Outcome.done();
    }

    /** What was called since the last question. */
    List<String> takeCalls() {
        List<String> taken = List.copyOf(calls);
        calls.clear();
        return taken;
    }
}
