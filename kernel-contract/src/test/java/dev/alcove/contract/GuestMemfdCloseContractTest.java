// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract;

import dev.alcove.bindings.kvm.kvm;
import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.List;
import java.util.Set;
import org.junit.jupiter.api.Timeout;

import static dev.alcove.contract.Checks.fails;
import static dev.alcove.contract.Checks.ok;
import static org.junit.jupiter.api.Assertions.assertEquals;

/** Who keeps whom: a guest_memfd, its mapping, its machine, the machine's slots and vCPUs, closed in any order. */
@Surface("guest_memfd")
@Timeout(120)
final class GuestMemfdCloseContractTest {
    private static final long PAGE = KvmMachine.PAGE;
    private static final int GMEM = KvmMachine.GMEM;
    private static final long CODE = 0x1000;
    private static final long RAM = 0x20000;

    /** What is closed. */
    private enum Part {
        MACHINE,
        VCPU,
        FILE,
        MAPPING
    }

    /** A machine with a vCPU and a mapped guest_memfd in a slot. */
    private static final class Parts implements AutoCloseable {
        final KvmMachine m;
        final int vm;
        final KvmVcpu v;
        final int file;
        final MemorySegment mapping;
        final Set<Part> open = EnumSet.allOf(Part.class);

        Parts(KernelUnderTest kernel) {
            m = new KvmMachine(kernel, KvmMachine.DEFAULT)
                    .needsGmem(KvmMachine.FLAG_MMAP | KvmMachine.FLAG_INIT_SHARED);
            // The machine that is closed is not the one that the fixture closes in the end.
            vm = (int) ok(m.sys.ioctl(m.kvmFd, kvm.KVM_CREATE_VM(), 0L));
            MemorySegment low = m.memory(16);
            low.set(ValueLayout.JAVA_BYTE, CODE, (byte) 0xf4);
            ok(region(0, 0, 0, 16, low.address(), -1));
            file = (int) ok(createFile());
            mapping = m.map(4, Linux.MAP_SHARED, file);
            mapping.set(ValueLayout.JAVA_LONG, PAGE, 77);
            ok(region(1, GMEM, RAM, 4, mapping.address(), file));
            v = new KvmVcpu(m, (int) ok(m.sys.ioctl(vm, kvm.KVM_CREATE_VCPU(), 0L)));
        }

        private int createFile() {
            MemorySegment s = m.struct(64);
            s.set(ValueLayout.JAVA_LONG, 0, 4 * PAGE);
            s.set(ValueLayout.JAVA_LONG, 8, 3);
            return m.sys.ioctl(vm, (int) kvm.KVM_CREATE_GUEST_MEMFD(), s);
        }

        private int region(int slot, int flags, long gpa, long pages, long address, int gmem) {
            MemorySegment s = m.struct(160);
            s.set(ValueLayout.JAVA_INT, 0, slot);
            s.set(ValueLayout.JAVA_INT, 4, flags);
            s.set(ValueLayout.JAVA_LONG, 8, gpa);
            s.set(ValueLayout.JAVA_LONG, 16, pages * PAGE);
            s.set(ValueLayout.JAVA_LONG, 24, address);
            s.set(ValueLayout.JAVA_INT, 40, gmem);
            return m.sys.ioctl(vm, (int) kvm.KVM_SET_USER_MEMORY_REGION2(), s);
        }

        void closeOne(Part part) {
            open.remove(part);
            switch (part) {
                case MACHINE -> ok(m.sys.close(vm));
                case VCPU -> ok(m.sys.close(v.fd));
                case FILE -> ok(m.sys.close(file));
                case MAPPING -> m.unmap(mapping);
            }
        }

        /** What is still open works. */
        void check() {
            if (open.contains(Part.MACHINE)) {
                assertEquals(1, m.sys.ioctl(vm, kvm.KVM_CHECK_EXTENSION(), 3L));
                fails(Errno.EINVAL, region(1, GMEM, RAM, 4, 0, -1));
            }
            if (open.contains(Part.VCPU)) {
                v.realMode(CODE).runTo(KvmVcpu.HLT);
            }
            if (open.contains(Part.FILE)) {
                ok(m.sys.fallocate(file, Linux.FALLOC_FL_KEEP_SIZE, 0, 4 * PAGE));
                ok(m.punch(file, 2 * PAGE, PAGE));
            }
            if (open.contains(Part.MAPPING)) {
                assertEquals(77, mapping.get(ValueLayout.JAVA_LONG, PAGE));
                assertEquals(0, mapping.get(ValueLayout.JAVA_LONG, 2 * PAGE));
            }
        }

