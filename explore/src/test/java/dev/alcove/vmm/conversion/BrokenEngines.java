// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vmm.conversion;

import dev.alcove.discard.PopulatedRanges;
import dev.alcove.kvm.Vm;
import dev.alcove.memory.GuestMemory;
import dev.alcove.vmm.conversion.ConversionPlanner.Block;
import dev.alcove.vmm.conversion.ConversionPlanner.Plan;
import java.util.ArrayList;
import java.util.List;

/** Engines whose planner makes a mistake that a VMM has made. */
public final class BrokenEngines {
    private BrokenEngines() {}

    /** The state changes before listeners are told, and stays so where one of them refuses. */
    public static ConversionEngine stateFirst(Vm vm, GuestMemory memory, Waiting waiting) {
        return new ConversionEngine(vm, memory, waiting, (blocks, request) -> {
            Plan plan = ConversionPlanner.plan(blocks, request);
            if (!(plan instanceof Plan.Steps(List<Step> steps, long bytes))) {
                return plan;
            }
            List<Step> rest = new ArrayList<>();
            for (Step step : steps) {
                if (step instanceof Step.State(Extent extent, boolean toPrivate)) {
                    change(blocks, extent, toPrivate);
                } else {
                    rest.add(step);
                }
            }
            return new Plan.Steps(rest, bytes);
        });
    }

    private static void change(List<Block> blocks, Extent extent, boolean toPrivate) {
        PopulatedRanges state = (PopulatedRanges) blocks.get(extent.block()).state();
        if (state == null) {
            throw new IllegalStateException("no state");
        } else if (toPrivate) {
            state.discard(extent.offset(), extent.size());
        } else {
            state.populate(extent.offset(), extent.size());
        }
    }

    /** Devices get a page before it has become shared. */
    public static ConversionEngine mapFirst(Vm vm, GuestMemory memory, Waiting waiting) {
        return new ConversionEngine(vm, memory, waiting, (blocks, request) -> {
            Plan plan = ConversionPlanner.plan(blocks, request);
            if (request.toPrivate() || !(plan instanceof Plan.Steps(List<Step> steps, long bytes))) {
                return plan;
            }
            List<Step> order = new ArrayList<>();
            steps.stream().filter(Step.Populate.class::isInstance).forEach(order::add);
            steps.stream().filter(step -> !(step instanceof Step.Populate)).forEach(order::add);
            return new Plan.Steps(order, bytes);
        });
    }
}
