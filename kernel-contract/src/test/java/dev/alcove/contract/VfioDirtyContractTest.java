// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract;

import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

import static dev.alcove.contract.Checks.fails;
import static dev.alcove.contract.Checks.ok;
import static dev.alcove.contract.ContainerUnderTest.READ_WRITE;
import static dev.alcove.contract.ContainerUnderTest.TYPE1;
import static dev.alcove.contract.ContainerUnderTest.TYPE1_V2;
import static org.junit.jupiter.api.Assertions.assertEquals;

/** VFIO_IOMMU_DIRTY_PAGES, and unmapping with a bitmap. No device here tells what it writes, so all that is mapped is dirty. */
@Surface("VFIO container")
final class VfioDirtyContractTest {
    private static final long PAGE = Linux.PAGE_SIZE;
    private static final long MIB = 1 << 20;
    private static final int START = 1;
    private static final int STOP = 2;
    private static final int GET = 4;
    private static final int UNMAP_DIRTY = 1;

    private static long dirty(ContainerUnderTest it, int flags) {
        return it.sys.ioctl(it.container, ContainerUnderTest.DIRTY_PAGES, it.struct(8, flags));
    }

    private static long read(ContainerUnderTest it, long iova, long size, long pageSize, MemorySegment bitmap) {
        return it.sys.ioctl(
                it.container,
                ContainerUnderTest.DIRTY_PAGES,
                it.struct(48, GET, iova, size, pageSize, bitmap.byteSize(), bitmap.address()));
    }

    private static long word(MemorySegment bitmap, int index) {
        return bitmap.get(ValueLayout.JAVA_LONG, 8L * index);
    }

    @EveryKernel
    void isOfTheSecondVersionOnly(KernelUnderTest kernel) {
        try (ContainerUnderTest it = new ContainerUnderTest(kernel)) {
            it.ready(TYPE1);
            fails(Errno.EACCES, dirty(it, START));
            fails(Errno.EACCES, it.sys.ioctl(it.container, ContainerUnderTest.DIRTY_PAGES, 8L));
        }
    }

    @EveryKernel
    void oneCommandAtATime(KernelUnderTest kernel) {
        try (ContainerUnderTest it = new ContainerUnderTest(kernel)) {
            it.ready(TYPE1_V2);
            fails(Errno.EFAULT, it.sys.ioctl(it.container, ContainerUnderTest.DIRTY_PAGES, 8L));
            fails(Errno.EINVAL, it.sys.ioctl(it.container, ContainerUnderTest.DIRTY_PAGES, it.struct(7, START)));
            fails(Errno.EINVAL, dirty(it, START | STOP));
            fails(Errno.EINVAL, dirty(it, 8));
            fails(Errno.EINVAL, dirty(it, GET));
            ok(dirty(it, STOP));
            ok(dirty(it, START));
            ok(dirty(it, START));
            ok(dirty(it, STOP));
            ok(dirty(it, STOP));
        }
    }

    @EveryKernel
    void everyMappedPageIsDirty(KernelUnderTest kernel) {
        try (ContainerUnderTest it = new ContainerUnderTest(kernel)) {
            it.ready(TYPE1_V2);
            long address = it.memory(70).address();
            ok(it.map(READ_WRITE, address, 70 * PAGE, MIB));
            MemorySegment bitmap = it.user.allocate(32, 8);
            fails(Errno.EINVAL, read(it, MIB, 70 * PAGE, PAGE, bitmap));
            ok(dirty(it, START));
            ok(it.map(1, address, 3 * PAGE, MIB + 72 * PAGE));
            bitmap.fill((byte) 0xff);
            ok(read(it, MIB, 128 * PAGE, PAGE, bitmap));
            assertEquals(-1, word(bitmap, 0));
            assertEquals(0x73f, word(bitmap, 1) & 0x7ff);
            assertEquals(-1, word(bitmap, 2), "behind the range nothing is written");
            ok(read(it, MIB, 70 * PAGE, PAGE, bitmap));
            assertEquals(0x3f, word(bitmap, 1));
            fails(Errno.EINVAL, read(it, MIB, 64 * PAGE, PAGE, bitmap));
            fails(Errno.EINVAL, read(it, MIB + PAGE, 69 * PAGE, PAGE, bitmap));
            fails(Errno.EINVAL, read(it, MIB, 70 * PAGE, 2 * PAGE, bitmap));
            fails(Errno.EINVAL, read(it, MIB, 70 * PAGE, PAGE, bitmap.asSlice(0, 8)));
            fails(Errno.EINVAL, read(it, MIB, 0, PAGE, bitmap));
            fails(Errno.EINVAL, read(it, MIB + 1, 70 * PAGE, PAGE, bitmap));
        }
    }

    @EveryKernel
    void whatASecondMappingWritesBesideTheFirst(KernelUnderTest kernel) {
        try (ContainerUnderTest it = new ContainerUnderTest(kernel)) {
            it.ready(TYPE1_V2);
            long address = it.memory(80).address();
            ok(it.map(READ_WRITE, address, 3 * PAGE, MIB));
            ok(it.map(READ_WRITE, address, 66 * PAGE, MIB + 5 * PAGE));
            ok(dirty(it, START));
            MemorySegment bitmap = it.user.allocate(32, 8);
            for (int round = 0; round < 4; round++) {
                bitmap.fill((byte) 0);
                ok(read(it, MIB, 128 * PAGE, PAGE, bitmap));
                assertEquals(~0x18L, word(bitmap, 0));
                assertEquals(0x7f, word(bitmap, 1) & 0x7f);
            }
        }
    }

    @EveryKernel
    void anUnmapTellsWhatWasDirty(KernelUnderTest kernel) {
        try (ContainerUnderTest it = new ContainerUnderTest(kernel)) {
            it.ready(TYPE1_V2);
            long address = it.memory(4).address();
            ok(it.map(READ_WRITE, address, 4 * PAGE, MIB));
            MemorySegment bitmap = it.user.allocate(8, 8).fill((byte) 0);
            MemorySegment unmap = it.struct(48, UNMAP_DIRTY, MIB, 4 * PAGE, PAGE, 8, bitmap.address());
            fails(Errno.EINVAL, it.sys.ioctl(it.container, ContainerUnderTest.UNMAP_DMA, unmap));
            ok(dirty(it, START));
            unmap.set(ValueLayout.JAVA_INT, 0, 47);
            fails(Errno.EINVAL, it.sys.ioctl(it.container, ContainerUnderTest.UNMAP_DMA, unmap));
            unmap.set(ValueLayout.JAVA_INT, 0, 48);
            unmap.set(ValueLayout.JAVA_INT, 4, UNMAP_DIRTY | 2);
            fails(Errno.EINVAL, it.sys.ioctl(it.container, ContainerUnderTest.UNMAP_DMA, unmap));
            unmap.set(ValueLayout.JAVA_INT, 4, UNMAP_DIRTY);
            unmap.set(ValueLayout.JAVA_LONG, 40, PAGE);
            fails(Errno.EFAULT, it.sys.ioctl(it.container, ContainerUnderTest.UNMAP_DMA, unmap));
            unmap.set(ValueLayout.JAVA_LONG, 40, bitmap.address());
            ok(it.sys.ioctl(it.container, ContainerUnderTest.UNMAP_DMA, unmap));
            assertEquals(0xf, word(bitmap, 0));
            assertEquals(4 * PAGE, unmap.get(ValueLayout.JAVA_LONG, 16));
        }
    }
}
