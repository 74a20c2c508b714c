// SPDX-License-Identifier: Apache-2.0
package dev.alcove.explore;

import dev.alcove.discard.Waiting;
import dev.alcove.kernel.EmulatedKernel;
import dev.alcove.kvm.Vm;
import dev.alcove.memory.GuestMemory;
import dev.alcove.sys.Syscalls;
import dev.alcove.vmm.conversion.ConversionEngine;

/** What a machine is made of: Alcove's own parts. Tests put a broken one among them. */
interface Parts {
    Parts OWN = new Parts() {};

    /** The engine of a machine. */
    default ConversionEngine engine(Vm vm, GuestMemory memory, Waiting waiting) {
        return new ConversionEngine(vm, memory, waiting);
    }

    /** What the machine makes its system calls on. */
    default Syscalls syscalls(Syscalls stepped) {
        return stepped;
    }

    /** The kernel, before anything is open. */
    default void prepare(EmulatedKernel kernel) {}
}
