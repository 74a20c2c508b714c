// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract;

import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import dev.alcove.sys.Syscalls;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import org.junit.jupiter.api.Timeout;

import static dev.alcove.contract.Checks.fails;
import static dev.alcove.contract.Checks.fd;
import static dev.alcove.contract.Checks.ok;
import static dev.alcove.contract.EduUnderTest.word;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

/** /dev/vfio/devices/vfioN: binding, queries, regions, interrupts, reset; the device is QEMU's edu. */
@Surface("VFIO device")
@Timeout(60)
final class VfioDeviceContractTest {
    @EveryKernel
    void givesNothingBeforeItIsBound(KernelUnderTest kernel) {
        try (EduUnderTest edu = new EduUnderTest(kernel)) {
            fails(Errno.EINVAL, edu.ioctl(EduUnderTest.GET_INFO, 16, 0, 0, 0));
            fails(Errno.EINVAL, edu.ioctl(EduUnderTest.ATTACH, 12, 0, 1));
            fails(Errno.EINVAL, edu.ioctl(0x3bff, 0));
            fails(Errno.EINVAL, edu.read(EduUnderTest.CONFIG, 4));
            fails(Errno.EINVAL, edu.write(EduUnderTest.CONFIG, 4, 0));
            fails(Errno.EINVAL, edu.sys.mmap(0, 4096, Linux.PROT_READ, Linux.MAP_SHARED, edu.device, 0));
        }
    }

    @EveryKernel
    void bindsOnceAndToAnIommufdOnly(KernelUnderTest kernel) {
        try (EduUnderTest edu = new EduUnderTest(kernel)) {
            Syscalls sys = edu.sys;
            fails(Errno.EINVAL, edu.ioctl(EduUnderTest.BIND, 12, 0, edu.iommu, 0));
            fails(Errno.EINVAL, edu.ioctl(EduUnderTest.BIND, 16, 2, edu.iommu, 0));
            fails(Errno.EINVAL, edu.ioctl(EduUnderTest.BIND, 16, 0, -1, 0));
            fails(Errno.EBADF, edu.ioctl(EduUnderTest.BIND, 16, 0, 9999, 0));
            fails(Errno.EFAULT, sys.ioctl(edu.device, EduUnderTest.BIND, 8L));
            int event = fd(sys.eventfd(0, 0));
            fails(Errno.EBADFD, edu.ioctl(EduUnderTest.BIND, 16, 0, event, 0));
            ok(sys.close(event));
            MemorySegment bind = edu.words(16, 0, edu.iommu, 0);
            ok(sys.ioctl(edu.device, EduUnderTest.BIND, bind));
            assertTrue(word(bind, 12) != 0, "an object id");
            fails(Errno.EINVAL, edu.bind());
            int second = kernel.open("/dev/vfio/devices/vfio0");
            fails(Errno.EINVAL, sys.ioctl(second, EduUnderTest.BIND, edu.words(16, 0, edu.iommu, 0)));
            ok(sys.close(second));
        }
    }

    @EveryKernel
    void canBeOpenedAgainAfterClose(KernelUnderTest kernel) {
        for (int round = 0; round < 3; round++) {
            try (EduUnderTest edu = new EduUnderTest(kernel)) {
                edu.attached();
                assertEquals(0x11e81234L, edu.read(EduUnderTest.CONFIG, 4));
            }
        }
    }

    @EveryKernel
    void attachesReplacesAndDetaches(KernelUnderTest kernel) {
        try (EduUnderTest edu = new EduUnderTest(kernel)) {
            int ioas = edu.attached();
            fails(Errno.EINVAL, edu.ioctl(EduUnderTest.ATTACH, 8, 0, ioas));
            fails(Errno.EINVAL, edu.ioctl(EduUnderTest.ATTACH, 12, 4, ioas));
            fails(Errno.ENOENT, edu.ioctl(EduUnderTest.ATTACH, 12, 0, 0x7fff));
            fails(Errno.EBUSY, edu.sys.ioctl(edu.iommu, EduUnderTest.DESTROY, edu.words(8, ioas)));
            int other = edu.newIoas();
            ok(edu.ioctl(EduUnderTest.ATTACH, 12, 0, other));
            ok(edu.sys.ioctl(edu.iommu, EduUnderTest.DESTROY, edu.words(8, ioas)));
            ok(edu.ioctl(EduUnderTest.DETACH, 8, 0));
            ok(edu.ioctl(EduUnderTest.DETACH, 8, 0));
            ok(edu.sys.ioctl(edu.iommu, EduUnderTest.DESTROY, edu.words(8, other)));
        }
    }

