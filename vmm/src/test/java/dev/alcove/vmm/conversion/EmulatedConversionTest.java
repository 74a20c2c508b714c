// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vmm.conversion;

import dev.alcove.discard.GpaRange;
import dev.alcove.discard.Outcome;
import dev.alcove.iommufd.Ioas;
import dev.alcove.kernel.EmulatedKernel;
import dev.alcove.kernel.EmulatedProcess;
import dev.alcove.kernel.KernelProfile;
import dev.alcove.kernel.iommu.IommuDevice;
import dev.alcove.kernel.iommufd.IommufdContext;
import dev.alcove.sys.HostSyscalls;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

/** Conversions on the emulated kernel, with a device that tries to reach everything. */
class EmulatedConversionTest {
    private static final long PAGE = 4096;
    private static final int PAGES = 64;
    private static final List<GpaRange> BLOCKS =
            List.of(GpaRange.of(0, PAGES / 2 * PAGE), GpaRange.of(PAGES / 2 * PAGE, PAGES / 2 * PAGE));

    /** Which allocation of the kernel from now fails; below zero none does. */
    private final AtomicInteger failIn = new AtomicInteger(-1);

    private final EmulatedKernel kernel = new EmulatedKernel(
            KernelProfile.linux7_2(),
            new HostSyscalls(),
            EmulatedKernel.DEFAULT_FRAMES,
            what -> failIn.get() < 0 || failIn.getAndDecrement() != 0);
    private final EmulatedProcess process = kernel.process();
    private final IommuDevice device = kernel.iommu().newGroup().addDevice(0x10);
    private long deviceId;

    private TestVm vm(String strategy) {
        return new TestVm(process, BLOCKS, strategy, true, this::attach);
    }

    private void attach(Ioas ioas) {
        deviceId = context().bindDevice(device);
        assertTrue(context().attach(deviceId, 0, ioas.id()) > 0);
    }

    private IommufdContext context() {
        return kernel.iommufd().contexts().getFirst();
    }

    private InvariantChecker checker(TestVm vm) {
        return new InvariantChecker(vm.memory, vm.engine, List.of(vm.mapper), new EmulatedView(kernel, vm));
    }

    @AfterEach
    void nothingIsLeft() {
        process.close();
        assertEquals(List.of(), kernel.leaks());
        kernel.close();
    }

    /** The device reaches a page if and only if it is shared, and then it is the page that the VMM sees. */
    private void assertReach(TestVm vm, int page, boolean shared, String where) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment word = arena.allocate(8);
            word.set(ValueLayout.JAVA_LONG, 0, where.hashCode() * 31L + page);
            assertEquals(shared, device.dma().write(page * PAGE + 8, word), where + " page " + page);
            if (shared) {
                long seen = vm.memory.shared(page * PAGE, PAGE).get(ValueLayout.JAVA_LONG, 8);
                assertEquals(word.get(ValueLayout.JAVA_LONG, 0), seen, where + " page " + page);
            }
        }
    }

    @ParameterizedTest
    @CsvSource({"cut, 1", "cut, 2", "cut, 3", "page, 1", "page, 2", "page, 3"})
    void randomConversions(String strategy, long seed) {
        Random random = new Random(seed);
        boolean[] model = new boolean[PAGES];
        int refused = 0;
        try (TestVm vm = vm(strategy)) {
            InvariantChecker checker = checker(vm);
            for (int step = 0; step < 400; step++) {
                int from = random.nextInt(PAGES);
                int pages = 1 + random.nextInt(PAGES - from);
                boolean toPrivate = random.nextBoolean();
                String where = "seed " + seed + " step " + step;
                failIn.set(random.nextInt(3) == 0 ? random.nextInt(16) : -1);
                Outcome outcome = vm.convert(from * PAGE, pages * PAGE, toPrivate);
                failIn.set(-1);
                assertFalse(outcome instanceof Outcome.Unsafe, where + " " + outcome);
                if (outcome.isDone()) {
                    Arrays.fill(model, from, from + pages, toPrivate);
                } else {
                    refused++;
                }
                assertEquals(List.of(), checker.check(), where);
                int page = random.nextInt(PAGES);
                assertReach(vm, page, !model[page], where);
            }
            assertTrue(refused > 0, "no allocation failed");
            context().detach(deviceId, 0);
            context().unbind(deviceId);
        }
    }

    /** Each vCPU has pages of its own; once a page is private no device reaches it, whatever the others do. */
    @ParameterizedTest
    @ValueSource(strings = {"cut", "page"})
    void severalVcpusAndADevice(String strategy) throws Exception {
        int vcpus = 4;
        try (TestVm vm = vm(strategy);
                ExecutorService threads = Executors.newFixedThreadPool(vcpus)) {
            List<Callable<Void>> work = new ArrayList<>();
            for (int vcpu = 0; vcpu < vcpus; vcpu++) {
                int first = vcpu * PAGES / vcpus;
                Random random = new Random(vcpu);
                work.add(() -> {
                    for (int step = 0; step < 200; step++) {
                        int page = first + random.nextInt(PAGES / vcpus - 1);
                        boolean toPrivate = random.nextBoolean();
                        String where = "vCPU at " + first + " step " + step;
                        assertTrue(vm.convert(page * PAGE, 2 * PAGE, toPrivate).isDone(), where);
                        assertReach(vm, page, !toPrivate, where);
                        assertReach(vm, page + 1, !toPrivate, where);
                    }
                    return null;
                });
            }
            for (Future<Void> result : threads.invokeAll(work)) {
                result.get();
            }
            assertEquals(List.of(), checker(vm).check());
            context().detach(deviceId, 0);
            context().unbind(deviceId);
        }
    }
}
