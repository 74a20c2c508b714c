// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract;

import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import org.junit.jupiter.api.Timeout;

import static dev.alcove.contract.Checks.fails;
import static dev.alcove.contract.Checks.ok;
import static dev.alcove.contract.ContainerUnderTest.READ_WRITE;
import static dev.alcove.contract.ContainerUnderTest.TYPE1;
import static dev.alcove.contract.ContainerUnderTest.TYPE1_V2;
import static org.junit.jupiter.api.Assertions.assertEquals;

/** What a device of a group reaches through its container, and what RLIMIT_MEMLOCK says to mappings. */
@Surface("VFIO container")
@Timeout(120)
final class VfioContainerDmaContractTest {
    private static final long PAGE = Linux.PAGE_SIZE;
    private static final long IOVA = 0x100000;
    private static final int IPC_LOCK = 14;
    private static final int UNMAP_ALL = 2;
    private static final int UNMAP_VADDR = 4;
    private static final int MAP_VADDR = 4;

    private static void write(ContainerUnderTest it, int device, long offset, int size, long value) {
        MemorySegment bytes = it.user.allocate(8, 8);
        bytes.set(ValueLayout.JAVA_LONG, 0, value);
        assertEquals(size, it.sys.pwrite(device, bytes.asSlice(0, size), offset));
    }

    /** Copies 64 bytes by way of the device. */
    private static void copy(ContainerUnderTest it, int device, long from, long to) {
        write(it, device, EduUnderTest.CONFIG + EduUnderTest.COMMAND, 2, EduUnderTest.MEMORY_AND_MASTER);
        transfer(it, device, from, EduUnderTest.BUFFER, 1);
        transfer(it, device, EduUnderTest.BUFFER, to, 3);
    }

    private static void transfer(ContainerUnderTest it, int device, long from, long to, long command) {
        write(it, device, 0x80, 8, from);
        write(it, device, 0x88, 8, to);
        write(it, device, 0x90, 8, 64);
        write(it, device, 0x98, 8, command);
        MemorySegment state = it.user.allocate(8, 8);
        do {
            ok(it.sys.pread(device, state, 0x98));
        } while ((state.get(ValueLayout.JAVA_LONG, 0) & 1) != 0);
    }

    @EveryKernel
    void aDeviceReachesWhatTheContainerMaps(KernelUnderTest kernel) {
        try (ContainerUnderTest it = new ContainerUnderTest(kernel)) {
            int group = it.ready(TYPE1_V2);
            int device = it.openDevice(group);
            MemorySegment memory = it.memory(2);
            memory.set(ValueLayout.JAVA_LONG, 8, 0x0123_4567_89ab_cdefL);
            ok(it.map(READ_WRITE, memory.address(), PAGE, IOVA));
            ok(it.map(READ_WRITE, memory.address() + PAGE, PAGE, 2 * IOVA));
            copy(it, device, IOVA, 2 * IOVA);
            assertEquals(0x0123_4567_89ab_cdefL, memory.get(ValueLayout.JAVA_LONG, PAGE + 8));
            assertEquals(PAGE, it.unmap(0, 2 * IOVA, PAGE));
            memory.set(ValueLayout.JAVA_LONG, PAGE + 8, 1);
            copy(it, device, IOVA, 2 * IOVA);
            assertEquals(1, memory.get(ValueLayout.JAVA_LONG, PAGE + 8));
        }
    }

    @EveryKernel
    void pagesStayWhileTheirAddressIsNotKnown(KernelUnderTest kernel) {
        try (ContainerUnderTest it = new ContainerUnderTest(kernel)) {
            int device = it.openDevice(it.ready(TYPE1_V2));
            MemorySegment memory = it.memory(2);
            memory.set(ValueLayout.JAVA_LONG, 0, 77);
            ok(it.map(READ_WRITE, memory.address(), 2 * PAGE, IOVA));
            assertEquals(2 * PAGE, it.unmap(UNMAP_VADDR | UNMAP_ALL, 0, 0));
            copy(it, device, IOVA, IOVA + PAGE);
            assertEquals(77, memory.get(ValueLayout.JAVA_LONG, PAGE));
            ok(it.map(MAP_VADDR, memory.address(), 2 * PAGE, IOVA));
        }
    }

