// SPDX-License-Identifier: Apache-2.0
package dev.alcove.sys.trace;

import dev.alcove.bindings.kvm.kvm_run;
import java.lang.foreign.GroupLayout;
import java.lang.foreign.MemoryLayout;
import java.lang.foreign.MemorySegment;
import java.util.LinkedHashMap;
import java.util.Map;
import org.jspecify.annotations.Nullable;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;

/** What KVM_RUN leaves in {@code struct kvm_run}: the reason of an exit, and the member of the union that it fills. */
final class RunExit {
    private static final int IO = 2;
    private static final int MMIO = 6;
    private static final int HYPERCALL = 3;

    private enum Reason {
        UNKNOWN(0, "hw"),
        EXCEPTION(1, "ex"),
        IO(2, "io"),
        HYPERCALL(3, "hypercall"),
        DEBUG(4, "debug"),
        HLT(5, null),
        MMIO(6, "mmio"),
        IRQ_WINDOW_OPEN(7, null),
        SHUTDOWN(8, null),
        FAIL_ENTRY(9, "fail_entry"),
        INTR(10, null),
        SET_TPR(11, null),
        TPR_ACCESS(12, "tpr_access"),
        NMI(16, null),
        INTERNAL_ERROR(17, "emulation_failure"),
        SYSTEM_EVENT(24, "system_event"),
        IOAPIC_EOI(26, "eoi"),
        HYPERV(27, "hyperv"),
        X86_RDMSR(29, "msr"),
        X86_WRMSR(30, "msr"),
        DIRTY_RING_FULL(31, null),
        X86_BUS_LOCK(33, null),
        XEN(34, "xen"),
        NOTIFY(37, "notify"),
        MEMORY_FAULT(39, "memory_fault"),
        TDX(40, "tdx"),
        SNP_REQ_CERTS(43, "snp_req_certs");

        private final int number;
        private final @Nullable String member;

        Reason(int number, @Nullable String member) {
            this.number = number;
            this.member = member;
        }

        static @Nullable Reason of(int number) {
            for (Reason reason : values()) {
                if (reason.number == number) {
                    return reason;
                }
            }
            return null;
        }
    }

    private static final Map<String, GroupLayout> MEMBERS = members();

    /** Where the members of the union lie: just behind apic_base. */
    private static final long UNION = kvm_run.io$offset();

    private RunExit() {}

    private static Map<String, GroupLayout> members() {
        Map<String, GroupLayout> found = new LinkedHashMap<>();
        for (MemoryLayout part : kvm_run.layout().memberLayouts()) {
            if (part instanceof GroupLayout group && group.byteSize() == 256) {
                for (MemoryLayout member : group.memberLayouts()) {
                    if (member instanceof GroupLayout struct) {
                        found.putIfAbsent(struct.name().orElse(""), struct);
                    }
                }
            }
        }
        return found;
    }

    /**
     * The exit as a tree.
     *
     * @param run all that the vCPU shares
     */
    static Map<String, @Nullable Object> tree(MemorySegment run) {
        Map<String, @Nullable Object> tree = new LinkedHashMap<>();
        int number = kvm_run.exit_reason(run);
        Reason reason = Reason.of(number);
        tree.put("reason", reason == null ? Integer.toString(number) : "KVM_EXIT_" + reason.name());
        if (reason != null && reason.member != null) {
            GroupLayout layout = MEMBERS.get(reason.member);
            if (layout != null) {
                tree.put(reason.member, StructTree.of(run.asSlice(UNION, layout.byteSize()), layout));
            }
        } else if (reason == null) {
            tree.put("union", Values.trimmed(run.asSlice(UNION, 256).toArray(JAVA_BYTE)));
        }
        if (number == IO && kvm_run.io.direction(kvm_run.io(run)) != 0) {
            tree.put("data", portData(run));
        }
        tree.put("if_flag", (long) kvm_run.if_flag(run));
        tree.put("ready_for_interrupt_injection", (long) kvm_run.ready_for_interrupt_injection(run));
        tree.put("flags", Short.toUnsignedLong(kvm_run.flags(run)));
        tree.put("cr8", Values.number(kvm_run.cr8(run)));
        tree.put("apic_base", Values.number(kvm_run.apic_base(run)));
        return tree;
    }

    /**
     * What user space gives KVM_RUN: the answer to the exit before, where that one asked for something.
     *
     * @return null when there is nothing
     */
    static @Nullable Map<String, @Nullable Object> entry(MemorySegment run) {
        Map<String, @Nullable Object> tree = new LinkedHashMap<>();
        if (kvm_run.immediate_exit(run) != 0) {
            tree.put("immediate_exit", 1L);
        }
        int reason = kvm_run.exit_reason(run);
        if (reason == IO && kvm_run.io.direction(kvm_run.io(run)) == 0) {
            tree.put("data", portData(run));
        } else if (reason == MMIO && kvm_run.mmio.is_write(kvm_run.mmio(run)) == 0) {
            long length = Math.min(8, Integer.toUnsignedLong(kvm_run.mmio.len(kvm_run.mmio(run))));
            tree.put("data", Values.bytes(run.asSlice(UNION + kvm_run.mmio.data$offset(), length).toArray(JAVA_BYTE)));
        } else if (reason == HYPERCALL) {
            tree.put("ret", Values.number(kvm_run.hypercall.ret(kvm_run.hypercall(run))));
        }
        return tree.isEmpty() ? null : tree;
    }

    private static Object portData(MemorySegment run) {
        MemorySegment io = kvm_run.io(run);
        long length = (long) kvm_run.io.size(io) * Integer.toUnsignedLong(kvm_run.io.count(io));
        long offset = kvm_run.io.data_offset(io);
        if (offset < 0 || length < 0 || offset > run.byteSize() - length) {
            return "";
        }
        return Values.bytes(run.asSlice(offset, length).toArray(JAVA_BYTE));
    }
}
