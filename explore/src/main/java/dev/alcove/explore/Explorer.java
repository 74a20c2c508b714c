// SPDX-License-Identifier: Apache-2.0
package dev.alcove.explore;

import dev.alcove.explore.schedule.Violation;
import dev.alcove.kernel.KernelProfile;
import java.util.Optional;
import java.util.function.Function;

/**
 * Runs cases of the storm, one for each seed, and shrinks the first that goes wrong. One thread calls; the same seeds
 * give the same answers, always.
 */
public final class Explorer {
    private final KernelProfile profile;
    private final int cpus;
    private final boolean failing;
    private final Parts parts;
    private long cases;
    private long steps;
    private long contextSwitches;
    private long failures;

    /**
     * An explorer of Alcove as it is.
     *
     * @param profile the release that the emulated kernel is
     * @param cpus vCPUs of each machine; 0 for 2 to 4, by the seed
     * @param failing whether in each case one allocation of the kernel, or one system call, fails
     */
    public Explorer(KernelProfile profile, int cpus, boolean failing) {
        this(profile, cpus, failing, Parts.OWN);
    }

    Explorer(KernelProfile profile, int cpus, boolean failing, Parts parts) {
        this.profile = profile;
        this.cpus = cpus;
        this.failing = failing;
        this.parts = parts;
    }

    /** Runs the case of a seed; empty when all is well. */
    public Optional<Finding> explore(long seed) {
        Storm storm = Draw.storm(seed, cpus, failing);
        Ending ending = StormRun.run(storm, profile, parts, false);
        cases++;
        steps += ending.steps();
        contextSwitches += ending.contextSwitches();
        failures += ending.struck() == null ? 0 : 1;
        Violation violation = ending.violation();
        return violation == null ? Optional.empty() : Optional.of(shrink(storm, ending, violation));
    }

    private Finding shrink(Storm storm, Ending ending, Violation violation) {
        Function<Storm, Ending> runner = each -> StormRun.run(each, profile, parts, false);
        Shrinking.Shrunk shrunk = Shrinking.shrink(runner, storm, ending, violation);
        Storm smallest = shrunk.storm();
        Ending last = StormRun.run(smallest, profile, parts, true);
        Violation shown = last.violation() == null ? violation : last.violation();
        return new Finding(
                storm.seed(),
                shown.kind(),
                shown.detail(),
                machine(smallest),
                last.log(),
                smallest.ops(),
                last.contextSwitches(),
                storm.ops(),
                ending.contextSwitches(),
                shrunk.runs());
    }

    private String machine(Storm storm) {
        Storm.Fault fault = storm.fault();
        return storm.vcpus().size() + " vCPUs, " + storm.layout().pages() + " pages, mapped by " + storm.strategy()
                + ", Linux " + profile.release()
                + (storm.privateAtStart() == 0
                        ? ", all shared at the start"
                        : ", private at the start: gpa " + Layout.text(storm.privateAtStart()))
                + (fault == null ? "" : "; " + fault.text());
    }

    /** Cases that were run, without those that shrinking took. */
    public long cases() {
        return cases;
    }

    /** Their steps. */
    public long steps() {
        return steps;
    }

    /** How often in them another thread went on. */
    public long contextSwitches() {
        return contextSwitches;
    }

    /** In how many of them something failed that was to fail. */
    public long failures() {
        return failures;
    }
}