    @EveryKernel
    void tellsWhatItIs(KernelUnderTest kernel) {
        try (EduUnderTest edu = new EduUnderTest(kernel)) {
            ok(edu.bind());
            fails(Errno.EINVAL, edu.ioctl(EduUnderTest.GET_INFO, 12, 0, 0, 0));
            MemorySegment info = edu.words(16, 0, 0, 0);
            ok(edu.sys.ioctl(edu.device, EduUnderTest.GET_INFO, info));
            assertEquals(2, word(info, 4) & 2, "VFIO_DEVICE_FLAGS_PCI");
            assertEquals(9, word(info, 8), "regions");
            assertEquals(5, word(info, 12), "interrupt indices");

            MemorySegment bar = edu.words(32, 0, 0, 0, 0, 0, 0, 0);
            ok(edu.sys.ioctl(edu.device, EduUnderTest.GET_REGION_INFO, bar));
            assertEquals(7, word(bar, 4) & 7, "read, write, mmap");
            assertEquals(1 << 20, bar.get(ValueLayout.JAVA_LONG, 16));
            assertEquals(0, bar.get(ValueLayout.JAVA_LONG, 24));
            MemorySegment config = edu.words(32, 0, 7, 0, 0, 0, 0, 0);
            ok(edu.sys.ioctl(edu.device, EduUnderTest.GET_REGION_INFO, config));
            assertEquals(256, config.get(ValueLayout.JAVA_LONG, 16));
            assertEquals(EduUnderTest.CONFIG, config.get(ValueLayout.JAVA_LONG, 24));
            fails(Errno.EINVAL, edu.ioctl(EduUnderTest.GET_REGION_INFO, 32, 0, 8, 0, 0, 0, 0, 0));
            fails(Errno.EINVAL, edu.ioctl(EduUnderTest.GET_REGION_INFO, 32, 0, 9, 0, 0, 0, 0, 0));

            MemorySegment msi = edu.words(16, 0, 1, 0);
            ok(edu.sys.ioctl(edu.device, EduUnderTest.GET_IRQ_INFO, msi));
            assertEquals(1, word(msi, 12));
            assertEquals(1, word(msi, 4) & 1, "VFIO_IRQ_INFO_EVENTFD");
            MemorySegment msix = edu.words(16, 0, 2, 0);
            ok(edu.sys.ioctl(edu.device, EduUnderTest.GET_IRQ_INFO, msix));
            assertEquals(9, word(msix, 4), "VFIO_IRQ_INFO_EVENTFD and NORESIZE, without vectors");
            fails(Errno.EINVAL, edu.ioctl(EduUnderTest.GET_IRQ_INFO, 16, 0, 5, 0));
            fails(Errno.ENOTTY, edu.ioctl(0x3bff, 0));
        }
    }

    @EveryKernel
    void virtualisesTheBars(KernelUnderTest kernel) {
        try (EduUnderTest edu = new EduUnderTest(kernel)) {
            ok(edu.bind());
            ok(edu.write(EduUnderTest.CONFIG + 0x10, 4, 0xffffffffL));
            assertEquals(0xfff00000L, edu.read(EduUnderTest.CONFIG + 0x10, 4));
            ok(edu.write(EduUnderTest.CONFIG + 0x10, 4, 0xc0000000L));
            assertEquals(0xc0000000L, edu.read(EduUnderTest.CONFIG + 0x10, 4));
            edu.enable();
            assertEquals(0x010000edL, edu.read(0, 4), "the device itself has not moved");
            fails(Errno.EFAULT, edu.read(EduUnderTest.CONFIG + 254, 4));
            fails(Errno.EINVAL, edu.read(1 << 20, 4));
            fails(Errno.EINVAL, edu.read(1L << 40, 4));
        }
    }

