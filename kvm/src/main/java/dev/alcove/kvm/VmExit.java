// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kvm;

import java.util.List;

/** Why KVM_RUN came back ({@code KVM_EXIT_*} with its data, as values that outlive the shared page). */
public sealed interface VmExit {

    /**
     * KVM_EXIT_IO: the data is in {@link KvmRun#ioData}.
     *
     * @param out whether the guest writes; else it waits for the data
     * @param size bytes of one access: 1, 2 or 4
     * @param count accesses to the same port, one after the other
     */
    record Io(boolean out, int port, int size, int count) implements VmExit {}

    /**
     * KVM_EXIT_MMIO.
     *
     * @param data the bytes that the guest writes, little-endian; 0 for a read
     * @param length 1 to 8 bytes
     */
    record Mmio(boolean write, long gpa, int length, long data) implements VmExit {}

    /** KVM_EXIT_HLT: the guest waits for an interrupt, with the local APIC here. */
    record Hlt() implements VmExit {}

    /**
     * KVM_EXIT_HYPERCALL: answered with {@link KvmRun#hypercallReturn} before the next run.
     *
     * @param nr one of {@code KVM_HC_*}
     */
    record Hypercall(long nr, long a0, long a1, long a2, long a3, long a4, long a5, boolean longMode)
            implements VmExit {}

    /**
     * KVM_EXIT_MEMORY_FAULT; KVM_RUN answered EFAULT or EHWPOISON.
     *
     * @param flags KVM_MEMORY_EXIT_FLAG_PRIVATE: the guest wants the range as private memory
     * @param size bytes
     */
    record MemoryFault(long flags, long gpa, long size) implements VmExit {
        /** Whether the guest touched the range as private memory. */
        public boolean isPrivate() {
            return (flags & dev.alcove.bindings.kvm.kvm.KVM_MEMORY_EXIT_FLAG_PRIVATE()) != 0;
        }
    }

    /** KVM_EXIT_SHUTDOWN: a triple fault. */
    record Shutdown() implements VmExit {}

    /** KVM_EXIT_FAIL_ENTRY: the hardware refused the guest's state. */
    record FailEntry(long hardwareReason, int cpu) implements VmExit {}

    /**
     * KVM_EXIT_INTERNAL_ERROR.
     *
     * @param suberror one of {@code KVM_INTERNAL_ERROR_*}; 1 is an instruction that KVM cannot emulate
     * @param data words whose meaning the suberror defines
     */
    @SuppressWarnings("JavaLangClash") // the kernel's word, always written as VmExit.InternalError
    record InternalError(int suberror, List<Long> data) implements VmExit {}

    /**
     * KVM_EXIT_SYSTEM_EVENT.
     *
     * @param type one of {@code KVM_SYSTEM_EVENT_*}
     * @param data the first word that came with it, or 0
     */
    record SystemEvent(int type, long data) implements VmExit {}

    /** KVM_EXIT_IRQ_WINDOW_OPEN: the guest takes interrupts again. */
    record IrqWindowOpen() implements VmExit {}

    /** KVM_EXIT_INTR: a signal; KVM_RUN answered EINTR. */
    record Interrupted() implements VmExit {}

    /** KVM_EXIT_DEBUG: a breakpoint or single step of KVM_SET_GUEST_DEBUG. */
    record Debug(int exception, long pc) implements VmExit {}

    /** KVM_EXIT_UNKNOWN, or a reason that has no record of its own. */
    record Unknown(int reason, long hardwareReason) implements VmExit {}
}
