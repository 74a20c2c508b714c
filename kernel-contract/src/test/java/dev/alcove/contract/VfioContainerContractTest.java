// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract;

import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import dev.alcove.sys.Syscalls;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import org.junit.jupiter.api.Timeout;

import static dev.alcove.contract.Checks.fails;
import static dev.alcove.contract.Checks.ok;
import static dev.alcove.contract.ContainerUnderTest.READ_WRITE;
import static dev.alcove.contract.ContainerUnderTest.TYPE1;
import static dev.alcove.contract.ContainerUnderTest.TYPE1_V2;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

/** /dev/vfio/vfio with its type1 IOMMU, in both versions: what it maps and unmaps. */
@Surface("VFIO container")
@Timeout(60)
final class VfioContainerContractTest {
    private static final long PAGE = Linux.PAGE_SIZE;
    private static final long MIB = 1 << 20;
    private static final int FLAG_VADDR = 4;
    private static final int UNMAP_ALL = 2;
    private static final int UNMAP_VADDR = 4;

    @EveryKernel
    void hasAnIommuOnlyWithAGroup(KernelUnderTest kernel) {
        try (ContainerUnderTest it = new ContainerUnderTest(kernel)) {
            Syscalls sys = it.sys;
            assertEquals(0, sys.ioctl(it.container, ContainerUnderTest.API_VERSION, 0L));
            fails(Errno.EINVAL, it.setIommu(TYPE1));
            fails(Errno.EINVAL, sys.ioctl(it.container, ContainerUnderTest.IOMMU_INFO, 8L));
            fails(Errno.EINVAL, sys.ioctl(it.container, 0x3bff, 0L));
            int group = it.openGroup();
            ok(it.setContainer(group, it.container));
            fails(Errno.EINVAL, it.map(READ_WRITE, it.memory(1).address(), PAGE, 0));
            fails(Errno.ENODEV, it.setIommu(0));
            fails(Errno.ENODEV, it.setIommu(2));
            fails(Errno.ENODEV, it.setIommu(8));
            ok(it.setIommu(TYPE1_V2));
            fails(Errno.EINVAL, it.setIommu(TYPE1_V2));
            fails(Errno.EINVAL, it.setIommu(77));
            fails(Errno.ENOTTY, sys.ioctl(it.container, 0x3bff, 0L));
            ok(it.unsetContainer(group));
            fails(Errno.EINVAL, sys.ioctl(it.container, 0x3bff, 0L));
            ok(it.setContainer(group, it.container));
            ok(it.setIommu(TYPE1));
        }
    }

    @EveryKernel
    void tellsItsExtensions(KernelUnderTest kernel) {
        try (ContainerUnderTest it = new ContainerUnderTest(kernel)) {
            int[] before = {0, 1, 0, 1, 0, 0, -1, 0, 0, 1, 0, 0};
            int[] after = {0, 1, 0, 1, 1, 0, -1, 0, 0, 1, 1, 0};
            extensions(it, before);
            int group = it.openGroup();
            ok(it.setContainer(group, it.container));
            extensions(it, before);
            ok(it.setIommu(TYPE1));
            extensions(it, after);
            ok(it.unsetContainer(group));
            extensions(it, before);
        }
    }

    /** @param expected by number; -1 where releases differ */
    private static void extensions(ContainerUnderTest it, int[] expected) {
        for (int extension = 0; extension < expected.length; extension++) {
            long answer = it.sys.ioctl(it.container, ContainerUnderTest.CHECK_EXTENSION, (long) extension);
            if (expected[extension] >= 0) {
                assertEquals(expected[extension], answer, "extension " + extension);
            }
        }
    }