    @EveryKernel
    void registersNeedMemoryDecoding(KernelUnderTest kernel) {
        try (EduUnderTest edu = new EduUnderTest(kernel)) {
            ok(edu.bind());
            ok(edu.write(EduUnderTest.CONFIG + EduUnderTest.COMMAND, 2, 0));
            fails(Errno.EIO, edu.read(0, 4));
            edu.enable();
            edu.write(4, 4, 0x12345678);
            assertEquals(0xedcba987L, edu.read(4, 4));
        }
    }

    @EveryKernel
    void computesFactorials(KernelUnderTest kernel) {
        try (EduUnderTest edu = new EduUnderTest(kernel)) {
            ok(edu.bind());
            edu.enable();
            edu.write(8, 4, 10);
            while ((edu.read(0x20, 4) & 1) != 0) {
                Thread.onSpinWait();
            }
            assertEquals(3628800, edu.read(8, 4));
        }
    }

    @EveryKernel
    void mapsItsRegisters(KernelUnderTest kernel) {
        try (EduUnderTest edu = new EduUnderTest(kernel)) {
            ok(edu.bind());
            int prot = Linux.PROT_READ | Linux.PROT_WRITE;
            fails(Errno.EINVAL, edu.sys.mmap(0, 4096, prot, Linux.MAP_PRIVATE, edu.device, 0));
            fails(Errno.EINVAL, edu.sys.mmap(0, 2 << 20, prot, Linux.MAP_SHARED, edu.device, 0));
            fails(Errno.EINVAL, edu.sys.mmap(0, 4096, prot, Linux.MAP_SHARED, edu.device, EduUnderTest.CONFIG));
            long address = ok(edu.sys.mmap(0, 1 << 20, prot, Linux.MAP_SHARED, edu.device, 0));
            ok(edu.sys.munmap(address, 1 << 20));
        }
    }

    @EveryKernel
    void signalsAnEventfdForAMessage(KernelUnderTest kernel) {
        try (EduUnderTest edu = new EduUnderTest(kernel)) {
            edu.attached();
            edu.enable();
            int event = fd(edu.sys.eventfd(0, Linux.EFD_NONBLOCK));
            fails(Errno.EINVAL, edu.ioctl(EduUnderTest.SET_IRQS, 24, 0x24, 1, 1, 1, event));
            fails(Errno.EINVAL, edu.ioctl(EduUnderTest.SET_IRQS, 20, 0x24, 1, 0, 1, event));
            fails(Errno.EINVAL, edu.ioctl(EduUnderTest.SET_IRQS, 24, 0x44, 1, 0, 1, event));
            fails(Errno.EBADF, edu.ioctl(EduUnderTest.SET_IRQS, 24, 0x24, 1, 0, 1, 9999));
            fails(Errno.ENOTTY, edu.ioctl(EduUnderTest.SET_IRQS, 24, 0x0c, 1, 0, 1, event));
            ok(edu.ioctl(EduUnderTest.SET_IRQS, 24, 0x24, 1, 0, 1, event));
            edu.write(0x60, 4, 1);
            assertEquals(1, await(edu.sys, event));
            edu.write(0x64, 4, 1);
            ok(edu.ioctl(EduUnderTest.SET_IRQS, 20, 0x21, 1, 0, 1));
            assertEquals(1, await(edu.sys, event), "loopback by the user");
            ok(edu.ioctl(EduUnderTest.SET_IRQS, 20, 0x21, 1, 0, 0));
            fails(Errno.EINVAL, edu.ioctl(EduUnderTest.SET_IRQS, 20, 0x21, 1, 0, 1));
            ok(edu.sys.close(event));
        }
    }

