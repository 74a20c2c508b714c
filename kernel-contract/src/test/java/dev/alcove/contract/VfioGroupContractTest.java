// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract;

import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import org.junit.jupiter.api.Timeout;

import static dev.alcove.contract.Checks.fails;
import static dev.alcove.contract.Checks.ok;
import static dev.alcove.contract.ContainerUnderTest.TYPE1_V2;
import static org.junit.jupiter.api.Assertions.assertEquals;

/** /dev/vfio/N: status, containers, device descriptors, lifetimes, and what excludes what. */
@Surface("VFIO group")
@Timeout(60)
final class VfioGroupContractTest {
    private static final int VIABLE = 1;
    private static final int CONTAINER_SET = 2;
    private static final String CDEV = "/dev/vfio/devices/vfio0";

    @EveryKernel
    void isOpenOnce(KernelUnderTest kernel) {
        try (ContainerUnderTest it = new ContainerUnderTest(kernel)) {
            int group = it.openGroup();
            fails(Errno.EBUSY, it.sys.open(it.path, Linux.O_RDWR | Linux.O_CLOEXEC, 0));
            int copy = it.own(it.sys.dup(group));
            it.close(group);
            fails(Errno.EBUSY, it.sys.open(it.path, Linux.O_RDWR | Linux.O_CLOEXEC, 0));
            it.close(copy);
            it.openGroup();
        }
    }

    @EveryKernel
    void tellsWhetherItIsViableAndHasAContainer(KernelUnderTest kernel) {
        try (ContainerUnderTest it = new ContainerUnderTest(kernel)) {
            int group = it.openGroup();
            assertEquals(VIABLE, it.status(group));
            fails(Errno.EINVAL, it.sys.ioctl(group, ContainerUnderTest.GET_STATUS, it.words(7, 0)));
            fails(Errno.EFAULT, it.sys.ioctl(group, ContainerUnderTest.GET_STATUS, 8L));
            ok(it.setContainer(group, it.container));
            assertEquals(VIABLE | CONTAINER_SET, it.status(group));
            ok(it.unsetContainer(group));
            assertEquals(VIABLE, it.status(group));
            fails(Errno.ENOTTY, it.sys.ioctl(group, 0x3bff, 0L));
        }
    }

    @EveryKernel
    void hasOneContainerOrIommufd(KernelUnderTest kernel) {
        try (ContainerUnderTest it = new ContainerUnderTest(kernel)) {
            int group = it.openGroup();
            fails(Errno.EFAULT, it.sys.ioctl(group, ContainerUnderTest.SET_CONTAINER, 8L));
            fails(Errno.EBADF, it.setContainer(group, -1));
            fails(Errno.EBADF, it.setContainer(group, 9999));
            fails(Errno.EBADFD, it.setContainer(group, it.own(it.sys.eventfd(0, 0))));
            fails(Errno.EBADFD, it.setContainer(group, group));
            fails(Errno.EINVAL, it.unsetContainer(group));
            ok(it.setContainer(group, it.container));
            fails(Errno.EINVAL, it.setContainer(group, it.container));
            fails(Errno.EBADF, it.setContainer(group, -1));
            int iommu = it.open("/dev/iommu");
            fails(Errno.EINVAL, it.setContainer(group, iommu));
            ok(it.unsetContainer(group));
            ok(it.setContainer(group, iommu));
            assertEquals(VIABLE | CONTAINER_SET, it.status(group));
            fails(Errno.EINVAL, it.setContainer(group, it.container));
            ok(it.unsetContainer(group));
            fails(Errno.EINVAL, it.unsetContainer(group));
        }
    }

    @EveryKernel
    void devicesNeedAnIommu(KernelUnderTest kernel) {
        try (ContainerUnderTest it = new ContainerUnderTest(kernel)) {
            int group = it.openGroup();
            fails(Errno.EINVAL, it.deviceFd(group, it.name));
            ok(it.setContainer(group, it.container));
            fails(Errno.EINVAL, it.deviceFd(group, it.name));
            ok(it.setIommu(TYPE1_V2));
            int device = it.openDevice(group);
            MemorySegment info = it.words(16, 0, 0, 0);
            ok(it.sys.ioctl(device, EduUnderTest.GET_INFO, info));
            assertEquals(9, info.get(ValueLayout.JAVA_INT, 8), "regions");
        }
    }

