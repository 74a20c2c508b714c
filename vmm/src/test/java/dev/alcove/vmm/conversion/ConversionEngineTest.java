// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vmm.conversion;

import dev.alcove.bindings.kvm.kvm;
import dev.alcove.discard.GpaRange;
import dev.alcove.discard.Outcome;
import dev.alcove.discard.RangeSet;
import dev.alcove.sys.Errno;
import dev.alcove.sys.SyscallException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

class ConversionEngineTest {
    private static final long PAGE = 4096;
    private static final int PAGES = 32;

    /** Two blocks that touch, and one behind a hole. */
    private static final List<GpaRange> BLOCKS =
            List.of(GpaRange.of(0, 16 * PAGE), GpaRange.of(16 * PAGE, 16 * PAGE), GpaRange.of(64 * PAGE, 8 * PAGE));

    private final ScriptedKernel kernel = new ScriptedKernel();

    @AfterEach
    void nothingIsLeft() {
        assertEquals(List.of(), kernel.left());
    }

    /** Everybody's opinion is the same, the kernel's own included. */
    private void assertConsistent(TestVm vm, String where) {
        assertEquals(List.of(), vm.checker.check(), where);
        assertEquals(vm.engine.privateAttributes(), kernel.privates(), where);
        assertEquals(vm.mapper.mapped(), kernel.mapped(), where);
        assertEquals(kernel.mapped().bytes(), vm.mapper.counters().mappedBytes(), where);
    }

    private List<String> takeCalls() {
        List<String> calls = kernel.calls.stream()
                .map(call -> call.name() + " " + call.start() / PAGE + ":" + call.length() / PAGE)
                .toList();
        kernel.calls.clear();
        return calls;
    }

    @Test
    void theOrderOfCallsToPrivateAndBack() {
        try (TestVm vm = new TestVm(kernel, BLOCKS, "cut")) {
            takeCalls();
            assertTrue(vm.convert(4 * PAGE, 2 * PAGE, true).isDone());
            assertEquals(List.of("unmap 4:2", "set private 4:2", "punch memfd 4:2"), takeCalls());
            assertConsistent(vm, "private");
            assertTrue(vm.convert(4 * PAGE, 2 * PAGE, true).isDone());
            assertEquals(List.of(), takeCalls());
            assertTrue(vm.convert(5 * PAGE, PAGE, false).isDone());
            assertEquals(List.of("set shared 5:1", "map 5:1", "punch gmem 5:1"), takeCalls());
            assertConsistent(vm, "shared");
            assertEquals(1, vm.engine.counters().toPrivate());
            assertEquals(1, vm.engine.counters().toShared());
            assertEquals(3 * PAGE, vm.engine.counters().bytes());
            assertEquals(0, vm.engine.counters().failed());
            assertEquals(PAGE, vm.memory.privateBytes());
        }
    }

    @Test
    void thePageStrategyMapsEachPageAndUnmapsOnce() {
        try (TestVm vm = new TestVm(kernel, BLOCKS, "page")) {
            takeCalls();
            assertTrue(vm.convert(4 * PAGE, 3 * PAGE, true).isDone());
            assertEquals(List.of("unmap 4:3", "set private 4:3", "punch memfd 4:3"), takeCalls());
            assertTrue(vm.convert(4 * PAGE, 3 * PAGE, false).isDone());
            assertEquals(
                    List.of("set shared 4:3", "map 4:1", "map 5:1", "map 6:1", "punch gmem 4:3"), takeCalls());
            assertConsistent(vm, "shared");
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"cut", "page"})
    void aRangeMayCrossBlocks(String strategy) {
        try (TestVm vm = new TestVm(kernel, BLOCKS, strategy)) {
            assertTrue(vm.convert(14 * PAGE, 4 * PAGE, true).isDone());
            assertConsistent(vm, "private");
            assertTrue(vm.convert(15 * PAGE, 4 * PAGE, false).isDone());
            assertConsistent(vm, "shared");
            assertEquals("{[0xe000, 0xf000)}", kernel.privates().toString());
        }
    }

