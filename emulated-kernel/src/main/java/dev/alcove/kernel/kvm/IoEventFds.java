// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.kvm;

import dev.alcove.bindings.kvm.kvm_ioeventfd;
import dev.alcove.kernel.file.EventFile;
import dev.alcove.kernel.file.OpenFile;
import dev.alcove.kernel.task.Task;
import dev.alcove.sys.Errno;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** KVM_IOEVENTFD: eventfds that the guest signals by a write. The machine's slots lock guards it. */
final class IoEventFds {
    private static final int DATAMATCH = 1;
    private static final int PIO = 2;
    private static final int DEASSIGN = 4;
    private static final int VIRTIO_CCW = 8;
    private static final int FAST_MMIO = 16;
    private static final int VALID = DATAMATCH | PIO | DEASSIGN | VIRTIO_CCW | FAST_MMIO;

    /** One of them. It does not keep the eventfd open. */
    private record Entry(@Nullable IoBus bus, long address, int length, boolean wildcard, long data, Signalled eventFd)
            implements IoBus.Device {
        boolean collides(Entry other) {
            return bus == other.bus
                    && address == other.address
                    && (length == 0
                            || other.length == 0
                            || (length == other.length && (wildcard || other.wildcard || data == other.data)));
        }

        boolean same(Entry other) {
            return bus == other.bus
                    && address == other.address
                    && length == other.length
                    && wildcard == other.wildcard
                    && (wildcard || data == other.data)
                    && eventFd.file == other.eventFd.file;
        }

        @Override
        public boolean write(long at, int bytes, long value) {
            boolean hit = at == address && (length == 0 || (bytes == length && (wildcard || value == data)));
            if (hit) {
                eventFd.signal();
            }
            return hit;
        }
    }

    /** The eventfd, until it is closed for good. */
    private static final class Signalled implements EventFile.Actor {
        final EventFile file;
        private volatile boolean closed;

        Signalled(EventFile file) {
            this.file = file;
        }

        void signal() {
            if (!closed) {
                file.signal(1);
            }
        }

        @Override
        public void signalled() {}

        @Override
        public void hungUp() {
            closed = true;
        }
    }

    private final Vm vm;
    private final List<Entry> entries = new ArrayList<>();

    IoEventFds(Vm vm) {
        this.vm = vm;
    }

    long serve(Task task, MemorySegment s) {
        int flags = kvm_ioeventfd.flags(s);
        boolean assign = (flags & DEASSIGN) == 0;
        int error = assign ? check(s, flags) : 0;
        if (error != 0) {
            return error;
        }
        OpenFile file = task.file(kvm_ioeventfd.fd(s));
        if (file == null) {
            return -Errno.EBADF;
        }
        if (!(file instanceof EventFile event)) {
            return -Errno.EINVAL;
        }
        IoBus bus = (flags & PIO) != 0 ? vm.portBus() : (flags & VIRTIO_CCW) != 0 ? null : vm.mmioBus();
        Entry entry = new Entry(
                bus,
                kvm_ioeventfd.addr(s),
                kvm_ioeventfd.len(s),
                (flags & DATAMATCH) == 0,
                kvm_ioeventfd.datamatch(s),
                new Signalled(event));
        vm.slotsLock.lock();
        try {
            return assign ? assign(entry) : deassign(entry);
        } finally {
            vm.slotsLock.unlock();
        }
    }

    private static int check(MemorySegment s, int flags) {
        int length = kvm_ioeventfd.len(s);
        long address = kvm_ioeventfd.addr(s);
        boolean word = length == 0 || length == 1 || length == 2 || length == 4 || length == 8;
        boolean good = word
                && Long.compareUnsigned(address + length, address) >= 0
                && (flags & ~VALID) == 0
                && !(length == 0 && (flags & DATAMATCH) != 0);
        return good ? 0 : -Errno.EINVAL;
    }

    private int assign(Entry entry) {
        if (!vm.charge("ioeventfd")) {
            return -Errno.ENOMEM;
        }
        if (entries.stream().anyMatch(entry::collides)) {
            return -Errno.EEXIST;
        }
        int error = entry.bus == null
                ? 0
                : entry.bus.register(entry.address, entry.length, entry, true, vm.allocator());
        if (error != 0) {
            return error;
        }
        entry.eventFd.file.act(entry.eventFd);
        entries.add(entry);
        return 0;
    }

    private int deassign(Entry entry) {
        for (Entry other : entries) {
            if (other.same(entry)) {
                entries.remove(other);
                if (other.bus != null) {
                    other.bus.unregister(other, true);
                }
                other.eventFd.file.cease(other.eventFd);
                return 0;
            }
        }
        return -Errno.ENOENT;
    }

    /** The machine is gone. */
    void release() {
        entries.forEach(entry -> entry.eventFd.file.cease(entry.eventFd));
        entries.clear();
    }
}
