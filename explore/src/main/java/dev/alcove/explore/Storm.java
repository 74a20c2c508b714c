// SPDX-License-Identifier: Apache-2.0
package dev.alcove.explore;

import dev.alcove.explore.schedule.Chooser;
import dev.alcove.explore.schedule.PriorityWalk;
import dev.alcove.explore.schedule.RandomWalk;
import dev.alcove.explore.schedule.Replay;
import dev.alcove.explore.schedule.Switch;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * One case: a machine, what its threads do, what fails, and who goes when.
 *
 * @param seed all of it is drawn from
 * @param strategy how devices' memory is mapped: cut or page
 * @param privateAtStart the pages that are private before anybody runs, a bit each
 * @param vcpus the guests' programs; vCPU n has program n
 * @param device what devices do
 * @param plug what comes and goes
 * @param fault what fails; null for nothing
 * @param switches the schedule; null for the one of the seed
 */
record Storm(
        long seed,
        Layout layout,
        String strategy,
        long privateAtStart,
        List<Program> vcpus,
        Program device,
        Program plug,
        @Nullable Fault fault,
        @Nullable List<Switch> switches) {
    /** A run has about so many steps for each operation. */
    private static final int STEPS_PER_OP = 8;

    /**
     * A failure.
     *
     * @param nth which one fails, from 1
     * @param inKernel an allocation of the kernel; else a system call of the conversions and mappings
     * @param operation the number of the operation in which it is counted; -1 for the whole run
     */
    record Fault(int nth, boolean inKernel, int operation) {
        String text() {
            return (inKernel ? "allocation " : "system call of a conversion, number ") + nth
                    + (operation < 0 ? " of the run" : " of operation " + operation) + ", fails";
        }
    }

    Storm {
        vcpus = List.copyOf(vcpus);
    }

    int ops() {
        return vcpus.stream().mapToInt(program -> program.ops().size()).sum()
                + device.ops().size()
                + plug.ops().size();
    }

    /** Odd seeds walk at random, with rare or frequent switches; even ones by priority, to depths of 1 to 5. */
    Chooser chooser() {
        if (switches != null) {
            return new Replay(switches);
        }
        long kind = seed >>> 1;
        return (seed & 1) != 0
                ? new RandomWalk(seed, 2 << ((int) (kind % 3) * 2))
                : new PriorityWalk(seed, vcpus.size() + 2, 1 + (int) (kind % 5), ops() * STEPS_PER_OP);
    }

    Storm withSwitches(List<Switch> schedule) {
        return new Storm(seed, layout, strategy, privateAtStart, vcpus, device, plug, fault, List.copyOf(schedule));
    }

    /** The same with another schedule, a random walk with frequent switches. */
    Storm withSchedule(int number) {
        // An odd seed whose half is a multiple of three, see chooser().
        long other = 6L * number + 1;
        return new Storm(other, layout, strategy, privateAtStart, vcpus, device, plug, fault, null);
    }

    Storm withPrograms(List<Program> fewerVcpus, Program fewerDma, Program fewerPlugs) {
        return new Storm(
                seed, layout, strategy, privateAtStart, fewerVcpus, fewerDma, fewerPlugs, fault, switches);
    }

    Storm withPrivateAtStart(long bits) {
        return new Storm(seed, layout, strategy, bits, vcpus, device, plug, fault, switches);
    }

    Storm withFault(@Nullable Fault other) {
        return new Storm(seed, layout, strategy, privateAtStart, vcpus, device, plug, other, switches);
    }
}