    @EveryKernel
    void itsInfoIsAChainOfThreeCapabilities(KernelUnderTest kernel) {
        try (ContainerUnderTest it = new ContainerUnderTest(kernel)) {
            it.ready(TYPE1_V2);
            ok(it.map(READ_WRITE, it.memory(1).address(), PAGE, 0));
            fails(Errno.EFAULT, it.sys.ioctl(it.container, ContainerUnderTest.IOMMU_INFO, 16L));
            fails(Errno.EINVAL, it.sys.ioctl(it.container, ContainerUnderTest.IOMMU_INFO, it.struct(15, 0, 0, 0)));
            int whole = 24 + 32 + 16 + 16 + 32;
            for (int room = 16; room <= whole + 8; room++) {
                MemorySegment info = it.user.allocate(256, 8).fill((byte) 0x5a);
                info.set(ValueLayout.JAVA_INT, 0, room);
                ok(it.sys.ioctl(it.container, ContainerUnderTest.IOMMU_INFO, info));
                assertEquals(Math.max(whole, room), info.get(ValueLayout.JAVA_INT, 0));
                assertEquals(3, info.get(ValueLayout.JAVA_INT, 4), "page sizes and capabilities");
                assertEquals(PAGE, Long.lowestOneBit(info.get(ValueLayout.JAVA_LONG, 8)));
                int behind = room >= whole ? whole : Math.min(room, 24);
                for (int at = behind; at < 256; at++) {
                    assertEquals(0x5a, info.get(ValueLayout.JAVA_BYTE, at), "room " + room + ", byte " + at);
                }
                if (room >= 24) {
                    assertEquals(room >= whole ? 24 : 0, info.get(ValueLayout.JAVA_INT, 16));
                }
                if (room >= whole) {
                    chain(info);
                }
            }
        }
    }

    private static void chain(MemorySegment info) {
        assertEquals(0x1_0002, info.get(ValueLayout.JAVA_INT, 24), "migration");
        assertEquals(56, info.get(ValueLayout.JAVA_INT, 28));
        assertEquals(0, info.get(ValueLayout.JAVA_INT, 32));
        assertEquals(PAGE, info.get(ValueLayout.JAVA_LONG, 40));
        assertEquals(1L << 28, info.get(ValueLayout.JAVA_LONG, 48));
        assertEquals(0x1_0003, info.get(ValueLayout.JAVA_INT, 56), "how many mappings there can be");
        assertEquals(72, info.get(ValueLayout.JAVA_INT, 60));
        assertEquals(65534, info.get(ValueLayout.JAVA_INT, 64));
        assertEquals(0x1_0001, info.get(ValueLayout.JAVA_INT, 72), "usable ranges");
        assertEquals(0, info.get(ValueLayout.JAVA_INT, 76));
        assertEquals(2, info.get(ValueLayout.JAVA_INT, 80));
        assertEquals(0, info.get(ValueLayout.JAVA_LONG, 88));
        assertEquals(0xfedf_ffffL, info.get(ValueLayout.JAVA_LONG, 96));
        assertEquals(0xfef0_0000L, info.get(ValueLayout.JAVA_LONG, 104));
    }

    @EveryKernel
    void mapsUserMemoryOnce(KernelUnderTest kernel) {
        try (ContainerUnderTest it = new ContainerUnderTest(kernel)) {
            it.ready(TYPE1_V2);
            long address = it.memory(4).address();
            fails(Errno.EFAULT, it.sys.ioctl(it.container, ContainerUnderTest.MAP_DMA, 8L));
            fails(Errno.EINVAL, it.sys.ioctl(it.container, ContainerUnderTest.MAP_DMA, it.struct(31, 3, address, 0, PAGE)));
            fails(Errno.EINVAL, it.map(8 | READ_WRITE, address, PAGE, 0));
            fails(Errno.EINVAL, it.map(0, address, PAGE, 0));
            fails(Errno.EINVAL, it.map(READ_WRITE, address, 0, 0));
            fails(Errno.EINVAL, it.map(READ_WRITE, address + 1, PAGE, 0));
            fails(Errno.EINVAL, it.map(READ_WRITE, address, PAGE, 0x800));
            fails(Errno.EINVAL, it.map(READ_WRITE, address, 0x800, 0));
            fails(Errno.EINVAL, it.map(READ_WRITE, address, PAGE, 0xfee0_0000L));
            fails(Errno.EINVAL, it.map(READ_WRITE, address, 2 * PAGE, 0xfedf_f000L));
            fails(Errno.EINVAL, it.map(READ_WRITE, address, PAGE, 1L << 60));
            fails(Errno.EFAULT, it.map(READ_WRITE, PAGE, PAGE, 0));
            ok(it.map(1, address, 2 * PAGE, MIB));
            fails(Errno.EEXIST, it.map(READ_WRITE, address, PAGE, MIB + PAGE));
            fails(Errno.EEXIST, it.map(READ_WRITE, address, 3 * PAGE, MIB - PAGE));
            ok(it.map(2, address, PAGE, MIB + 2 * PAGE));
            assertEquals(3 * PAGE, it.unmap(0, 0, 4 * MIB));
        }
    }