    @EveryKernel
    void masksThePinWhenItFires(KernelUnderTest kernel) {
        try (EduUnderTest edu = new EduUnderTest(kernel)) {
            edu.attached();
            edu.enable();
            int event = fd(edu.sys.eventfd(0, Linux.EFD_NONBLOCK));
            ok(edu.ioctl(EduUnderTest.SET_IRQS, 24, 0x24, 0, 0, 1, event));
            edu.write(0x60, 4, 2);
            assertEquals(1, await(edu.sys, event));
            ok(edu.ioctl(EduUnderTest.SET_IRQS, 20, 0x11, 0, 0, 1));
            assertEquals(1, await(edu.sys, event), "still asserted when it was unmasked");
            edu.write(0x64, 4, 2);
            ok(edu.ioctl(EduUnderTest.SET_IRQS, 20, 0x11, 0, 0, 1));
            fails(Errno.EAGAIN, readEvent(edu.sys, event));
            ok(edu.sys.close(event));
        }
    }

    @EveryKernel
    void checksFeatureHeaders(KernelUnderTest kernel) {
        try (EduUnderTest edu = new EduUnderTest(kernel)) {
            ok(edu.bind());
            fails(Errno.EINVAL, edu.ioctl(EduUnderTest.FEATURE, 4, 0x10001));
            fails(Errno.EINVAL, edu.ioctl(EduUnderTest.FEATURE, 8, 0x80001));
            fails(Errno.EINVAL, edu.ioctl(EduUnderTest.FEATURE, 8, 0x30001));
            fails(Errno.ENOTTY, edu.ioctl(EduUnderTest.FEATURE, 8, 0x1ffff));
        }
    }

    @EveryKernel
    void hasNothingThatResetsIt(KernelUnderTest kernel) {
        try (EduUnderTest edu = new EduUnderTest(kernel)) {
            ok(edu.bind());
            MemorySegment info = edu.words(16, 0, 0, 0);
            ok(edu.sys.ioctl(edu.device, EduUnderTest.GET_INFO, info));
            assertEquals(0, word(info, 4) & 1, "VFIO_DEVICE_FLAGS_RESET");
            fails(Errno.EINVAL, edu.ioctl(EduUnderTest.RESET));
            fails(Errno.EINVAL, edu.ioctl(0x3b70, 8, 0, 0));
            fails(Errno.ENODEV, edu.ioctl(0x3b70, 12, 0, 0));
            fails(Errno.EINVAL, edu.ioctl(0x3b71, 12, 1, 0));
            fails(Errno.ENODEV, edu.ioctl(0x3b71, 12, 0, 0));
        }
    }

    @EveryKernel
    void keepsItsRegistersWhenItIsClosed(KernelUnderTest kernel) {
        try (EduUnderTest edu = new EduUnderTest(kernel)) {
            ok(edu.bind());
            edu.enable();
            edu.write(4, 4, 0x1234);
            edu.write(0x80, 8, 0x123456789abcL);
        }
        try (EduUnderTest edu = new EduUnderTest(kernel)) {
            ok(edu.bind());
            assertEquals(0xffffedcbL, edu.read(4, 4));
            assertEquals(0x123456789abcL, edu.read(0x80, 8));
            assertEquals(0, edu.read(EduUnderTest.CONFIG + EduUnderTest.COMMAND, 2) & 4, "no master any more");
        }
    }

    @EveryKernel
    void registersTakeTheirWidths(KernelUnderTest kernel) {
        try (EduUnderTest edu = new EduUnderTest(kernel)) {
            ok(edu.bind());
            edu.enable();
            assertEquals(0, edu.read(0, 1));
            assertEquals(0, edu.read(0, 2));
            assertEquals(-1, edu.read(0, 8));
            edu.write(0x88, 8, -1);
            edu.write(0x88, 4, 5);
            assertEquals(5, edu.read(0x88, 8), "four bytes set all eight");
            assertEquals(5, edu.read(0x88, 4));
            assertEquals(0xffffffffL, edu.read(0x8c, 4));
            edu.write(0x88, 2, 7);
            assertEquals(5, edu.read(0x88, 8));
        }
    }