    @EveryKernel
    void devicesAreNamedByTheirAddress(KernelUnderTest kernel) {
        try (ContainerUnderTest it = new ContainerUnderTest(kernel)) {
            int group = it.openGroup();
            fails(Errno.EFAULT, it.sys.ioctl(group, ContainerUnderTest.GET_DEVICE_FD, 8L));
            fails(Errno.ENODEV, it.deviceFd(group, "0000:7f:1f.7"));
            fails(Errno.ENODEV, it.deviceFd(group, ""));
            fails(Errno.ENODEV, it.deviceFd(group, it.name.substring(1)));
            fails(Errno.ENODEV, it.deviceFd(group, it.name + "x"));
            fails(Errno.ENODEV, it.deviceFd(group, it.name + "\t"));
            fails(Errno.EINVAL, it.deviceFd(group, it.name + " x"));
            fails(Errno.EINVAL, it.deviceFd(group, it.name + " vf_token=1"));
            String token = " vf_token=83d8f452-0e1c-44c5-a4cc-7e1ef46b1b9c";
            fails(Errno.EINVAL, it.deviceFd(group, it.name + token));
            fails(Errno.EINVAL, it.deviceFd(group, "x".repeat(4096)));
            fails(Errno.ENODEV, it.deviceFd(group, "x".repeat(4095)));
            ok(it.setContainer(group, it.container));
            ok(it.setIommu(TYPE1_V2));
            it.own(it.deviceFd(group, it.name + "   "));
        }
    }

    @EveryKernel
    void anOpenDeviceKeepsContainerAndGroup(KernelUnderTest kernel) {
        try (ContainerUnderTest it = new ContainerUnderTest(kernel)) {
            int group = it.ready(TYPE1_V2);
            int device = it.openDevice(group);
            fails(Errno.EBUSY, it.unsetContainer(group));
            it.close(group);
            fails(Errno.EBUSY, it.sys.open(it.path, Linux.O_RDWR | Linux.O_CLOEXEC, 0));
            ok(it.map(3, it.memory(1).address(), Linux.PAGE_SIZE, 0));
            it.close(device);
            fails(Errno.EINVAL, it.unmap(0, 0, Linux.PAGE_SIZE));
            group = it.openGroup();
            assertEquals(VIABLE, it.status(group));
        }
    }

    @EveryKernel
    void aDeviceHasManyFilesAndOneState(KernelUnderTest kernel) {
        try (ContainerUnderTest it = new ContainerUnderTest(kernel)) {
            int group = it.ready(TYPE1_V2);
            int first = it.openDevice(group);
            int second = it.openDevice(group);
            MemorySegment line = it.words(0x5a);
            assertEquals(1, it.sys.pwrite(first, line.asSlice(0, 1), EduUnderTest.CONFIG + 0x3c));
            it.close(first);
            MemorySegment answer = it.words(0);
            assertEquals(1, it.sys.pread(second, answer.asSlice(0, 1), EduUnderTest.CONFIG + 0x3c));
            assertEquals(0x5a, answer.get(ValueLayout.JAVA_INT, 0));
            it.close(second);
            ok(it.unsetContainer(group));
        }
    }

    @EveryKernel
    void itsDevicesAreNotBoundByThemselves(KernelUnderTest kernel) {
        try (ContainerUnderTest it = new ContainerUnderTest(kernel)) {
            int group = it.ready(TYPE1_V2);
            int device = it.openDevice(group);
            int iommu = it.open("/dev/iommu");
            fails(Errno.EINVAL, it.sys.ioctl(device, EduUnderTest.BIND, it.words(15, 0, iommu, 0)));
            fails(Errno.EINVAL, it.sys.ioctl(device, EduUnderTest.BIND, it.words(16, 0, iommu, 0)));
            fails(Errno.ENOTTY, it.sys.ioctl(device, EduUnderTest.ATTACH, it.words(12, 0, 1)));
            fails(Errno.ENOTTY, it.sys.ioctl(device, EduUnderTest.DETACH, it.words(8, 0)));
        }
    }

    @EveryKernel
    void aDescriptorOfTheGroupHasNoPath(KernelUnderTest kernel) {
        try (ContainerUnderTest it = new ContainerUnderTest(kernel)) {
            int device = it.openDevice(it.ready(TYPE1_V2));
            long answer = it.sys.mmap(0, 4096, Linux.PROT_READ | Linux.PROT_EXEC, Linux.MAP_SHARED, device, 0);
            if (KvmMachine.before(it.sys, 6, 16)) {
                ok(it.sys.munmap(ok(answer), 4096));
            } else {
                fails(Errno.EPERM, answer);
            }
        }
    }

    @EveryKernel
    void excludesFilesOfTheDeviceThatAreBound(KernelUnderTest kernel) {
        try (ContainerUnderTest it = new ContainerUnderTest(kernel)) {
            int iommu = it.open("/dev/iommu");
            int cdev = it.open(CDEV);
            int group = it.openGroup();
            MemorySegment bind = it.words(16, 0, iommu, 0);
            fails(Errno.EBUSY, it.sys.ioctl(cdev, EduUnderTest.BIND, bind));
            fails(Errno.EBUSY, it.sys.ioctl(cdev, EduUnderTest.BIND, it.words(16, 0, 9999, 0)));
            it.close(group);
            ok(it.sys.ioctl(cdev, EduUnderTest.BIND, bind));
            fails(Errno.EBUSY, it.sys.open(it.path, Linux.O_RDWR | Linux.O_CLOEXEC, 0));
            int other = it.open(CDEV);
            fails(Errno.EINVAL, it.sys.ioctl(other, EduUnderTest.BIND, it.words(16, 0, iommu, 0)));
            it.close(cdev);
            it.openGroup();
        }
    }