    @EveryKernel
    void whatWrapsIsRefused(KernelUnderTest kernel) {
        try (ContainerUnderTest it = new ContainerUnderTest(kernel)) {
            it.ready(TYPE1_V2);
            int errno = KvmMachine.before(it.sys, 6, 18) ? Errno.EINVAL : Errno.EOVERFLOW;
            fails(errno, it.map(READ_WRITE, it.memory(2).address(), 2 * PAGE, -PAGE));
            fails(errno, it.map(READ_WRITE, -PAGE, 2 * PAGE, 0));
            fails(errno, it.unmap(0, -PAGE, 2 * PAGE));
            assertEquals(0, it.unmap(0, -PAGE, PAGE));
        }
    }

    @EveryKernel
    void aMappingThatFailsLeavesNothing(KernelUnderTest kernel) {
        try (ContainerUnderTest it = new ContainerUnderTest(kernel)) {
            it.ready(TYPE1_V2);
            long locked = ProcessStatus.pages(kernel, "VmLck");
            long address = it.memory(8).address();
            ok(it.sys.munmap(address + 6 * PAGE, PAGE));
            fails(Errno.EFAULT, it.map(READ_WRITE, address, 8 * PAGE, MIB));
            assertEquals(locked, ProcessStatus.pages(kernel, "VmLck"));
            assertEquals(0, it.unmap(UNMAP_ALL, 0, 0));
            ok(it.map(READ_WRITE, address, 6 * PAGE, MIB));
        }
    }

    @EveryKernel
    void pagesAreLockedWhileTheyAreMapped(KernelUnderTest kernel) {
        try (ContainerUnderTest it = new ContainerUnderTest(kernel)) {
            long locked = ProcessStatus.pages(kernel, "VmLck");
            long pinned = ProcessStatus.pages(kernel, "VmPin");
            int group = it.ready(TYPE1_V2);
            long address = it.memory(16).address();
            ok(it.map(READ_WRITE, address, 16 * PAGE, MIB));
            ok(it.map(READ_WRITE, address, 8 * PAGE, 2 * MIB));
            assertEquals(locked + 24, ProcessStatus.pages(kernel, "VmLck"), "each mapping counts");
            assertEquals(pinned, ProcessStatus.pages(kernel, "VmPin"));
            assertEquals(16 * PAGE, it.unmap(0, MIB, 16 * PAGE));
            assertEquals(locked + 8, ProcessStatus.pages(kernel, "VmLck"));
            ok(it.unsetContainer(group));
            assertEquals(locked, ProcessStatus.pages(kernel, "VmLck"));
        }
    }

    @EveryKernel
    void theSecondVersionDoesNotCutMappings(KernelUnderTest kernel) {
        try (ContainerUnderTest it = new ContainerUnderTest(kernel)) {
            it.ready(TYPE1_V2);
            long address = it.memory(4).address();
            ok(it.map(READ_WRITE, address, 4 * PAGE, MIB));
            ok(it.map(READ_WRITE, address, 2 * PAGE, 2 * MIB));
            fails(Errno.EINVAL, it.unmap(0, MIB, PAGE));
            fails(Errno.EINVAL, it.unmap(0, MIB + PAGE, 3 * PAGE));
            fails(Errno.EINVAL, it.unmap(0, MIB - PAGE, 2 * PAGE));
            fails(Errno.EINVAL, it.unmap(0, MIB, 0));
            fails(Errno.EINVAL, it.unmap(0, MIB, PAGE / 2));
            fails(Errno.EINVAL, it.unmap(0, MIB + 1, PAGE));
            fails(Errno.EINVAL, it.unmap(8, MIB, PAGE));
            fails(Errno.EINVAL, it.unmap(UNMAP_ALL, MIB, 0));
            fails(Errno.EINVAL, it.unmap(UNMAP_ALL, 0, PAGE));
            fails(Errno.EFAULT, it.sys.ioctl(it.container, ContainerUnderTest.UNMAP_DMA, 8L));
            fails(Errno.EINVAL, it.sys.ioctl(it.container, ContainerUnderTest.UNMAP_DMA, it.struct(23, 0, MIB, 4 * PAGE)));
            assertEquals(0, it.unmap(0, 0, MIB));
            assertEquals(4 * PAGE, it.unmap(0, MIB - PAGE, 8 * PAGE));
            assertEquals(2 * PAGE, it.unmap(UNMAP_ALL, 0, 0));
            assertEquals(0, it.unmap(UNMAP_ALL, 0, 0));
        }
    }