    @EveryKernel
    void lowPowerIsEnteredOnce(KernelUnderTest kernel) {
        try (EduUnderTest edu = new EduUnderTest(kernel)) {
            ok(edu.bind());
            ok(edu.ioctl(EduUnderTest.FEATURE, 8, 0x40003));
            fails(Errno.EINVAL, edu.ioctl(EduUnderTest.FEATURE, 8, 0x10003));
            fails(Errno.EINVAL, edu.ioctl(EduUnderTest.FEATURE, 8, 3));
            ok(edu.ioctl(EduUnderTest.FEATURE, 8, 0x20003));
            fails(Errno.EINVAL, edu.ioctl(EduUnderTest.FEATURE, 8, 0x20003));
            ok(edu.ioctl(EduUnderTest.FEATURE, 8, 0x20005));
            ok(edu.ioctl(EduUnderTest.FEATURE, 8, 0x20005));
            fails(Errno.EINVAL, edu.ioctl(EduUnderTest.FEATURE, 12, 0x20004, 0));
            fails(Errno.EINVAL, edu.ioctl(EduUnderTest.FEATURE, 16, 0x20004, -1, 0));
            fails(Errno.EBADF, edu.ioctl(EduUnderTest.FEATURE, 16, 0x20004, 9999, 0));
            fails(Errno.EINVAL, edu.ioctl(EduUnderTest.FEATURE, 16, 0x20004, edu.iommu, 0));
            for (int migration : new int[] {0, 1, 2, 6, 7, 8, 9, 10}) {
                fails(Errno.ENOTTY, edu.ioctl(EduUnderTest.FEATURE, 8, 0x40000 | migration));
            }
        }
    }

    @EveryKernel
    void pasidZeroIsTheDeviceItself(KernelUnderTest kernel) {
        try (EduUnderTest edu = new EduUnderTest(kernel)) {
            ok(edu.bind());
            int ioas = edu.newIoas();
            fails(Errno.EINVAL, edu.ioctl(EduUnderTest.ATTACH, 12, 1, ioas, 0));
            int missing = edu.ioctl(EduUnderTest.ATTACH, 16, 1, 0x7fff, 0);
            kernel.needs("VFIO_DEVICE_ATTACH_PASID", missing == -Errno.EINVAL ? missing : 0);
            fails(Errno.ENOENT, missing);
            fails(Errno.EINVAL, edu.ioctl(EduUnderTest.ATTACH, 16, 1, ioas, 7));
            ok(edu.ioctl(EduUnderTest.ATTACH, 12, 0, ioas));
            fails(Errno.EBUSY, edu.ioctl(EduUnderTest.ATTACH, 16, 1, ioas, 0));
            ok(edu.ioctl(EduUnderTest.DETACH, 12, 1, 0));
            fails(Errno.EBUSY, edu.sys.ioctl(edu.iommu, EduUnderTest.DESTROY, edu.words(8, ioas)));
            ok(edu.ioctl(EduUnderTest.DETACH, 8, 0));
            ok(edu.sys.ioctl(edu.iommu, EduUnderTest.DESTROY, edu.words(8, ioas)));
        }
    }

    private static long readEvent(Syscalls sys, int fd) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment value = arena.allocate(8, 8);
            long answer = sys.read(fd, value);
            return answer < 0 ? answer : value.get(ValueLayout.JAVA_LONG, 0);
        }
    }

    private static long await(Syscalls sys, int fd) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment poll = arena.allocate(8, 8);
            poll.set(ValueLayout.JAVA_INT, 0, fd);
            poll.set(ValueLayout.JAVA_SHORT, 4, (short) Linux.POLLIN);
            assertEquals(1, sys.poll(poll, 10_000), "the eventfd is signalled");
            return readEvent(sys, fd);
        }
    }
}
