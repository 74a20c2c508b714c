// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract;

import dev.alcove.sys.Errno;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.List;
import org.junit.jupiter.api.Timeout;

import static dev.alcove.contract.Checks.fails;
import static dev.alcove.contract.Checks.ok;
import static dev.alcove.contract.ContainerUnderTest.TYPE1_V2;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

/** The reset of a whole bus below a bridge, and the two devices on it, which share an IOMMU group. */
@Surface("VFIO hot reset")
@Timeout(60)
final class VfioHotResetContractTest {
    private static final int INFO = 0x3b70;
    private static final int RESET = 0x3b71;
    private static final int NOT_OWNED = -1;

    private static MemorySegment info(ContainerUnderTest it, int device, int room) {
        MemorySegment info = it.words(new int[16]);
        info.set(ValueLayout.JAVA_INT, 0, room);
        info.set(ValueLayout.JAVA_INT, 4, -1);
        long answer = it.sys.ioctl(device, INFO, info);
        info.set(ValueLayout.JAVA_INT, 60, (int) answer);
        return info;
    }

    private static int word(MemorySegment struct, int index) {
        return struct.get(ValueLayout.JAVA_INT, 4L * index);
    }

    /** Segment, bus, device and function of a name, as the struct has them. */
    private static int place(String name) {
        int bus = Integer.parseInt(name.substring(5, 7), 16);
        int device = Integer.parseInt(name.substring(8, 10), 16);
        return bus << 16 | device << 27 | (name.charAt(11) - '0') << 24;
    }

    @EveryKernel
    void aGroupDeviceSeesGroups(KernelUnderTest kernel) {
        try (ContainerUnderTest it = new ContainerUnderTest(kernel)) {
            List<String> names = it.bridged();
            int group = it.open(it.groupOf(names.getFirst()));
            ok(it.setContainer(group, it.container));
            ok(it.setIommu(TYPE1_V2));
            int device = it.own(it.deviceFd(group, names.getFirst()));
            int number = Integer.parseInt(it.groupOf(names.getFirst()).substring("/dev/vfio/".length()));
            MemorySegment small = info(it, device, 12 + 15);
            assertEquals(-Errno.ENOSPC, word(small, 15));
            assertEquals(0, word(small, 1));
            assertEquals(2, word(small, 2));
            MemorySegment all = info(it, device, 12 + 16);
            assertEquals(0, word(all, 15));
            assertEquals(28, word(all, 0));
            assertEquals(0, word(all, 1), "flags");
            assertEquals(2, word(all, 2));
            for (int i = 0; i < 2; i++) {
                assertEquals(number, word(all, 3 + 2 * i));
                assertEquals(place(names.get(i)), word(all, 4 + 2 * i));
            }
        }
    }

    @EveryKernel
    void groupsAreNamedToResetThem(KernelUnderTest kernel) {
        try (ContainerUnderTest it = new ContainerUnderTest(kernel)) {
            List<String> names = it.bridged();
            int other = it.openGroup();
            int group = it.open(it.groupOf(names.getFirst()));
            ok(it.setContainer(group, it.container));
            ok(it.setIommu(TYPE1_V2));
            int device = it.own(it.deviceFd(group, names.getFirst()));
            fails(Errno.EINVAL, it.sys.ioctl(device, RESET, it.words(12, 0, 0)));
            fails(Errno.EINVAL, it.sys.ioctl(device, RESET, it.words(16, 1, 1, group)));
            fails(Errno.EINVAL, it.sys.ioctl(device, RESET, it.words(24, 0, 3, group, group, group)));
            fails(Errno.EBADF, it.sys.ioctl(device, RESET, it.words(16, 0, 1, -1)));
            fails(Errno.EINVAL, it.sys.ioctl(device, RESET, it.words(16, 0, 1, it.container)));
            fails(Errno.EINVAL, it.sys.ioctl(device, RESET, it.words(16, 0, 1, other)));
            fails(Errno.EBADF, it.sys.ioctl(device, RESET, it.words(20, 0, 2, group, 9999)));
            ok(it.sys.ioctl(device, RESET, it.words(16, 0, 1, group)));
            ok(it.sys.ioctl(device, RESET, it.words(20, 0, 2, group, other)));
            ok(it.sys.ioctl(device, RESET, it.words(20, 0, 2, group, group)));
            assertTrue(it.sys.pread(device, it.words(0), EduUnderTest.CONFIG) == 4, "the device is there still");
        }
    }

    @EveryKernel
    void aDeviceOfAnIommufdSeesItsIds(KernelUnderTest kernel) {
        try (ContainerUnderTest it = new ContainerUnderTest(kernel)) {
            List<String> names = it.bridged();
            int iommu = it.open("/dev/iommu");
            int first = it.open(it.cdevOf(names.getFirst()));
            MemorySegment bind = it.words(16, 0, iommu, 0);
            ok(it.sys.ioctl(first, EduUnderTest.BIND, bind));
            int firstId = word(bind, 3);
            MemorySegment alone = info(it, first, 28);
            assertEquals(3, word(alone, 1), "by device id, all owned");
            assertEquals(firstId, word(alone, 3));
            assertEquals(0, word(alone, 5), "its group is owned");
            ok(it.sys.ioctl(first, RESET, it.words(12, 0, 0)));
            fails(Errno.EINVAL, it.sys.ioctl(first, RESET, it.words(16, 0, 1, first)));
            int second = it.open(it.cdevOf(names.get(1)));
            fails(Errno.EPERM, it.sys.ioctl(second, EduUnderTest.BIND, it.words(16, 0, it.open("/dev/iommu"), 0)));
            ok(it.sys.ioctl(second, EduUnderTest.BIND, bind));
            MemorySegment both = info(it, first, 28);
            assertEquals(word(bind, 3), word(both, 5));
            assertTrue(word(both, 5) != NOT_OWNED && word(both, 5) != firstId, "ids differ");
            ok(it.sys.ioctl(second, RESET, it.words(12, 0, 0)));
        }
    }

    @EveryKernel
    void oneContainerHasTheWholeGroup(KernelUnderTest kernel) {
        try (ContainerUnderTest it = new ContainerUnderTest(kernel)) {
            List<String> names = it.bridged();
            int group = it.open(it.groupOf(names.getFirst()));
            int cdev = it.open(it.cdevOf(names.get(1)));
            fails(Errno.EBUSY, it.sys.ioctl(cdev, EduUnderTest.BIND, it.words(16, 0, it.open("/dev/iommu"), 0)));
            ok(it.setContainer(group, it.container));
            ok(it.setIommu(TYPE1_V2));
            int first = it.own(it.deviceFd(group, names.getFirst()));
            int second = it.own(it.deviceFd(group, names.get(1)));
            fails(Errno.ENODEV, it.deviceFd(group, it.name));
            it.close(first);
            fails(Errno.EBUSY, it.unsetContainer(group));
            it.close(second);
            ok(it.unsetContainer(group));
        }
    }

    @EveryKernel
    void groupsShareAContainer(KernelUnderTest kernel) {
        try (ContainerUnderTest it = new ContainerUnderTest(kernel)) {
            List<String> names = it.bridged();
            int group = it.ready(TYPE1_V2);
            ok(it.map(3, it.memory(1).address(), 4096, 0x100000));
            int other = it.open(it.groupOf(names.getFirst()));
            ok(it.setContainer(other, it.container));
            it.own(it.deviceFd(other, names.getFirst()));
            ok(it.unsetContainer(group));
            assertEquals(4096, it.unmap(0, 0x100000, 4096), "the other group keeps the mappings");
            ok(it.setContainer(group, it.container));
        }
    }
}
