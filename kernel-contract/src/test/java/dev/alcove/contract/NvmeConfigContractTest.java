// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract;

import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import org.junit.jupiter.api.Timeout;

import static dev.alcove.contract.Checks.fails;
import static dev.alcove.contract.Checks.fd;
import static dev.alcove.contract.Checks.ok;
import static dev.alcove.contract.VfioUnderTest.CONFIG;
import static dev.alcove.contract.VfioUnderTest.word;
import static org.junit.jupiter.api.Assertions.assertEquals;

/** A PCI Express function with a 64-bit BAR, MSI-X, power states and a function level reset, as vfio-pci shows it. */
@Surface("NVMe")
@Timeout(60)
final class NvmeConfigContractTest {
    private static final int MSIX = 2;
    private static final int TRIGGER_EVENTFD = 0x24;
    private static final int TRIGGER_NONE = 0x21;

    @EveryKernel
    void theHeaderAndTheCapabilities(KernelUnderTest kernel) {
        try (NvmeUnderTest nvme = new NvmeUnderTest(kernel)) {
            assertEquals(0x00101b36L, nvme.read(CONFIG, 4));
            assertEquals(0x0010, nvme.read(CONFIG + 6, 2));
            assertEquals(0x01080202L, nvme.read(CONFIG + 8, 4));
            assertEquals(4, nvme.read(CONFIG + 0x10, 1), "a 64-bit BAR");
            assertEquals(0x11001af4L, nvme.read(CONFIG + 0x2c, 4));
            assertEquals(0x40, nvme.read(CONFIG + 0x34, 1));
            assertEquals(1, nvme.read(CONFIG + 0x3d, 1));
            assertEquals(0x00408011L, nvme.read(CONFIG + 0x40, 4), "MSI-X of 65 vectors");
            assertEquals(0x2000, nvme.read(CONFIG + 0x44, 4));
            assertEquals(0x3000, nvme.read(CONFIG + 0x48, 4));
            assertEquals(0x00926010L, nvme.read(CONFIG + 0x80, 4), "an integrated endpoint");
            assertEquals(0x10008000L, nvme.read(CONFIG + 0x84, 4), "can be reset");
            assertEquals(0x00030001L, nvme.read(CONFIG + 0x60, 4), "power management, the last");
            assertEquals(8, nvme.read(CONFIG + 0x64, 4));
        }
    }

    @EveryKernel
    void theConfigurationSpaceIsExtended(KernelUnderTest kernel) {
        try (NvmeUnderTest nvme = new NvmeUnderTest(kernel)) {
            assertEquals(0, nvme.read(CONFIG + 0x100, 4), "no extended capability");
            assertEquals(0, nvme.read(CONFIG + 0xffc, 4));
            fails(Errno.EFAULT, nvme.read(CONFIG + 0xffe, 4));
            MemorySegment region = nvme.words(32, 0, 7, 0, 0, 0, 0, 0);
            ok(nvme.sys.ioctl(nvme.device, VfioUnderTest.GET_REGION_INFO, region));
            assertEquals(4096, region.get(ValueLayout.JAVA_LONG, 16));
        }
    }

    @EveryKernel
    void bothHalvesOfTheBarAreTheUsers(KernelUnderTest kernel) {
        try (NvmeUnderTest nvme = new NvmeUnderTest(kernel)) {
            ok(nvme.write(CONFIG + 0x10, 8, -1));
            assertEquals(0xffffffff_ffffc004L, nvme.read(CONFIG + 0x10, 8));
            ok(nvme.write(CONFIG + 0x10, 8, 0x7_fe00_0000L));
            assertEquals(0x7_fe00_0004L, nvme.read(CONFIG + 0x10, 8));
            assertEquals(0x10400, nvme.read(NvmeUnderTest.VS, 4), "the device itself has not moved");
        }
    }

