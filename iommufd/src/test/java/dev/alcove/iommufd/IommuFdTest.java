// SPDX-License-Identifier: Apache-2.0
package dev.alcove.iommufd;

import dev.alcove.bindings.iommufd.iommufd;
import dev.alcove.kernel.EmulatedKernel;
import dev.alcove.kernel.EmulatedProcess;
import dev.alcove.kernel.KernelProfile;
import dev.alcove.sys.Errno;
import dev.alcove.sys.FaultInjectingSyscalls;
import dev.alcove.sys.FaultInjectingSyscalls.Call;
import dev.alcove.sys.HostSyscalls;
import dev.alcove.sys.Linux;
import dev.alcove.sys.SyscallException;
import java.util.BitSet;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

/** The client on the emulated kernel; the lab runs the same calls on a real one. */
class IommuFdTest {
    private static final long PAGE = Linux.PAGE_SIZE;
    private static final long PAGES = 64;
    private static final long IOVA = 0x100000;
    private static final int ACCESS = Ioas.READ | Ioas.WRITE;

    private EmulatedKernel kernel;
    private EmulatedProcess process;
    private FaultInjectingSyscalls syscalls;
    private long memory;

    @BeforeEach
    void start() {
        kernel = new EmulatedKernel(KernelProfile.linux7_2(), new HostSyscalls());
        process = kernel.process();
        syscalls = new FaultInjectingSyscalls(process);
        int protection = Linux.PROT_READ | Linux.PROT_WRITE;
        memory = process.mmap(0, PAGES * PAGE, protection, Linux.MAP_PRIVATE | Linux.MAP_ANONYMOUS, -1, 0);
        assertFalse(Linux.isError(memory));
    }

    @AfterEach
    void end() {
        assertEquals(0, process.openFiles(), "descriptors are left");
        assertEquals(0, process.munmap(memory, PAGES * PAGE));
        process.close();
        assertEquals(List.of(), kernel.leaks());
        kernel.close();
    }

    private static void refused(int errno, Runnable call) {
        SyscallException thrown = assertThrows(SyscallException.class, call::run);
        assertEquals(Errno.name(errno), Errno.name(thrown.errno()), thrown.toString());
    }

    @Test
    void mappingsComeAndGo() {
        try (IommuFd iommu = IommuFd.open(syscalls);
                Ioas ioas = iommu.ioasAlloc()) {
            ioas.map(memory, IOVA, 4 * PAGE, ACCESS);
            refused(Errno.EEXIST, () -> ioas.map(memory, IOVA + PAGE, PAGE, ACCESS));
            refused(Errno.EINVAL, () -> ioas.map(memory, IOVA + 16 * PAGE, 0, ACCESS));
            refused(Errno.EINVAL, () -> ioas.map(memory, IOVA + 16 * PAGE, PAGE, 0));
            refused(Errno.ENOENT, () -> ioas.unmap(IOVA, PAGE));
            refused(Errno.ENOENT, () -> ioas.unmap(IOVA + 32 * PAGE, PAGE));
            assertEquals(4 * PAGE, ioas.unmap(IOVA, 4 * PAGE));
            assertEquals(0, ioas.unmapAll());
            long picked = ioas.mapAnyIova(memory, 2 * PAGE, Ioas.READ);
            assertEquals(2 * PAGE, ioas.unmap(picked, 2 * PAGE));
            ioas.map(memory, IOVA, PAGE, Ioas.READ);
            ioas.map(memory + PAGE, IOVA + PAGE, PAGE, Ioas.READ);
            assertEquals(2 * PAGE, ioas.unmapAll());
        }
    }

    @Test
    void filesAndCopiesAreMapped() {
        int fd = process.memfdCreate("ram", Linux.MFD_CLOEXEC);
        process.ftruncate(fd, 8 * PAGE);
        try (IommuFd iommu = IommuFd.open(syscalls);
                Ioas source = iommu.ioasAlloc();
                Ioas copy = iommu.ioasAlloc()) {
            source.mapFile(fd, PAGE, IOVA, 4 * PAGE, Ioas.READ);
            refused(Errno.EPERM, () -> copy.copyFrom(source, IOVA, IOVA, PAGE, ACCESS));
            copy.copyFrom(source, IOVA + PAGE, 0x900000, PAGE, Ioas.READ);
            refused(Errno.ENOENT, () -> copy.copyFrom(source, IOVA + 4 * PAGE, 0xa00000, PAGE, Ioas.READ));
            assertEquals(PAGE, copy.unmapAll());
            assertEquals(4 * PAGE, source.unmapAll());
        } finally {
            process.close(fd);
        }
    }