    @EveryKernel
    void withAnIommufdTheDeviceReachesItsCompatibleAddressSpace(KernelUnderTest kernel) {
        try (ContainerUnderTest it = new ContainerUnderTest(kernel)) {
            int iommu = it.open("/dev/iommu");
            int group = it.openGroup();
            ok(it.setContainer(group, iommu));
            ok(it.sys.ioctl(iommu, ContainerUnderTest.SET_IOMMU, (long) TYPE1));
            int device = it.openDevice(group);
            MemorySegment memory = it.memory(2);
            memory.set(ValueLayout.JAVA_LONG, 0, 4711);
            ok(it.sys.ioctl(iommu, ContainerUnderTest.MAP_DMA, it.struct(32, 3, memory.address(), IOVA, 2 * PAGE)));
            copy(it, device, IOVA, IOVA + PAGE);
            assertEquals(4711, memory.get(ValueLayout.JAVA_LONG, PAGE));
        }
    }

    @EveryKernel
    void registersAreMappedForOtherDevicesAndNotCounted(KernelUnderTest kernel) {
        try (ContainerUnderTest it = new ContainerUnderTest(kernel)) {
            int device = it.openDevice(it.ready(TYPE1_V2));
            long locked = ProcessStatus.pages(kernel, "VmLck");
            long size = 1 << 20;
            long bar = ok(it.sys.mmap(0, size, Linux.PROT_READ | Linux.PROT_WRITE, Linux.MAP_SHARED, device, 0));
            ok(it.map(READ_WRITE, bar, size, IOVA));
            assertEquals(locked, ProcessStatus.pages(kernel, "VmLck"));
            assertEquals(size, it.unmap(0, IOVA, size));
            write(it, device, EduUnderTest.CONFIG + EduUnderTest.COMMAND, 2, 0);
            fails(Errno.EFAULT, it.map(READ_WRITE, bar, PAGE, IOVA));
            ok(it.sys.munmap(bar, size));
        }
    }

    @EveryKernelWithoutIpcLock
    void theLimitOfLockedMemoryHolds(KernelUnderTest kernel) {
        try (ContainerUnderTest it = new ContainerUnderTest(kernel)) {
            kernel.needs("a process without CAP_IPC_LOCK", ProcessStatus.capable(kernel, IPC_LOCK) ? -Errno.EPERM : 0);
            it.ready(TYPE1_V2);
            long locked = ProcessStatus.pages(kernel, "VmLck");
            MemorySegment before = it.user.allocate(16, 8);
            ok(it.sys.prlimit(Linux.RLIMIT_MEMLOCK, null, before));
            MemorySegment limit = it.user.allocate(16, 8);
            limit.set(ValueLayout.JAVA_LONG, 0, (locked + 16) * PAGE);
            limit.set(ValueLayout.JAVA_LONG, 8, before.get(ValueLayout.JAVA_LONG, 8));
            ok(it.sys.prlimit(Linux.RLIMIT_MEMLOCK, limit, null));
            try {
                long address = it.memory(32).address();
                fails(Errno.ENOMEM, it.map(READ_WRITE, address, 17 * PAGE, IOVA));
                assertEquals(locked, ProcessStatus.pages(kernel, "VmLck"));
                ok(it.map(READ_WRITE, address, 10 * PAGE, IOVA));
                fails(Errno.ENOMEM, it.map(READ_WRITE, address, 7 * PAGE, 2 * IOVA));
                ok(it.map(READ_WRITE, address, 6 * PAGE, 2 * IOVA));
                fails(Errno.ENOMEM, it.map(READ_WRITE, address, PAGE, 4 * IOVA));
                assertEquals(16 * PAGE, it.unmap(UNMAP_ALL, 0, 0));
                ok(it.map(READ_WRITE, address, 16 * PAGE, IOVA));
            } finally {
                ok(it.sys.prlimit(Linux.RLIMIT_MEMLOCK, before, null));
            }
        }
    }
}