    @ParameterizedTest
    @CsvSource({
        "16384, 2, 16, 0",
        "16384, 2, 17, 0",
        "16384, 2, 0, 0",
        "16385, 2, 16, -22",
        "16384, 0, 16, -22",
        "16384, 2, 48, -22",
        "16384, -1, 16, -22",
        "16384, 4503599627370495, 16, -22",
        "196608, 2, 16, -22",
        "196608, 2, 0, 0",
        "126976, 2, 16, -22",
        "126976, 2, 0, -22",
    })
    void whatTheGuestGets(long gpa, long pages, long attributes, long expected) {
        try (TestVm vm = new TestVm(kernel, BLOCKS, "cut")) {
            Outcome outcome = vm.engine.hypercall(gpa, pages, attributes);
            assertEquals(expected, ConversionEngine.hypercallReturn(outcome), outcome.toString());
            assertEquals(expected == 0 ? 0 : 1, vm.engine.counters().failed());
            assertConsistent(vm, "after");
        }
    }

    @Test
    void aMemoryFaultIsARequest() {
        try (TestVm vm = new TestVm(kernel, BLOCKS, "cut")) {
            assertTrue(vm.engine
                    .memoryFault(kvm.KVM_MEMORY_EXIT_FLAG_PRIVATE(), PAGE, PAGE)
                    .isDone());
            assertFalse(vm.memory.blocks().getFirst().isShared(PAGE, PAGE));
            assertTrue(vm.engine.memoryFault(0, PAGE, PAGE).isDone());
            assertTrue(vm.memory.blocks().getFirst().isShared(PAGE, PAGE));
        }
        for (long[] bad : new long[][] {{16, PAGE, PAGE}, {8, 1, PAGE}, {8, PAGE, 0}, {8, 48 * PAGE, PAGE}}) {
            try (TestVm vm = new TestVm(kernel, BLOCKS, "cut")) {
                assertInstanceOf(Outcome.Refused.class, vm.engine.memoryFault(bad[0], bad[1], bad[2]));
                assertTrue(vm.convert(0, PAGE, true).isDone());
            }
        }
    }

    @Test
    void aGuestWithoutPrivateMemoryIsMappedOnceAndRefused() {
        for (String strategy : List.of("cut", "page")) {
            try (TestVm vm = new TestVm(kernel, BLOCKS, strategy, false, ioas -> {})) {
                assertEquals(3, vm.mapper.counters().mapIoctls());
                assertEquals(40 * PAGE, vm.mapper.counters().mappedBytes());
                Outcome outcome = vm.convert(0, PAGE, true);
                assertEquals(Errno.EINVAL, assertInstanceOf(Outcome.Refused.class, outcome).errno());
                assertConsistent(vm, strategy);
            }
        }
    }

    /** Every call in turn fails: the guest is told, and everything is as it was; or it is done all the same. */
    @ParameterizedTest
    @CsvSource({"cut, true", "cut, false", "page, true", "page, false"})
    void everyCallInTurnFails(String strategy, boolean toPrivate) {
        boolean failed = true;
        for (int nth = 0; failed; nth++) {
            String where = "call " + nth;
            try (TestVm vm = new TestVm(kernel, BLOCKS, strategy)) {
                // A mixture, across two blocks: 13 and 18 private, the rest of 12 to 19 shared.
                assertTrue(vm.convert(13 * PAGE, PAGE, true).isDone());
                assertTrue(vm.convert(18 * PAGE, PAGE, true).isDone());
                kernel.failNth(nth);
                kernel.calls.clear();
                RangeSet before = kernel.privates();
                Outcome outcome = vm.convert(12 * PAGE, 8 * PAGE, toPrivate);
                kernel.failNothing();
                failed = kernel.calls.size() > nth;
                String name = failed ? kernel.calls.get(nth).name() : "";
                assertConsistent(vm, where + " " + name);
                if (!failed || name.startsWith("punch")) {
                    assertTrue(outcome.isDone(), where + " " + outcome);
                    assertEquals(failed ? 1 : 0, Math.min(1, vm.engine.counters().notFreed()), where);
                } else {
                    assertEquals(-Errno.EAGAIN, ConversionEngine.hypercallReturn(outcome), where + " " + outcome);
                    assertEquals(before, kernel.privates(), where);
                    assertTrue(vm.convert(12 * PAGE, 8 * PAGE, toPrivate).isDone(), where);
                    assertConsistent(vm, where + " again");
                }
            }
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"cut", "page"})
    void anUndoThatFailsStopsTheVm(String strategy) {
        try (TestVm vm = new TestVm(kernel, BLOCKS, strategy)) {
            kernel.failing = call -> call.name().equals("set private") || call.name().equals("map");
            Outcome outcome = vm.convert(0, 2 * PAGE, true);
            assertInstanceOf(Outcome.Unsafe.class, outcome);
            kernel.failNothing();
            assertInstanceOf(Outcome.Unsafe.class, vm.convert(8 * PAGE, PAGE, true));
            assertFalse(vm.checker.check().isEmpty());
            assertEquals(vm.checker.violations(), vm.checker.texts().size());
        }
    }