    @Test
    void rangesAreAskedForAndDemanded() {
        try (IommuFd iommu = IommuFd.open(syscalls);
                Ioas ioas = iommu.ioasAlloc()) {
            List<IovaRange> ranges = ioas.iovaRanges();
            assertTrue(ranges.stream().anyMatch(range -> range.contains(IOVA, PAGE)), ranges.toString());
            ioas.allowIovas(List.of(new IovaRange(IOVA, IOVA + 0xffff)));
            refused(Errno.EINVAL, () -> ioas.allowIovas(List.of(new IovaRange(PAGE, 0))));
            ioas.allowIovas(List.of());
        }
    }

    @Test
    void aRangeKnowsWhatIsInIt() {
        IovaRange high = new IovaRange(0xffff_ffff_0000_0000L, -1);
        assertTrue(high.contains(0xffff_ffff_0000_0000L, 1L << 32));
        assertFalse(high.contains(0xffff_ffff_0000_0000L, (1L << 32) + 1));
        assertFalse(high.contains(0x1000, PAGE));
    }

    @Test
    void theCompatibilityAddressSpaceIsSetAndCleared() {
        try (IommuFd iommu = IommuFd.open(syscalls);
                Ioas ioas = iommu.ioasAlloc()) {
            assertEquals(0, iommu.vfioIoas());
            refused(Errno.ENODEV, iommu::setIommuType1);
            iommu.setVfioIoas(ioas);
            assertEquals(ioas.id(), iommu.vfioIoas());
            iommu.clearVfioIoas();
            assertEquals(0, iommu.vfioIoas());
        }
    }

    @Test
    void type1ModeCutsAnywhere() {
        long seed = System.nanoTime();
        Random random = new Random(seed);
        try (IommuFd iommu = IommuFd.open(syscalls);
                Ioas ioas = iommu.ioasAlloc()) {
            iommu.setVfioIoas(ioas);
            iommu.setIommuType1();
            BitSet mapped = new BitSet((int) PAGES);
            for (int i = 0; i < 500; i++) {
                int start = random.nextInt((int) PAGES);
                int end = start + 1 + random.nextInt((int) PAGES - start);
                String step = "seed " + seed + " step " + i + " [" + start + ", " + end + ")";
                long length = (end - start) * PAGE;
                if (random.nextBoolean()) {
                    int had = mapped.get(start, end).cardinality();
                    assertEquals(had * PAGE, iommu.compatUnmap(IOVA + start * PAGE, length), step);
                    mapped.clear(start, end);
                } else if (mapped.get(start, end).isEmpty()) {
                    ioas.map(memory + start * PAGE, IOVA + start * PAGE, length, ACCESS);
                    mapped.set(start, end);
                } else {
                    refused(
                            Errno.EEXIST,
                            () -> iommu.compatMap(memory + start * PAGE, IOVA + start * PAGE, length, ACCESS));
                }
            }
            assertEquals(mapped.cardinality() * PAGE, ioas.unmapAll(), "seed " + seed);
        }
    }

    @Test
    void objectsAreDestroyedOnce() {
        try (IommuFd iommu = IommuFd.open(syscalls)) {
            Ioas ioas = iommu.ioasAlloc();
            ioas.close();
            ioas.close();
            refused(Errno.ENOENT, () -> iommu.destroy(ioas.id()));
            refused(Errno.ENOENT, () -> Hwpt.alloc(4711, iommu.ioasAlloc(), 0));
        }
    }

    @Test
    void optionsAreSet() {
        try (IommuFd iommu = IommuFd.open(syscalls)) {
            iommu.rlimitMode(true);
            try (Ioas ioas = iommu.ioasAlloc()) {
                ioas.hugePages(false);
                refused(Errno.EBUSY, () -> iommu.rlimitMode(false));
            }
        }
    }

    @Test
    void errorsSayWhatToDo() {
        syscalls.failNth(Call.named("open"), 1, Errno.ENOENT);
        SyscallException missing = assertThrows(SyscallException.class, () -> IommuFd.open(syscalls));
        assertTrue(("" + missing.hint()).contains("modprobe iommufd"), missing.hint());
        try (IommuFd iommu = IommuFd.open(syscalls);
                Ioas ioas = iommu.ioasAlloc()) {
            syscalls.failNth(Call.ioctl(iommufd.IOMMU_IOAS_MAP()), 1, Errno.ENOMEM);
            SyscallException thrown =
                    assertThrows(SyscallException.class, () -> ioas.map(memory, IOVA, 4 * PAGE, ACCESS));
            assertTrue(thrown.toString().contains("0x100000"), thrown.toString());
            assertTrue(
                    ("" + thrown.hint()).contains("ulimit -l") || ("" + thrown.hint()).contains("out of memory"),
                    thrown.hint());
        }
    }
}
