// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.kvm;

import dev.alcove.bindings.kvm.kvm_regs;
import dev.alcove.bindings.kvm.kvm_sregs;
import dev.alcove.bindings.kvm.kvm_vcpu_events;
import dev.alcove.sys.Errno;
import java.lang.foreign.MemorySegment;
import java.util.function.Consumer;
import java.util.function.ToIntFunction;

/** Registers that go in and out by the run page (KVM_CAP_SYNC_REGS), instead of by an ioctl each. */
final class SyncedRegisters {
    /** KVM_SYNC_X86_VALID_FIELDS: general registers, system registers, events. */
    static final int PARTS = 7;

    private static final int GENERAL = 1;
    private static final int SYSTEM = 2;
    private static final int EVENTS = 4;
    private static final long SYSTEM_AT = kvm_regs.sizeof();
    private static final long EVENTS_AT = SYSTEM_AT + kvm_sregs.sizeof();

    private SyncedRegisters() {}

    /** Takes in what user space has changed; 0 or {@code -EINVAL}. */
    static int load(Vcpu vcpu, RunPage run) {
        long changed = run.changedRegisters();
        // The mask of a 6.12 kernel has 32 bits.
        long known = vcpu.vm().profile().atLeast(6, 18) ? PARTS : PARTS | 0xffff_ffffL << 32;
        if (((run.wantedRegisters() | changed) & ~known) != 0) {
            return -Errno.EINVAL;
        }
        if (changed == 0) {
            return 0;
        }
        VcpuRegisters registers = vcpu.registers();
        boolean good = load(run, GENERAL, 0, kvm_regs.sizeof(), registers::setGeneral)
                && load(run, SYSTEM, SYSTEM_AT, kvm_sregs.sizeof(), registers::setSystem)
                && load(run, EVENTS, EVENTS_AT, kvm_vcpu_events.sizeof(), s -> VcpuEvents.set(vcpu, s));
        return good ? 0 : -Errno.EINVAL;
    }

    /** User space may go on writing: what is looked at is a copy. */
    private static boolean load(RunPage run, int part, long at, long size, ToIntFunction<MemorySegment> set) {
        if ((run.changedRegisters() & part) != 0) {
            MemorySegment copy = UserCopy.struct(size).copyFrom(run.registers().asSlice(at, size));
            if (set.applyAsInt(copy) != 0) {
                return false;
            }
            run.setChangedRegisters(run.changedRegisters() & ~part);
        }
        return true;
    }

    /** Hands out what user space wants to have. */
    static void store(Vcpu vcpu, RunPage run) {
        VcpuRegisters registers = vcpu.registers();
        store(run, GENERAL, 0, kvm_regs.sizeof(), registers::general);
        store(run, SYSTEM, SYSTEM_AT, kvm_sregs.sizeof(), registers::system);
        store(run, EVENTS, EVENTS_AT, kvm_vcpu_events.sizeof(), s -> VcpuEvents.get(vcpu, s));
    }

    private static void store(RunPage run, int part, long at, long size, Consumer<MemorySegment> get) {
        if ((run.wantedRegisters() & part) != 0) {
            MemorySegment s = UserCopy.struct(size);
            get.accept(s);
            run.registers().asSlice(at, size).copyFrom(s);
        }
    }
}