    @EveryKernel
    void anIommufdGetsAnAddressSpaceForTheGroup(KernelUnderTest kernel) {
        try (ContainerUnderTest it = new ContainerUnderTest(kernel)) {
            int iommu = it.open("/dev/iommu");
            int group = it.openGroup();
            MemorySegment id = it.words(12, 0, 0);
            fails(Errno.ENODEV, it.sys.ioctl(iommu, 0x3b88, id));
            ok(it.setContainer(group, iommu));
            ok(it.sys.ioctl(iommu, 0x3b88, id));
            ok(it.sys.ioctl(iommu, ContainerUnderTest.SET_IOMMU, (long) TYPE1_V2));
            MemorySegment memory = it.memory(1);
            ok(it.sys.ioctl(iommu, ContainerUnderTest.MAP_DMA, it.struct(32, 3, memory.address(), 0x100000, 4096)));
            int device = it.openDevice(group);
            fails(Errno.EBUSY, it.sys.ioctl(iommu, EduUnderTest.DESTROY, it.words(8, id.get(ValueLayout.JAVA_INT, 4))));
            fails(Errno.ENOTTY, it.sys.ioctl(device, EduUnderTest.DETACH, it.words(8, 0)));
            it.close(device);
            ok(it.sys.ioctl(iommu, EduUnderTest.DESTROY, it.words(8, id.get(ValueLayout.JAVA_INT, 4))));
            fails(Errno.ENODEV, it.deviceFd(group, it.name));
        }
    }

    @EveryKernel
    void withAnIommufdTheGroupMayGoBeforeItsDevices(KernelUnderTest kernel) {
        try (ContainerUnderTest it = new ContainerUnderTest(kernel)) {
            int iommu = it.open("/dev/iommu");
            int group = it.openGroup();
            ok(it.setContainer(group, iommu));
            int device = it.openDevice(group);
            ok(it.unsetContainer(group));
            assertEquals(0, it.status(group), "its DMA is owned by the iommufd");
            fails(Errno.EPERM, it.setContainer(group, it.container));
            it.close(group);
            int cdev = it.open(CDEV);
            fails(Errno.EINVAL, it.sys.ioctl(cdev, EduUnderTest.BIND, it.words(16, 0, iommu, 0)));
            group = it.openGroup();
            fails(Errno.EINVAL, it.deviceFd(group, it.name));
            ok(it.setContainer(group, it.open("/dev/iommu")));
            int second = it.openDevice(group);
            it.close(device);
            MemorySegment info = it.words(16, 0, 0, 0);
            ok(it.sys.ioctl(second, EduUnderTest.GET_INFO, info));
        }
    }

    @EveryKernel
    void belongsToAMachineToo(KernelUnderTest kernel) {
        try (ContainerUnderTest it = new ContainerUnderTest(kernel)) {
            int kvm = it.open("/dev/kvm");
            int machine = it.own(it.sys.ioctl(kvm, 0xae01, 0L));
            MemorySegment create = it.words(4, 0, 0);
            ok(it.sys.ioctl(machine, 0xc00caee0, create));
            int link = it.own(create.get(ValueLayout.JAVA_INT, 4));
            int group = it.openGroup();
            MemorySegment file = it.words(group);
            MemorySegment add = it.struct(0, 1, 1, file.address());
            ok(it.sys.ioctl(link, 0x4018aee1, add));
            fails(Errno.EEXIST, it.sys.ioctl(link, 0x4018aee1, add));
            file.set(ValueLayout.JAVA_INT, 0, it.container);
            fails(Errno.EINVAL, it.sys.ioctl(link, 0x4018aee1, add));
            file.set(ValueLayout.JAVA_INT, 0, group);
            ok(it.sys.ioctl(link, 0x4018aee1, it.struct(0, 1, 2, file.address())));
        }
    }

    @EveryKernel
    void hotResetIsAskedForByGroups(KernelUnderTest kernel) {
        try (ContainerUnderTest it = new ContainerUnderTest(kernel)) {
            int group = it.ready(TYPE1_V2);
            int device = it.openDevice(group);
            fails(Errno.ENODEV, it.sys.ioctl(device, 0x3b70, it.words(12, 0, 0)));
            fails(Errno.EINVAL, it.sys.ioctl(device, 0x3b70, it.words(11, 0, 0)));
            fails(Errno.EINVAL, it.sys.ioctl(device, 0x3b71, it.words(12, 0, 0)));
            fails(Errno.EINVAL, it.sys.ioctl(device, 0x3b71, it.words(16, 1, 1, group)));
            fails(Errno.ENODEV, it.sys.ioctl(device, 0x3b71, it.words(16, 0, 1, group)));
        }
    }
}