    @EveryKernel
    void ofTheCapabilitiesAFewBitsAreTheUsers(KernelUnderTest kernel) {
        try (NvmeUnderTest nvme = new NvmeUnderTest(kernel)) {
            for (int offset : new int[] {0x40, 0x44, 0x48, 0x60, 0x80, 0x84, 0x8c, 0x90, 0xa4}) {
                long before = nvme.read(CONFIG + offset, 4);
                ok(nvme.write(CONFIG + offset, 4, ~before));
                assertEquals(before, nvme.read(CONFIG + offset, 4), "offset " + offset);
            }
            ok(nvme.write(CONFIG + 0x88, 2, 0x7fff));
            assertEquals(0x70e0, nvme.read(CONFIG + 0x88, 2), "sizes of packets");
            ok(nvme.write(CONFIG + 0x88, 2, 0));
            ok(nvme.write(CONFIG + 0xa8, 2, 0xffff));
            assertEquals(0x8000, nvme.read(CONFIG + 0xa8, 2));
            ok(nvme.write(CONFIG + 0xa8, 2, 0));
        }
    }

    @EveryKernel
    void tellsOfRegionsAndInterrupts(KernelUnderTest kernel) {
        try (NvmeUnderTest nvme = new NvmeUnderTest(kernel)) {
            MemorySegment info = nvme.words(16, 0, 0, 0);
            ok(nvme.sys.ioctl(nvme.device, VfioUnderTest.GET_INFO, info));
            assertEquals(3, word(info, 4) & 3, "PCI, and it can be reset");
            int[][] counts = {{0, 7, 1}, {1, 9, 0}, {2, 1, 65}, {3, 9, 1}, {4, 9, 1}};
            for (int[] index : counts) {
                MemorySegment irq = nvme.words(16, 0, index[0], 0);
                ok(nvme.sys.ioctl(nvme.device, VfioUnderTest.GET_IRQ_INFO, irq));
                assertEquals(index[1], word(irq, 4), "flags of " + index[0]);
                assertEquals(index[2], word(irq, 12), "count of " + index[0]);
            }
            fails(Errno.EINVAL, nvme.ioctl(0x3b70, 8, 0, 0));
            fails(Errno.ENODEV, nvme.ioctl(0x3b70, 12, 0, 0));
        }
    }

    @EveryKernel
    void aCapabilitySaysThatTheVectorsCanBeMapped(KernelUnderTest kernel) {
        try (NvmeUnderTest nvme = new NvmeUnderTest(kernel)) {
            MemorySegment small = nvme.words(32, 0, 0, 0x55, 0, 0, 0, 0);
            ok(nvme.sys.ioctl(nvme.device, VfioUnderTest.GET_REGION_INFO, small));
            assertEquals(40, word(small, 0), "how much room it takes");
            assertEquals(0xf, word(small, 4));
            assertEquals(0, word(small, 12));
            assertEquals(0x4000, small.get(ValueLayout.JAVA_LONG, 16));
            MemorySegment large = nvme.words(48, 0, 0, 0, 0, 0, 0, 0, -1, -1, -1, -1);
            ok(nvme.sys.ioctl(nvme.device, VfioUnderTest.GET_REGION_INFO, large));
            assertEquals(48, word(large, 0));
            assertEquals(32, word(large, 12));
            assertEquals(0x10003, word(large, 32), "MSIX_MAPPABLE, version 1");
            assertEquals(0, word(large, 36));
            assertEquals(-1, word(large, 40));
        }
    }

