// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.kvm;

import dev.alcove.cpu.CpuState;

/** Guest hypercalls by {@code vmcall} and {@code vmmcall}: number in RAX, arguments in RBX, RCX, RDX. */
final class Hypercalls {
    static final long VAPIC_POLL_IRQ = 1;
    static final long MAP_GPA_RANGE = 12;

    private static final long KVM_EPERM = 1;
    private static final long KVM_EINVAL = 22;
    private static final long KVM_ENOSYS = 1000;

    private Hypercalls() {}

    /** Whether the guest is in 64-bit mode: otherwise only 32 bits of registers count. */
    static boolean longMode(CpuState s) {
        return (s.efer & 1 << 10) != 0 && s.segment[CpuState.CS].l;
    }

    /**
     * Serves a hypercall: writes the result to RAX, or prepares an exit to user space.
     *
     * @param vm which knows the hypercalls that leave to user space (KVM_CAP_EXIT_HYPERCALL)
     * @return whether user space has to answer
     */
    static boolean serve(CpuState s, Vm vm, RunPage run) {
        boolean longMode = longMode(s);
        long mask = longMode ? -1L : 0xffffffffL;
        long number = s.gpr[0] & mask;
        long gpa = s.gpr[3] & mask;
        long pages = s.gpr[1] & mask;
        long attributes = s.gpr[2] & mask;
        long result = -KVM_ENOSYS;
        if (s.segment[CpuState.SS].dpl != 0) {
            result = -KVM_EPERM;
        } else if (number == VAPIC_POLL_IRQ) {
            result = 0;
        } else if (number == MAP_GPA_RANGE && (vm.hypercallExits() & 1 << MAP_GPA_RANGE) != 0) {
            long gfn = gpa >>> 12;
            if ((gpa & 4095) == 0 && pages != 0 && Long.compareUnsigned(gfn + pages, gfn) > 0) {
                run.mapGpaRange(gpa, pages, attributes, longMode, vm.profile().atLeast(6, 13));
                return true;
            }
            result = -KVM_EINVAL;
        }
        finish(s, result);
        return false;
    }

    /** Gives the guest its result. */
    static void finish(CpuState s, long result) {
        s.gpr[0] = longMode(s) ? result : result & 0xffffffffL;
    }
}
