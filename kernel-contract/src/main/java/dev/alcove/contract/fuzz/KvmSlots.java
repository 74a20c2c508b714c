// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract.fuzz;

import dev.alcove.bindings.kvm.kvm;
import dev.alcove.bindings.kvm.kvm_clear_dirty_log;
import dev.alcove.bindings.kvm.kvm_dirty_log;
import dev.alcove.bindings.kvm.kvm_memory_attributes;
import dev.alcove.bindings.kvm.kvm_userspace_memory_region;
import dev.alcove.bindings.kvm.kvm_userspace_memory_region2;
import dev.alcove.sys.Syscalls;
import dev.alcove.sys.UserArena;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/** The ops on memslots, attributes and dirty logs. */
final class KvmSlots {
    private static final int LOG_WORDS = 4;
    private static final long UNTOUCHED = 0xaaaa_aaaa_aaaa_aaaaL;

    private final Syscalls syscalls;
    private final Descriptors files;
    private final UserPages user;
    private final MemorySegment struct;
    private final UserArena log;

    KvmSlots(Syscalls syscalls, Descriptors files, UserPages user, Arena arena) {
        this.syscalls = syscalls;
        this.files = files;
        this.user = user;
        this.struct = arena.allocate(256, 8);
        this.log = new UserArena(syscalls, LOG_WORDS * Long.BYTES);
    }

    /** A zeroed struct, until the next one is asked for. */
    MemorySegment scratch(long bytes) {
        return struct.asSlice(0, bytes).fill((byte) 0);
    }

    private Answer call(Op op, long request, MemorySegment s) {
        return Answer.of(syscalls.ioctl(files.get(op.operand(0)), (int) request, s));
    }

    Answer region1(Op op) {
        MemorySegment s = scratch(kvm_userspace_memory_region.sizeof());
        kvm_userspace_memory_region.slot(s, op.intOperand(1));
        kvm_userspace_memory_region.flags(s, op.intOperand(2));
        kvm_userspace_memory_region.guest_phys_addr(s, op.operand(3));
        kvm_userspace_memory_region.memory_size(s, op.operand(4));
        kvm_userspace_memory_region.userspace_addr(s, user.address(op.operand(5)));
        return call(op, kvm.KVM_SET_USER_MEMORY_REGION(), s);
    }

    Answer region2(Op op) {
        MemorySegment s = scratch(kvm_userspace_memory_region2.sizeof());
        kvm_userspace_memory_region2.slot(s, op.intOperand(1));
        kvm_userspace_memory_region2.flags(s, op.intOperand(2));
        kvm_userspace_memory_region2.guest_phys_addr(s, op.operand(3));
        kvm_userspace_memory_region2.memory_size(s, op.operand(4));
        kvm_userspace_memory_region2.userspace_addr(s, user.address(op.operand(5)));
        kvm_userspace_memory_region2.guest_memfd(s, files.get(op.operand(6)));
        kvm_userspace_memory_region2.guest_memfd_offset(s, op.operand(7));
        return call(op, kvm.KVM_SET_USER_MEMORY_REGION2(), s);
    }

    Answer attributes(Op op) {
        MemorySegment s = scratch(kvm_memory_attributes.sizeof());
        kvm_memory_attributes.address(s, op.operand(1));
        kvm_memory_attributes.size(s, op.operand(2));
        kvm_memory_attributes.attributes(s, op.operand(3));
        kvm_memory_attributes.flags(s, op.operand(4));
        return call(op, kvm.KVM_SET_MEMORY_ATTRIBUTES(), s);
    }

    /** The bitmap goes to user memory of its own, or to a wild address where the symbol is one. */
    Answer dirtyLog(Op op) {
        MemorySegment bits = bits(UNTOUCHED);
        MemorySegment s = scratch(kvm_dirty_log.sizeof());
        kvm_dirty_log.slot(s, op.intOperand(1));
        kvm_dirty_log.padding2(s, op.operand(2) < 0 ? user.address(op.operand(2)) : bits.address());
        int answer = syscalls.ioctl(files.get(op.operand(0)), (int) kvm.KVM_GET_DIRTY_LOG(), s);
        Answer.Builder values = Answer.with(answer);
        for (int i = 0; i < LOG_WORDS; i++) {
            values.and("bits" + i, bits.getAtIndex(ValueLayout.JAVA_LONG, i));
        }
        return values.build();
    }

    Answer clearDirtyLog(Op op) {
        MemorySegment bits = bits(op.operand(4));
        MemorySegment s = scratch(kvm_clear_dirty_log.sizeof());
        kvm_clear_dirty_log.slot(s, op.intOperand(1));
        kvm_clear_dirty_log.first_page(s, op.operand(2));
        kvm_clear_dirty_log.num_pages(s, op.intOperand(3));
        kvm_clear_dirty_log.padding2(s, op.operand(5) < 0 ? user.address(op.operand(5)) : bits.address());
        return call(op, kvm.KVM_CLEAR_DIRTY_LOG(), s);
    }

    private MemorySegment bits(long fill) {
        log.reset();
        MemorySegment bits = log.allocate(LOG_WORDS * Long.BYTES, Long.BYTES);
        for (int i = 0; i < LOG_WORDS; i++) {
            bits.setAtIndex(ValueLayout.JAVA_LONG, i, fill);
        }
        return bits;
    }

    void close() {
        log.close();
    }
}