    /** An unmap that fails after it has taken out a part: the part is mapped again. */
    @ParameterizedTest
    @ValueSource(strings = {"cut", "page"})
    void anUnmapThatFailsHalfWayIsRepaired(String strategy) {
        try (TestVm vm = new TestVm(kernel, BLOCKS, strategy)) {
            assertTrue(vm.convert(0, 8 * PAGE, true).isDone());
            for (int page = 0; page < 8; page++) {
                assertTrue(vm.convert(page * PAGE, PAGE, false).isDone());
            }
            kernel.unmapOnly(3);
            Outcome outcome = vm.convert(0, 8 * PAGE, true);
            assertEquals(-Errno.EAGAIN, ConversionEngine.hypercallReturn(outcome), outcome.toString());
            assertConsistent(vm, "repaired");
            assertTrue(vm.convert(0, 8 * PAGE, true).isDone());
            assertConsistent(vm, "private");
        }
    }

    /** Start-up fails at every call in turn, and leaves nothing behind. */
    @Test
    void startUpFailsAtEveryCall() {
        boolean failed = true;
        for (int nth = 0; failed; nth++) {
            kernel.calls.clear();
            kernel.errno = Errno.EMFILE;
            kernel.failNth(nth);
            try {
                new TestVm(kernel, BLOCKS, "cut").close();
            } catch (RuntimeException expected) {
                assertTrue(expected.toString().contains("EMFILE"), expected.toString());
            }
            failed = kernel.calls.size() > nth;
            kernel.failNothing();
            assertEquals(List.of(), kernel.left(), "call " + nth);
        }
        assertThrows(SyscallException.class, () -> {
            kernel.failNth(2);
            new TestVm(kernel, BLOCKS, "cut").close();
        });
        kernel.failNothing();
    }

    @ParameterizedTest
    @CsvSource({"cut, 1", "cut, 2", "cut, 3", "page, 4", "page, 5", "page, 6"})
    void randomConversions(String strategy, long seed) {
        Random random = new Random(seed);
        boolean[] model = new boolean[PAGES];
        try (TestVm vm = new TestVm(kernel, BLOCKS, strategy)) {
            for (int step = 0; step < 1000; step++) {
                String where = "seed " + seed + " step " + step;
                int from = random.nextInt(PAGES);
                int pages = 1 + random.nextInt(PAGES - from);
                boolean toPrivate = random.nextBoolean();
                if (random.nextInt(4) == 0) {
                    kernel.failNth(random.nextInt(8));
                }
                Outcome outcome = vm.convert(from * PAGE, pages * PAGE, toPrivate);
                kernel.failNothing();
                assertFalse(outcome instanceof Outcome.Unsafe, where + " " + outcome);
                if (outcome.isDone()) {
                    Arrays.fill(model, from, from + pages, toPrivate);
                }
                for (int page = 0; page < PAGES; page++) {
                    assertEquals(model[page], kernel.privates().contains(page * PAGE), where);
                }
                assertConsistent(vm, where);
            }
            assertEquals(0, vm.checker.violations());
            assertEquals(1000, vm.checker.checks());
        }
    }

    @ParameterizedTest
    @CsvSource({"cut, 11", "page, 12"})
    void severalVcpusConvertAtOnce(String strategy, long seed) throws Exception {
        try (TestVm vm = new TestVm(kernel, BLOCKS, strategy);
                ExecutorService vcpus = Executors.newFixedThreadPool(4)) {
            List<Callable<String>> work = new ArrayList<>();
            for (int vcpu = 0; vcpu < 4; vcpu++) {
                Random random = new Random(seed * 100 + vcpu);
                work.add(() -> {
                    for (int step = 0; step < 500; step++) {
                        int from = random.nextInt(PAGES);
                        int pages = 1 + random.nextInt(Math.min(6, PAGES - from));
                        Outcome outcome = vm.convert(from * PAGE, pages * PAGE, random.nextBoolean());
                        if (!outcome.isDone()) {
                            return outcome.toString();
                        }
                        if (step % 50 == 0 && !vm.checker.check().isEmpty()) {
                            return vm.checker.texts().toString();
                        }
                    }
                    return "";
                });
            }
            for (Future<String> result : vcpus.invokeAll(work)) {
                assertEquals("", result.get(), "seed " + seed);
            }
            assertConsistent(vm, "seed " + seed);
        }
    }
}
