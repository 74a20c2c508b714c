// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vmm.conversion;

import dev.alcove.discard.GpaRange;
import dev.alcove.discard.Outcome;
import dev.alcove.kernel.EmulatedKernel;
import dev.alcove.kernel.EmulatedProcess;
import dev.alcove.kernel.KernelProfile;
import dev.alcove.sys.HostSyscalls;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.List;
import java.util.Random;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

/**
 * Random requests of several threads against a plain bitmap, while the kernel fails now and then. Each thread has pages
 * of its own, whose state it knows; and all of them have pages in common, of which only that everybody has the same
 * opinion is known.
 */
class ConversionPropertyTest {
    private static final long PAGE = 4096;
    private static final int THREADS = 3;
    private static final int OWN = 24;
    private static final int COMMON = 16;
    private static final int PAGES = THREADS * OWN + COMMON;
    private static final int ROUNDS = 12;
    private static final int STEPS = 40;

    /** Blocks that end in the middle of what threads own, and in the middle of what they have in common. */
    private static final List<GpaRange> BLOCKS = List.of(
            GpaRange.of(0, 36 * PAGE),
            GpaRange.of(36 * PAGE, (PAGES - 44) * PAGE),
            GpaRange.of((PAGES - 8) * PAGE, 8 * PAGE));

    /** What one thread knows and does. */
    private static final class Guest {
        private final TestVm vm;
        private final Random random;
        private final int first;
        private final BitSet isPrivate = new BitSet();
        private int refused;

        Guest(TestVm vm, long seed, int number) {
            this.vm = vm;
            this.random = new Random(seed * THREADS + number);
            this.first = number * OWN;
        }

        /** The first thing that is wrong, or nothing. */
        String run() {
            for (int step = 0; step < STEPS; step++) {
                boolean own = random.nextInt(3) > 0;
                int pages = own ? OWN : COMMON;
                int from = (own ? first : PAGES - COMMON) + random.nextInt(pages);
                int end = from + 1 + random.nextInt((own ? first + OWN : PAGES) - from);
                boolean toPrivate = random.nextBoolean();
                Outcome outcome = vm.engine.hypercall(from * PAGE, end - from, toPrivate ? 16 : 0);
                if (outcome instanceof Outcome.Unsafe) {
                    return outcome.toString();
                }
                refused += outcome.isDone() ? 0 : 1;
                if (own && outcome.isDone()) {
                    isPrivate.set(from, end, toPrivate);
                }
                if (own && !known()) {
                    return "pages from " + first + " after step " + step + ", " + outcome;
                }
            }
            return "";
        }

        private boolean known() {
            for (int page = first; page < first + OWN; page++) {
                if (vm.engine.privateAttributes().contains(page * PAGE) != isPrivate.get(page)) {
                    return false;
                }
            }
            return true;
        }
    }

    private static void rounds(TestVm vm, InvariantChecker checker, long seed, Runnable fail, Runnable work)
            throws Exception {
        List<Guest> guests = new ArrayList<>();
        for (int number = 0; number < THREADS; number++) {
            guests.add(new Guest(vm, seed, number));
        }
        try (ExecutorService threads = Executors.newFixedThreadPool(THREADS)) {
            for (int round = 0; round < ROUNDS; round++) {
                String where = "seed " + seed + " round " + round;
                if (round % 3 != 0) {
                    fail.run();
                }
                List<Callable<String>> all = new ArrayList<>();
                guests.forEach(guest -> all.add(guest::run));
                for (Future<String> wrong : threads.invokeAll(all)) {
                    assertEquals("", wrong.get(), where);
                }
                work.run();
                assertEquals(List.of(), checker.check(), where);
            }
        }
        assertTrue(guests.stream().anyMatch(guest -> guest.refused > 0), "no failure was seen, seed " + seed);
    }

    /** Now and then an unmap or a change to private fails. */
    @ParameterizedTest
    @CsvSource({"cut, 1", "cut, 2", "page, 3", "page, 4"})
    void aScriptedKernel(String strategy, long seed) throws Exception {
        ScriptedKernel kernel = new ScriptedKernel();
        try (TestVm vm = new TestVm(kernel, BLOCKS, strategy)) {
            AtomicInteger calls = new AtomicInteger();
            rounds(
                    vm,
                    vm.checker,
                    seed,
                    () -> kernel.failing = call -> calls.incrementAndGet() % 61 == 0
                            && (call.name().equals("unmap") || call.name().equals("set private")),
                    kernel::failNothing);
            assertEquals(vm.engine.privateAttributes(), kernel.privates());
            assertEquals(vm.mapper.mapped(), kernel.mapped());
            assertFalse(vm.engine.counters().failed() == 0);
        }
        assertEquals(List.of(), kernel.left());
    }

    @ParameterizedTest
    @CsvSource({"cut, 11", "cut, 12", "page, 13"})
    void theEmulatedKernel(String strategy, long seed) throws Exception {
        AtomicInteger failIn = new AtomicInteger(-1);
        EmulatedKernel kernel = new EmulatedKernel(
                KernelProfile.linux7_2(),
                new HostSyscalls(),
                EmulatedKernel.DEFAULT_FRAMES,
                what -> failIn.get() < 0 || failIn.getAndDecrement() != 0);
        EmulatedProcess process = kernel.process();
        try (TestVm vm = new TestVm(process, BLOCKS, strategy, true, ioas -> {})) {
            Random random = new Random(seed);
            rounds(vm, vm.checker, seed, () -> failIn.set(random.nextInt(64)), () -> failIn.set(-1));
        }
        process.close();
        assertEquals(List.of(), kernel.leaks());
        kernel.close();
    }
}