    @EveryKernel
    void theVectorTableIsTheKernels(KernelUnderTest kernel) {
        try (NvmeUnderTest nvme = new NvmeUnderTest(kernel)) {
            assertEquals(0xffffffffL, nvme.read(0x2000, 4));
            assertEquals(-1, nvme.read(0x2408, 8));
            assertEquals(0, nvme.read(0x2410, 4), "behind the table");
            assertEquals(0, nvme.read(0x3000, 4), "nothing is pending");
            assertEquals(4, nvme.write(0x2000, 4, 0));
            assertEquals(0xffffffffL, nvme.read(0x2000, 4));
            int event = fd(nvme.sys.eventfd(0, 0));
            MemorySegment call = nvme.words(32, 4, 0, 0, 0, 0, event, 0);
            call.set(ValueLayout.JAVA_LONG, 8, 0x200c);
            fails(Errno.EINVAL, nvme.sys.ioctl(nvme.device, 0x3b74, call));
            ok(nvme.sys.close(event));
        }
    }

    @EveryKernel
    void withoutPowerTheRegistersAreNotThere(KernelUnderTest kernel) {
        try (NvmeUnderTest nvme = new NvmeUnderTest(kernel)) {
            ok(nvme.write(CONFIG + 0x64, 2, 3));
            assertEquals(0xb, nvme.read(CONFIG + 0x64, 2));
            fails(Errno.EIO, nvme.read(NvmeUnderTest.VS, 4));
            ok(nvme.write(CONFIG + 0x64, 2, 0));
            assertEquals(8, nvme.read(CONFIG + 0x64, 2));
            assertEquals(0x10400, nvme.read(NvmeUnderTest.VS, 4));
        }
    }

    @EveryKernel
    void vectorsAreTakenInAnyOrder(KernelUnderTest kernel) {
        try (NvmeUnderTest nvme = new NvmeUnderTest(kernel)) {
            int first = fd(nvme.sys.eventfd(0, Linux.EFD_NONBLOCK));
            int second = fd(nvme.sys.eventfd(0, Linux.EFD_NONBLOCK));
            fails(Errno.EINVAL, set(nvme, TRIGGER_EVENTFD, 65, 1, first));
            fails(Errno.EINVAL, set(nvme, TRIGGER_EVENTFD, 64, 2, first, second));
            fails(Errno.EINVAL, set(nvme, TRIGGER_NONE, 0, 1));
            fails(Errno.ERANGE, set(nvme, TRIGGER_EVENTFD, 0, 0));
            fails(Errno.EBADF, set(nvme, TRIGGER_EVENTFD, 0, 2, first, 9999));
            fails(Errno.EINVAL, set(nvme, TRIGGER_NONE, 0, 1));
            ok(set(nvme, TRIGGER_EVENTFD, 3, 1, first));
            assertEquals(0xc040, nvme.read(CONFIG + 0x42, 2) | 0x4000, "messages are on");
            ok(set(nvme, TRIGGER_EVENTFD, 64, 1, second));
            ok(set(nvme, TRIGGER_NONE, 0, 65));
            assertEquals(1, count(nvme, first));
            assertEquals(1, count(nvme, second));
            fails(Errno.EBADF, set(nvme, TRIGGER_EVENTFD, 3, 2, second, 9999));
            ok(set(nvme, TRIGGER_NONE, 3, 1));
            assertEquals(0, count(nvme, first), "an error takes all of the call's away");
            assertEquals(0, count(nvme, second));
            ok(set(nvme, TRIGGER_NONE, 0, 0));
            assertEquals(0x40, nvme.read(CONFIG + 0x42, 2));
            ok(nvme.sys.close(first));
            ok(nvme.sys.close(second));
        }
    }

    private static int set(NvmeUnderTest nvme, int flags, int start, int count, int... events) {
        int[] words = new int[5 + events.length];
        words[0] = 20 + 4 * events.length;
        words[1] = flags;
        words[2] = MSIX;
        words[3] = start;
        words[4] = count;
        System.arraycopy(events, 0, words, 5, events.length);
        return nvme.ioctl(VfioUnderTest.SET_IRQS, words);
    }

    private static long count(NvmeUnderTest nvme, int event) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment value = arena.allocate(8, 8);
            return nvme.sys.read(event, value) < 0 ? 0 : value.get(ValueLayout.JAVA_LONG, 0);
        }
    }
}
