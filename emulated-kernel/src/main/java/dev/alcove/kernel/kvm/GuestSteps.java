// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.kvm;

/**
 * Is told where a vCPU can be overtaken by somebody else, so that a scheduler of its own decides who goes on: a call
 * may take as long as it likes. Called on the thread that is in KVM_RUN, outside guest mode and with no lock held but
 * the vCPU's mutex.
 */
public interface GuestSteps {
    /**
     * The vCPU is about to execute an instruction: the first one of each KVM_RUN, and each that follows a jump.
     *
     * @param vcpu its id
     * @param rip its instruction pointer
     */
    void instruction(int vcpu, long rip);

    /**
     * The vCPU has looked up the frame of a page, and has not used it yet.
     *
     * @param vcpu its id
     * @param gpa guest physical address
     * @param write whether it is about to write
     */
    void lookedUp(int vcpu, long gpa, boolean write);
}
