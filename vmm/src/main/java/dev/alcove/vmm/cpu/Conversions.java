// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vmm.cpu;

import dev.alcove.discard.Outcome;

/** Who carries out the conversions that a guest asks for. Called by any vCPU thread, with whatever the guest gave. */
public interface Conversions {
    /**
     * KVM_HC_MAP_GPA_RANGE.
     *
     * @return refused: nothing has changed, and the guest gets the errno; unsafe: the VM must stop
     */
    Outcome hypercall(long gpa, long pages, long attributes);

    /**
     * KVM_EXIT_MEMORY_FAULT.
     *
     * @return done: the guest goes on; anything else: the VM must stop
     */
    Outcome memoryFault(long flags, long gpa, long size);

    /** Whether memory that has become private is to be made present at once (KVM_PRE_FAULT_MEMORY). */
    default boolean prefault() {
        return false;
    }
}
