// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract;

import dev.alcove.contract.TestCommandClient.MockDevice;
import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import dev.alcove.sys.Syscalls;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import java.util.function.LongSupplier;
import org.junit.jupiter.api.Timeout;

import static dev.alcove.contract.Checks.fails;
import static dev.alcove.contract.Checks.fd;
import static dev.alcove.contract.Checks.ok;
import static dev.alcove.contract.IommufdClient.ALL;
import static dev.alcove.contract.TestCommandClient.APERTURE;
import static dev.alcove.contract.TestCommandClient.SLOW;
import static dev.alcove.contract.TestCommandClient.WRITE;
import static org.junit.jupiter.api.Assertions.assertEquals;

/**
 * The steps of iommufd that fault injection makes fail though they allocate nothing (fail_iommufd): which ones, in which
 * order, with what answer. Allocations themselves are spared.
 */
@Surface("iommufd-test")
@Timeout(60)
final class IommufdFailureContractTest {
    private static final long PAGE = Linux.PAGE_SIZE;
    private static final int PINS = 1;
    private static final String FOLDER = "/sys/kernel/debug/fail_iommufd/";

    /** Allocations that cannot wait count otherwise, and the kernel gets along without them. */
    private static final String FILTER = "/sys/kernel/debug/failslab/cache-filter";

    /** An address space with eight pages, mapped. */
    private static final class Rig implements AutoCloseable {
        final Syscalls sys;
        final IommufdClient it;
        final TestCommandClient test;
        final TextFiles files;
        final long ioas;
        final long memory;
        final MemorySegment buffer;
        private final NthFailure nth;

        Rig(KernelUnderTest kernel) {
            sys = kernel.sys();
            it = new IommufdClient(kernel);
            test = new TestCommandClient(kernel, it);
            files = new TextFiles(sys);
            nth = new NthFailure(sys);
            int probe = sys.open(FOLDER + "verbose", Linux.O_RDWR | Linux.O_CLOEXEC, 0);
            kernel.needs("fail_iommufd, or the right to use it", probe);
            ok(sys.close(probe));
            ok(files.write(FOLDER + "verbose", "0"));
            ok(files.write(FILTER, "Y"));
            ioas = ok(it.ioas());
            memory = it.memory(8);
            buffer = it.user(4 * PAGE);
            assertEquals(APERTURE, it.map(ioas, ALL, memory, 8 * PAGE, APERTURE));
        }

        /** Makes a call with each of its steps failing, then with none: what it answers each time. */
        List<String> failures(LongSupplier call) {
            List<String> answers = new ArrayList<>();
            for (int number = 1; number < NthFailure.MOST; number++) {
                long answer = nth.answer(number, call);
                if (!nth.failed()) {
                    ok(answer);
                    return answers;
                }
                answers.add(Errno.name(answer));
            }
            throw new AssertionError("no end of failures: " + answers);
        }

        long access(int flags) {
            return it.own((int) ok(test.access(ioas, flags)));
        }

        @Override
        public void close() {
            nth.close();
            ok(files.write(FILTER, "N"));
            it.close();
        }
    }

    @EveryKernel
    void aMapping(KernelUnderTest kernel) {
        try (Rig rig = new Rig(kernel)) {
            rig.test.needsMockDevices();
            long iova = APERTURE + 8 * PAGE;
            assertEquals(List.of("ENOENT"), rig.failures(() -> rig.it.map(rig.ioas, ALL, rig.memory, PAGE, iova)));
            assertEquals(List.of("ENOENT"), rig.failures(() -> rig.it.unmap(rig.ioas, iova, PAGE)));
            MockDevice device = rig.test.mock(rig.ioas);
            assertEquals(
                    List.of("ENOENT", "ENOMEM", "ENOMEM", "EFAULT", "ENOMEM"),
                    rig.failures(() -> rig.it.map(rig.ioas, ALL, rig.memory, PAGE, iova)));
            rig.test.pinned(2, rig.memory, 1);
            assertEquals(List.of("ENOENT"), rig.failures(() -> rig.it.unmap(rig.ioas, iova, PAGE)));
            rig.test.pinned(1, rig.memory, 8);
            ok(rig.it.destroy(device.object()));
            rig.test.pinned(0, rig.memory, 8);
        }
    }

    @EveryKernel
    void aMappingOfAFile(KernelUnderTest kernel) {
        try (Rig rig = new Rig(kernel)) {
            rig.test.needsMockDevices();
            rig.it.needs(IommufdClient.MAP_FILE, "IOMMU_IOAS_MAP_FILE");
            int file = rig.it.own(fd(rig.sys.memfdCreate("file", Linux.MFD_CLOEXEC)));
            ok(rig.sys.ftruncate(file, 4 * PAGE));
            rig.test.mock(rig.ioas);
            long iova = APERTURE + 8 * PAGE;
            assertEquals(
                    List.of("ENOENT", "ENOMEM", "ENOMEM", "EFAULT", "ENOMEM"),
                    rig.failures(() -> rig.it.mapFile(rig.ioas, ALL, file, 0, 4 * PAGE, iova)));
            assertEquals(List.of("ENOENT"), rig.failures(() -> rig.it.unmap(rig.ioas, iova, 4 * PAGE)));
        }
    }

