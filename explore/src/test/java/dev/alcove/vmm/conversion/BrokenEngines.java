// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vmm.conversion;

import dev.alcove.discard.Waiting;
import dev.alcove.kvm.Vm;
import dev.alcove.memory.GuestMemory;

/** An engine that does its steps in an order that a VMM has had. */
public final class BrokenEngines {
    private BrokenEngines() {}

    /** Devices get a page before it has become shared. */
    public static ConversionEngine mapFirst(Vm vm, GuestMemory memory, Waiting waiting) {
        Step[] wrong = {Step.POPULATE, Step.ATTRIBUTES, Step.STATE};
        return new ConversionEngine(
                vm,
                memory,
                waiting,
                ConversionPolicy.DEFAULT,
                _ -> {},
                toPrivate -> toPrivate ? Step.order(true) : wrong);
    }
}
