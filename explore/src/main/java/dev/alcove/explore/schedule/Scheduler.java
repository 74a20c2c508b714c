// SPDX-License-Identifier: Apache-2.0
package dev.alcove.explore.schedule;

import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ThreadFactory;
import java.util.concurrent.TimeUnit;
import java.util.function.BooleanSupplier;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/**
 * Runs several threads so that exactly one goes at any time. A thread that comes to a step ({@link #step}) gives the
 * baton up; a {@link Chooser} says who gets it. Nothing else decides: no clock, no number of a thread, no hash.
 *
 * <p>A thread must not wait for another one but by {@link #until}. A wait that the scheduler does not know of stops the
 * whole run, which is noticed after a while and told with what each thread does.
 *
 * <p>There is no lock: all fields belong to whoever has the baton, and {@link Strand#pass} publishes them.
 */
public final class Scheduler {
    private static final long STUCK_SECONDS = 60;

    /** Looks at the state after a step, while everybody stands still. */
    @FunctionalInterface
    public interface Watcher {
        /** What is wrong; null when nothing is. */
        @Nullable Violation look();
    }

    private final Chooser chooser;
    private final Watcher watcher;
    private final int limit;
    private final boolean logging;
    private final List<Strand> strands = new ArrayList<>();
    private final List<Switch> switches = new ArrayList<>();
    private final List<StringBuilder> lines = new ArrayList<>();
    private final CountDownLatch over = new CountDownLatch(1);
    private int steps;
    private int changes;
    private long print = 1;
    private boolean stopping;
    private volatile @Nullable Violation violation;

    /**
     * @param watcher called after each step
     * @param limit steps after which the run goes round in circles, as far as anybody can tell
     * @param logging whether lines for a person are kept
     */
    public Scheduler(Chooser chooser, Watcher watcher, int limit, boolean logging) {
        this.chooser = chooser;
        this.watcher = watcher;
        this.limit = limit;
        this.logging = logging;
    }

    /** Adds a strand; before {@link #run}. */
    public Strand strand(String name) {
        Strand strand = new Strand(strands.size(), name);
        strands.add(strand);
        return strand;
    }

    /** Leaves a strand out that has nothing to do; it needs no thread. */
    public void leaveOut(Strand strand) {
        strand.end();
    }

    /** Makes the thread of a strand; nothing happens before {@link #run}, whoever starts it. */
    public ThreadFactory threads(Strand strand) {
        return body -> {
            Thread thread = Thread.ofVirtual().name(strand.name()).unstarted(() -> live(strand, body));
            strand.bind(thread);
            return thread;
        };
    }

    /**
     * Runs all strands to their end, or to the first violation. Once only.
     *
     * @return the violation, or null
     */
    public @Nullable Violation run() throws InterruptedException {
        if (strands.stream().anyMatch(strand -> !strand.done())) {
            strands.forEach(Strand::start);
            Objects.requireNonNull(choose(strands.getFirst())).pass();
            if (!over.await(STUCK_SECONDS, TimeUnit.SECONDS)) {
                throw new IllegalStateException("a thread waits for something that the scheduler does not know: " + stacks());
            }
        }
        return violation;
    }

    /** The strand of the calling thread; null for one that is not scheduled. */
    public @Nullable Strand current() {
        Thread thread = Thread.currentThread();
        for (Strand strand : strands) {
            if (strand.isThis(thread)) {
                return strand;
            }
        }
        return null;
    }

    /**
     * A place at which another strand may go on. Without effect on a thread that is not scheduled.
     *
     * @param what is done next, for the log
     */
    public void step(Supplier<String> what) {
        Strand me = current();
        if (me == null) {
            return;
        }
        arrive(me);
        Strand next = choose(me);
        if (next != me && next != null) {
            next.pass();
            me.await();
            goOn();
        }
        taken(me);
        log(me, what);
    }

    /** Waits; the condition is asked at any time, by any strand. On a thread that is not scheduled it must hold. */
    public void until(BooleanSupplier condition, String what) {
        Strand me = current();
        if (me == null) {
            if (!condition.getAsBoolean()) {
                throw new IllegalStateException("nobody else runs, and still there is a wait for " + what);
            }
            return;
        }
        arrive(me);
        taken(me);
        log(me, () -> "waits for " + what);
        me.waitFor(condition, what);
        Strand next = choose(me);
        if (next == null) {
            violate(deadlock());
            throw new Stopped();
        }
        if (next != me) {
            next.pass();
            me.await();
            goOn();
        }
        me.waitsNoMore();
        taken(me);
        log(me, () -> "goes on: has " + what);
    }