    @EveryKernel
    void aCopy(KernelUnderTest kernel) {
        try (Rig rig = new Rig(kernel)) {
            rig.test.needsMockDevices();
            rig.test.mock(rig.ioas);
            // Nothing is pinned that is pinned already: only the memory for a batch is missing.
            assertEquals(
                    List.of("ENOENT", "ENOENT", "ENOMEM"),
                    rig.failures(() ->
                            rig.it.copy(ALL, rig.ioas, APERTURE, rig.ioas, APERTURE + 16 * PAGE, 8 * PAGE)));
            rig.test.pinned(1, rig.memory, 8);
        }
    }

    @EveryKernel
    void anAttachment(KernelUnderTest kernel) {
        try (Rig rig = new Rig(kernel)) {
            rig.test.needsMockDevices();
            assertEquals(
                    List.of("ENOENT", "EINVAL", "ENOMEM", "ENOMEM", "EFAULT", "ENOMEM"),
                    rig.failures(() -> rig.test.tryMock(rig.ioas)));
            rig.test.pinned(1, rig.memory, 8);
            // A refusal looks as if the page table did not fit: the device gets one of its own.
            assertEquals(
                    List.of("ENOENT", Errno.name(0)), rig.failures(() -> rig.test.tryMock(rig.ioas)).subList(0, 2));
        }
    }

    @EveryKernel
    void anotherPageTable(KernelUnderTest kernel) {
        try (Rig rig = new Rig(kernel)) {
            rig.test.needsMockDevices();
            MockDevice device = rig.test.mock(rig.ioas);
            long other = ok(rig.it.ioas());
            assertEquals(List.of("ENOENT", "EINVAL"), rig.failures(() -> rig.it.hwpt(0, device.device(), other)));
            assertEquals(
                    List.of("ENOENT", "ENOENT", "EINVAL"), rig.failures(() -> rig.test.replace(device.object(), other)));
            rig.test.pinned(0, rig.memory, 8);
        }
    }

    @EveryKernel
    void anAccess(KernelUnderTest kernel) {
        try (Rig rig = new Rig(kernel)) {
            assertEquals(List.of("ENOENT"), rig.failures(() -> {
                long access = rig.test.access(rig.ioas, PINS);
                return access < 0 ? access : rig.sys.close((int) access);
            }));
            long access = rig.access(PINS);
            assertEquals(
                    List.of("EFAULT", "EINVAL", "ENOMEM"),
                    rig.failures(() -> rig.test.pin(access, APERTURE, 4 * PAGE, rig.memory, WRITE)));
            rig.test.pinned(1, rig.memory, 4);
            assertEquals(
                    List.of(), rig.failures(() -> rig.test.pin(access, APERTURE, 4 * PAGE, rig.memory, WRITE)));
            assertEquals(
                    List.of("EFAULT", "EINVAL", "ENOMEM"),
                    rig.failures(() -> rig.test.pin(access, APERTURE, 8 * PAGE, rig.memory, WRITE)));
            long other = ok(rig.it.ioas());
            assertEquals(List.of("ENOENT"), rig.failures(() -> rig.test.replaceIoas(access, other)));
            rig.test.pinned(0, rig.memory, 8);
        }
    }

    @EveryKernel
    void anAccessToWhatADomainHas(KernelUnderTest kernel) {
        try (Rig rig = new Rig(kernel)) {
            rig.test.needsMockDevices();
            rig.test.mock(rig.ioas);
            long access = rig.access(PINS);
            assertEquals(
                    List.of("EINVAL"),
                    rig.failures(() -> rig.test.pin(access, APERTURE, 4 * PAGE, rig.memory, WRITE)));
            rig.test.pinned(1, rig.memory, 8);
        }
    }

    @EveryKernel
    void aRead(KernelUnderTest kernel) {
        try (Rig rig = new Rig(kernel)) {
            long access = rig.access(0);
            assertEquals(List.of(), rig.failures(() -> rig.test.rw(access, APERTURE, rig.buffer, PAGE, 0)));
            assertEquals(
                    List.of("EINVAL"), rig.failures(() -> rig.test.rw(access, APERTURE, rig.buffer, PAGE, SLOW)));
            assertEquals(
                    List.of("ENOMEM", "ENOMEM", "EFAULT"),
                    rig.failures(() -> rig.test.rw(access, APERTURE, rig.buffer, 3 * PAGE, SLOW)));
        }
    }

    @EveryKernel
    void chance(KernelUnderTest kernel) {
        try (Rig rig = new Rig(kernel)) {
            String times = FOLDER + "times";
            ok(rig.files.write(times, "2"));
            ok(rig.files.write(FOLDER + "probability", "100"));
            try {
                fails(Errno.ENOENT, rig.it.map(rig.ioas, ALL, rig.memory, PAGE, APERTURE + 8 * PAGE));
                assertEquals("1\n", rig.files.read(times));
                fails(Errno.ENOENT, rig.it.unmap(rig.ioas, APERTURE, 8 * PAGE));
                assertEquals(8 * PAGE, rig.it.unmap(rig.ioas, APERTURE, 8 * PAGE));
                assertEquals("0\n", rig.files.read(times));
            } finally {
                ok(rig.files.write(FOLDER + "probability", "0"));
                ok(rig.files.write(times, "1"));
            }
        }
    }
}