    @EveryKernel
    void theFirstVersionTakesWholeMappings(KernelUnderTest kernel) {
        try (ContainerUnderTest it = new ContainerUnderTest(kernel)) {
            it.ready(TYPE1);
            long address = it.memory(4).address();
            ok(it.map(READ_WRITE, address, 4 * PAGE, MIB));
            ok(it.map(READ_WRITE, address, 2 * PAGE, MIB + 4 * PAGE));
            assertEquals(0, it.unmap(0, MIB + PAGE, 16 * PAGE), "the range starts inside of one");
            assertEquals(4 * PAGE, it.unmap(0, MIB - PAGE, 2 * PAGE), "the range ends inside of one");
            assertEquals(0, it.unmap(0, MIB, 4 * PAGE));
            assertEquals(2 * PAGE, it.unmap(UNMAP_ALL, 0, 0));
        }
    }

    @EveryKernel
    void theAddressOfAMappingCanChange(KernelUnderTest kernel) {
        try (ContainerUnderTest it = new ContainerUnderTest(kernel)) {
            int group = it.ready(TYPE1_V2);
            long address = it.memory(4).address();
            ok(it.map(READ_WRITE, address, 2 * PAGE, MIB));
            ok(it.map(READ_WRITE, address, 2 * PAGE, 2 * MIB));
            fails(Errno.EINVAL, it.map(FLAG_VADDR | 1, address, 2 * PAGE, MIB));
            fails(Errno.EINVAL, it.map(FLAG_VADDR, address, 2 * PAGE, MIB));
            assertEquals(2 * PAGE, it.unmap(UNMAP_VADDR, 2 * MIB, 2 * PAGE));
            fails(Errno.EINVAL, it.unmap(UNMAP_VADDR | UNMAP_ALL, 0, 0));
            assertEquals(2 * PAGE, it.unmap(UNMAP_VADDR, MIB, 2 * PAGE), "the failed call has changed nothing");
            fails(Errno.EINVAL, it.map(FLAG_VADDR, address, PAGE, MIB));
            fails(Errno.ENOENT, it.map(FLAG_VADDR, address, PAGE, 4 * MIB));
            fails(Errno.EEXIST, it.map(READ_WRITE, address, PAGE, MIB));
            ok(it.map(FLAG_VADDR, it.memory(2).address(), 2 * PAGE, MIB));
            fails(Errno.EINVAL, it.map(FLAG_VADDR, address, 2 * PAGE, MIB));
            assertEquals(4 * PAGE, it.unmap(UNMAP_ALL, 0, 0));
            ok(it.unsetContainer(group));
        }
    }

    @EveryKernel
    void thereAreNotMoreThan65535Mappings(KernelUnderTest kernel) {
        try (ContainerUnderTest it = new ContainerUnderTest(kernel)) {
            it.ready(TYPE1_V2);
            long address = it.memory(1).address();
            MemorySegment map = it.struct(32, READ_WRITE, address, 0, PAGE);
            for (int i = 0; i < 65535; i++) {
                map.set(ValueLayout.JAVA_LONG, 16, i * PAGE);
                long answer = it.sys.ioctl(it.container, ContainerUnderTest.MAP_DMA, map);
                assertTrue(answer == 0, "mapping " + i);
            }
            map.set(ValueLayout.JAVA_LONG, 16, 65535 * PAGE);
            fails(Errno.ENOSPC, it.sys.ioctl(it.container, ContainerUnderTest.MAP_DMA, map));
            assertEquals(PAGE, it.unmap(0, 0, PAGE));
            ok(it.sys.ioctl(it.container, ContainerUnderTest.MAP_DMA, map));
            assertEquals(65535 * PAGE, it.unmap(UNMAP_ALL, 0, 0));
        }
    }
}
