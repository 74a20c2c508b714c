// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract.fuzz;

import dev.alcove.bindings.kvm.kvm;
import dev.alcove.bindings.kvm.kvm_coalesced_mmio;
import dev.alcove.bindings.kvm.kvm_coalesced_mmio_ring;
import dev.alcove.bindings.kvm.kvm_coalesced_mmio_zone;
import dev.alcove.bindings.kvm.kvm_ioeventfd;
import dev.alcove.sys.Errno;
import dev.alcove.sys.Syscalls;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import org.jspecify.annotations.Nullable;

/** Device writes that the kernel takes itself: by an eventfd, or in the ring for coalesced writes. */
final class KvmDevices {
    private static final int ENTRY = (int) kvm_coalesced_mmio.sizeof();
    private static final int HEAD = (int) kvm_coalesced_mmio_ring.sizeof();
    private static final int ENTRIES = (4096 - HEAD) / ENTRY;

    private final Syscalls syscalls;
    private final Descriptors files;
    private final KvmSlots slots;

    KvmDevices(Syscalls syscalls, Descriptors files, KvmSlots slots) {
        this.syscalls = syscalls;
        this.files = files;
        this.slots = slots;
    }

    Answer ioEventFd(Op op) {
        MemorySegment s = slots.scratch(kvm_ioeventfd.sizeof());
        kvm_ioeventfd.addr(s, op.operand(1));
        kvm_ioeventfd.len(s, op.intOperand(2));
        kvm_ioeventfd.flags(s, op.intOperand(3));
        kvm_ioeventfd.datamatch(s, op.operand(4));
        kvm_ioeventfd.fd(s, files.get(op.operand(5)));
        return Answer.of(syscalls.ioctl(files.get(op.operand(0)), (int) kvm.KVM_IOEVENTFD(), s));
    }

    /** Takes the counter of the eventfd. */
    Answer eventCount() {
        MemorySegment count = slots.scratch(8);
        long read = syscalls.read(files.get(KvmSession.EVENT), count);
        return read < 0 ? Answer.of(read) : Answer.with(read).and("count", count.get(ValueLayout.JAVA_LONG, 0)).build();
    }

    Answer coalesce(Op op) {
        MemorySegment s = slots.scratch(kvm_coalesced_mmio_zone.sizeof());
        kvm_coalesced_mmio_zone.addr(s, op.operand(2));
        kvm_coalesced_mmio_zone.size(s, op.intOperand(3));
        kvm_coalesced_mmio_zone.pio(s, op.intOperand(4));
        long request = op.operand(1) != 0 ? kvm.KVM_REGISTER_COALESCED_MMIO() : kvm.KVM_UNREGISTER_COALESCED_MMIO();
        return Answer.of(syscalls.ioctl(files.get(op.operand(0)), (int) request, s));
    }

    /** Takes everything out of the ring; the last entry is looked at. */
    static Answer ring(@Nullable MemorySegment pages) {
        if (pages == null) {
            return Answer.of(-Errno.EBADF);
        }
        MemorySegment ring = pages.asSlice(2 * 4096, 4096);
        int first = kvm_coalesced_mmio_ring.first(ring);
        int last = kvm_coalesced_mmio_ring.last(ring);
        int newest = Math.floorMod(last - 1, ENTRIES);
        MemorySegment entry = ring.asSlice(HEAD + (long) newest * ENTRY, ENTRY);
        Answer answer = Answer.with(Math.floorMod(last - first, ENTRIES))
                .and("address", kvm_coalesced_mmio.phys_addr(entry))
                .and("length", kvm_coalesced_mmio.len(entry))
                .and("data", kvm_coalesced_mmio.data(entry, 0))
                .build();
        kvm_coalesced_mmio_ring.first(ring, last);
        return answer;
    }
}