        @Override
        public void close() {
            List.copyOf(open).forEach(this::closeOne);
            m.close();
        }
    }

    private static List<List<Part>> orders(List<Part> parts) {
        if (parts.isEmpty()) {
            return List.of(List.of());
        }
        List<List<Part>> all = new ArrayList<>();
        for (Part first : parts) {
            List<Part> rest = new ArrayList<>(parts);
            rest.remove(first);
            for (List<Part> tail : orders(rest)) {
                List<Part> order = new ArrayList<>(List.of(first));
                order.addAll(tail);
                all.add(order);
            }
        }
        return all;
    }

    private static void closedFirst(KernelUnderTest kernel, Part first) {
        for (List<Part> order : orders(List.of(Part.values()))) {
            if (order.getFirst() == first) {
                try (Parts p = new Parts(kernel)) {
                    p.check();
                    for (Part part : order) {
                        p.closeOne(part);
                        p.check();
                    }
                }
            }
        }
    }

    @EveryKernel
    void theMachineFirst(KernelUnderTest kernel) {
        closedFirst(kernel, Part.MACHINE);
    }

    @EveryKernel
    void theVcpuFirst(KernelUnderTest kernel) {
        closedFirst(kernel, Part.VCPU);
    }

    @EveryKernel
    void theFileFirst(KernelUnderTest kernel) {
        closedFirst(kernel, Part.FILE);
    }

    @EveryKernel
    void theMappingFirst(KernelUnderTest kernel) {
        closedFirst(kernel, Part.MAPPING);
    }

    @EveryKernel
    void aSlotIsDeletedAfterItsFileIsClosed(KernelUnderTest kernel) {
        try (Parts p = new Parts(kernel)) {
            p.closeOne(Part.MAPPING);
            p.closeOne(Part.FILE);
            ok(p.region(1, GMEM, RAM, 0, 0, -1));
            fails(Errno.EINVAL, p.region(1, GMEM, RAM, 0, 0, -1));
        }
    }

    @EveryKernel
    void aFileIsClosedAfterItsSlotIsDeleted(KernelUnderTest kernel) {
        try (Parts p = new Parts(kernel)) {
            ok(p.region(1, GMEM, RAM, 0, 0, -1));
            p.closeOne(Part.FILE);
            assertEquals(77, p.mapping.get(ValueLayout.JAVA_LONG, PAGE));
        }
    }

    @EveryKernel
    void aMappingKeepsTheBinding(KernelUnderTest kernel) {
        try (KvmGuest g = KvmGuest.mappable(kernel)) {
            MemorySegment mapping = g.m.map(KvmGuest.PAGES, Linux.MAP_SHARED, g.gmem);
            g.m.close(g.gmem);
            g.store(KvmGuest.RAM, 5);
            assertEquals(5, mapping.get(ValueLayout.JAVA_LONG, 0), "the file is still open");
            g.m.unmap(mapping);
            g.loadFaults(KvmGuest.RAM, false);
        }
    }

    @EveryKernel
    void aDuplicateKeepsTheBinding(KernelUnderTest kernel) {
        try (KvmGuest g = KvmGuest.mappable(kernel)) {
            int twin = g.m.own((int) ok(g.m.sys.dup(g.gmem)));
            g.m.close(g.gmem);
            g.store(KvmGuest.RAM, 5);
            g.m.close(twin);
            g.loadFaults(KvmGuest.RAM, false);
        }
    }

    @EveryKernel
    void aSlotIsReplacedAfterItsFileIsClosed(KernelUnderTest kernel) {
        try (KvmGuest g = KvmGuest.mappable(kernel)) {
            g.store(KvmGuest.RAM, 5);
            g.m.close(g.gmem);
            ok(g.m.region(1, GMEM, KvmGuest.RAM, 0, 0, -1, 0));
            int fresh = g.m.own(g.m.gmem(KvmGuest.PAGES * PAGE, 3));
            ok(g.m.region(1, GMEM, KvmGuest.RAM, KvmGuest.PAGES * PAGE, g.shared.address(), fresh, 0));
            assertEquals(0, g.load(KvmGuest.RAM), "a new file");
        }
    }

    @EveryKernel
    void aFileOfAClosedMachineCannotBeBoundToAnother(KernelUnderTest kernel) {
        try (Parts p = new Parts(kernel)) {
            p.closeOne(Part.MACHINE);
            p.closeOne(Part.VCPU);
            fails(Errno.EINVAL, p.m.region(1, GMEM, RAM, 4 * PAGE, 0, p.file, 0));
        }
    }
}