    /** Adds a line to the log that is no step. */
    public void note(Supplier<String> what) {
        Strand me = logging ? current() : null;
        if (me != null && !stopping) {
            StringBuilder line = me.line;
            log(me, what);
            me.line = line;
        }
    }

    /** Adds to the line of the calling strand's last step how it ended. */
    public void answer(Supplier<String> what) {
        Strand me = logging ? current() : null;
        StringBuilder line = me == null ? null : me.line;
        if (line != null && !stopping) {
            line.append(what.get());
        }
    }

    /** Ends the run; the calling strand unwinds. Without effect when it is over. */
    public void fail(Violation found) {
        if (!stopping) {
            violate(found);
            if (current() != null) {
                throw new Stopped();
            }
        }
    }

    /** The choices of the run that were not {@link Chooser#unforced}. */
    public List<Switch> switches() {
        return List.copyOf(switches);
    }

    /** The log, a line for each step. */
    public List<String> log() {
        return lines.stream().map(StringBuilder::toString).toList();
    }

    /** How many steps there were. */
    public int steps() {
        return steps;
    }

    /** How often the baton changed hands. */
    public int contextSwitches() {
        return changes;
    }

    /** A number that tells two interleavings apart. */
    public long fingerprint() {
        return print;
    }

    private void live(Strand me, Runnable body) {
        me.await();
        try {
            if (!stopping) {
                body.run();
                look();
            }
        } catch (Stopped _) {
            // the violation is known
        } catch (RuntimeException | Error unforeseen) {
            violate(new Violation("a thread has died", me.name() + ": " + unforeseen));
        } finally {
            end(me);
        }
    }

    private void end(Strand me) {
        me.end();
        Strand next = stopping ? null : choose(me);
        if (next == null) {
            if (!stopping && strands.stream().anyMatch(strand -> !strand.done())) {
                violate(deadlock());
            }
            next = strands.stream().filter(strand -> !strand.done()).findFirst().orElse(null);
        }
        if (next == null) {
            over.countDown();
        } else {
            next.pass();
        }
    }

    /** Whoever comes back to a run that is over has nothing more to do in it. */
    private void goOn() {
        if (stopping) {
            throw new Stopped();
        }
    }

    private void arrive(Strand me) {
        goOn();
        me.stepped();
        look();
        goOn();
        if (steps > limit) {
            violate(new Violation("livelock", "no end after " + limit + " steps: " + waits()));
            throw new Stopped();
        }
    }

    private void taken(Strand me) {
        steps++;
        print = print * 31 + me.index();
    }

    private void look() {
        Violation found = watcher.look();
        if (found != null) {
            violate(found);
        }
    }

    private void violate(Violation found) {
        if (!stopping) {
            violation = found;
            stopping = true;
        }
    }

    private @Nullable Strand choose(Strand me) {
        List<Strand> enabled = new ArrayList<>(strands.size());
        for (Strand strand : strands) {
            if (strand.enabled()) {
                enabled.add(strand);
            }
        }
        if (enabled.isEmpty()) {
            return null;
        }
        Strand next = chooser.choose(me, enabled);
        if (next != Chooser.unforced(me, enabled)) {
            switches.add(new Switch(me.index(), me.operation(), me.count(), next.index()));
        }
        if (next != me) {
            changes++;
        }
        return next;
    }

    private Violation deadlock() {
        return new Violation("deadlock", waits());
    }

    private String waits() {
        List<String> all = new ArrayList<>();
        for (Strand strand : strands) {
            if (!strand.done()) {
                all.add(strand.name() + (strand.enabled() ? " runs" : " waits for " + strand.waitingFor()));
            }
        }
        return String.join(", ", all);
    }

    private void log(Strand me, Supplier<String> what) {
        if (logging) {
            StringBuilder line = new StringBuilder("%5d  %-8s ".formatted(steps, me.name())).append(what.get());
            me.line = line;
            lines.add(line);
        }
    }

    private String stacks() {
        StringBuilder text = new StringBuilder();
        for (Strand strand : strands) {
            Thread thread = strand.thread();
            if (thread != null && !strand.done()) {
                text.append(System.lineSeparator()).append(strand.name());
                for (StackTraceElement frame : thread.getStackTrace()) {
                    text.append(System.lineSeparator()).append("    at ").append(frame);
                }
            }
        }
        return text.toString();
    }
}
