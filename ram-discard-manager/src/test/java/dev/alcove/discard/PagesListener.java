// SPDX-License-Identifier: Apache-2.0
package dev.alcove.discard;

import java.util.ArrayList;
import java.util.List;
import java.util.function.BooleanSupplier;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/** A listener that keeps what it uses as one boolean for each page, and refuses or throws when it is told to. */
final class PagesListener implements RamDiscardListener {
    static final long PAGE = 4096;

    final boolean[] used;
    final List<String> calls = new ArrayList<>();
    BooleanSupplier refusePopulate = () -> false;
    BooleanSupplier refuseDiscard = () -> false;
    /** Thrown in the middle of a call, when there is something. */
    Supplier<@Nullable Throwable> thrown = () -> null;

    PagesListener(int pages) {
        used = new boolean[pages];
    }

    @Override
    public Outcome populate(long offset, long size) {
        calls.add("+" + offset / PAGE + ":" + size / PAGE);
        if (refusePopulate.getAsBoolean()) {
            return new Outcome.Refused(12, "no room");
        }
        Throwable half = thrown.get();
        for (long page = offset / PAGE; page < (offset + size) / PAGE; page++) {
            throwAt(half, page == (offset + size / 2) / PAGE);
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
        Throwable half = thrown.get();
        for (long page = offset / PAGE; page < (offset + size) / PAGE; page++) {
            throwAt(half, page == (offset + size / 2) / PAGE);
            used[(int) page] = false;
        }
        return Outcome.done();
    }

    private static void throwAt(@Nullable Throwable half, boolean here) {
        if (here && half != null) {
            sneak(half);
        }
    }

    /** Throws what no signature allows. */
    @SuppressWarnings("unchecked")
    private static <T extends Throwable> void sneak(Throwable thrown) throws T {
        throw (T) thrown;
    }

    /** What was called since the last question. */
    List<String> takeCalls() {
        List<String> taken = List.copyOf(calls);
        calls.clear();
        return taken;
    }
}
