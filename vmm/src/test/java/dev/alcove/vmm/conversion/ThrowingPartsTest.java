// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vmm.conversion;

import dev.alcove.discard.GpaRange;
import dev.alcove.discard.Outcome;
import dev.alcove.discard.RamDiscardListener;
import dev.alcove.discard.RamSection;
import dev.alcove.discard.RangeSet;
import dev.alcove.memory.RamBlock;
import dev.alcove.sys.Errno;
import dev.alcove.sys.Syscalls;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Proxy;
import java.util.List;
import java.util.Locale;
import java.util.function.BooleanSupplier;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

/**
 * Everything that a conversion calls throws, at each point in turn, what nobody expects: errors of the JVM too. The guest
 * gets EAGAIN, everybody's opinion is as before, and the same request works the next time.
 */
class ThrowingPartsTest {
    private static final long PAGE = 4096;
    private static final List<GpaRange> BLOCKS =
            List.of(GpaRange.of(0, 16 * PAGE), GpaRange.of(16 * PAGE, 16 * PAGE));

    private final ScriptedKernel kernel = new ScriptedKernel();
    /** How many calls there are until one throws; below zero none does. */
    private int left = -1;

    @SuppressWarnings("ImmutableEnumChecker") // it is: the functions have no state
    private enum Thrown {
        ASSERTION,
        INTERNAL,
        MEMORY,
        RUNTIME,
        /** A real one: the listener has no end. */
        STACK;

        private static int deep(int depth) {
            return depth < 0 ? depth : deep(depth + 1) + 1;
        }

        void now() {
            switch (this) {
                case ASSERTION -> throw new AssertionError("boom");
                case INTERNAL -> throw new InternalError("a fault was raised");
                case MEMORY -> throw new OutOfMemoryError("none left");
                case RUNTIME -> throw new IllegalStateException("boom");
                case STACK -> deep(0);
            }
        }
    }

    @AfterEach
    void nothingIsLeft() {
        assertEquals(List.of(), kernel.left());
    }

    private boolean isTurn() {
        return left >= 0 && left-- == 0;
    }

    private void assertConsistent(TestVm vm, String where) {
        assertEquals(List.of(), vm.checker.check(), where);
        assertEquals(vm.engine.privateAttributes(), kernel.privates(), where);
        assertEquals(vm.mapper.mapped(), kernel.mapped(), where);
        assertEquals(kernel.mapped().bytes(), vm.mapper.counters().mappedBytes(), where);
    }

    /** The kernel, of which one call throws: before it has done anything, or when it has done all. */
    private Syscalls throwing(Thrown what, boolean after) {
        return (Syscalls) Proxy.newProxyInstance(
                Syscalls.class.getClassLoader(), new Class<?>[] {Syscalls.class}, (_, method, arguments) -> {
                    boolean turn = isTurn();
                    if (turn && !after) {
                        what.now();
                    }
                    try {
                        Object answer = method.invoke(kernel, arguments);
                        if (turn) {
                            what.now();
                        }
                        return answer;
                    } catch (InvocationTargetException e) {
                        throw e.getCause();
                    }
                });
    }

    /** A mixture, across two blocks: 13 and 18 are private, the rest of 12 to 19 shared. */
    private static void mix(TestVm vm) {
        assertTrue(vm.convert(13 * PAGE, PAGE, true).isDone());
        assertTrue(vm.convert(18 * PAGE, PAGE, true).isDone());
    }

    private Outcome convertMixture(TestVm vm, boolean toPrivate) {
        return vm.convert(12 * PAGE, 8 * PAGE, toPrivate);
    }

    /** The answer of a conversion in which something threw, and what it left. */
    private void assertTakenBack(TestVm vm, Outcome outcome, RangeSet before, boolean toPrivate, String where) {
        left = -1;
        assertEquals(-Errno.EAGAIN, ConversionEngine.hypercallReturn(outcome), where + " " + outcome);
        assertEquals(before, kernel.privates(), where);
        assertConsistent(vm, where);
        assertTrue(convertMixture(vm, toPrivate).isDone(), where);
        assertConsistent(vm, where + " again");
    }

    @ParameterizedTest
    @CsvSource({
        "cut, true, ASSERTION", "cut, false, ASSERTION", "page, true, ASSERTION", "page, false, ASSERTION",
        "cut, true, INTERNAL", "cut, false, MEMORY", "page, true, RUNTIME", "page, false, RUNTIME",
        "cut, true, STACK", "cut, false, STACK", "page, true, STACK", "page, false, STACK"
    })
    void everySystemCallInTurnThrows(String strategy, boolean toPrivate, Thrown what) {
        for (boolean after : new boolean[] {false, true}) {
            boolean thrown = true;
            for (int nth = 0; thrown; nth++) {
                String where = "call " + nth + (after ? " when it is done" : "");
                try (TestVm vm = new TestVm(throwing(what, after), BLOCKS, strategy)) {
                    mix(vm);
                    RangeSet before = kernel.privates();
                    left = nth;
                    Outcome outcome = convertMixture(vm, toPrivate);
                    thrown = left < 0;
                    if (!thrown || vm.engine.counters().notFreed() > 0) {
                        left = -1;
                        assertTrue(outcome.isDone(), where + " " + outcome);
                        assertConsistent(vm, where);
                    } else {
                        assertTakenBack(vm, outcome, before, toPrivate, where);
                    }
                }
            }
            assertTrue(kernel.calls.size() > 10);
        }
    }

    /** Uses pages, and throws in the middle of a call. */
    private final class Fragile implements RamDiscardListener {
        private final Thrown what;
        private final RangeSet used = new RangeSet();

        Fragile(Thrown what) {
            this.what = what;
        }

        @Override
        public Outcome populate(long offset, long size) {
            assertTrue(!used.containsAny(offset, size), "populated twice");
            return change(offset, size, true);
        }

        @Override
        public Outcome discard(long offset, long size) {
            return change(offset, size, false);
        }

        /** Three points: nothing is done, a part, all. */
        private Outcome change(long offset, long size, boolean use) {
            throwInTurn();
            long half = size / 2 & -PAGE;
            set(offset, half, use);
            throwInTurn();
            set(offset + half, size - half, use);
            throwInTurn();
            return Outcome.done();
        }

        private void set(long offset, long size, boolean use) {
            if (size > 0 && use) {
                used.add(offset, size);
            } else if (size > 0) {
                used.remove(offset, size);
            }
        }

        private void throwInTurn() {
            if (isTurn()) {
                what.now();
            }
        }

        void assertFollows(RamBlock block, String where) {
            RangeSet expected = new RangeSet();
            block.discards().replayPopulated(0, block.range().size(), expected::add);
            assertEquals(expected, used, where);
        }
    }

    @ParameterizedTest
    @CsvSource({
        "true, ASSERTION", "false, ASSERTION", "true, STACK", "false, STACK", "true, INTERNAL", "false, INTERNAL",
        "true, MEMORY", "false, MEMORY", "true, RUNTIME", "false, RUNTIME"
    })
    void aListenerThrowsAtEachPoint(boolean toPrivate, Thrown what) {
        boolean thrown = true;
        int points = 0;
        while (thrown) {
            String where = "point " + points;
            try (TestVm vm = new TestVm(kernel, BLOCKS, "cut")) {
                List<Fragile> listeners = vm.memory.blocks().stream()
                        .map(block -> {
                            Fragile listener = new Fragile(what);
                            assertTrue(block.discards()
                                    .register(listener, new RamSection(0, block.range().size()))
                                    .isDone());
                            return listener;
                        })
                        .toList();
                mix(vm);
                RangeSet before = kernel.privates();
                left = points;
                Outcome outcome = convertMixture(vm, toPrivate);
                thrown = left < 0;
                if (thrown) {
                    assertTakenBack(vm, outcome, before, toPrivate, where);
                }
                left = -1;
                for (int i = 0; i < listeners.size(); i++) {
                    listeners.get(i).assertFollows(vm.memory.blocks().get(i), where);
                }
            }
            points++;
        }
        assertTrue(points > 6, points + " points");
    }

    /** Between two slices of a request the VM is asked whether to go on. */
    @ParameterizedTest
    @ValueSource(booleans = {true, false})
    void whoIsAskedWhetherToGoOnThrows(boolean toPrivate) {
        ConversionPolicy limited = new ConversionPolicy(16 * PAGE, ConversionPolicy.DEFAULT_EXTENTS, List.of());
        BooleanSupplier broken = () -> {
            throw new AssertionError("boom");
        };
        try (TestVm vm = new TestVm(kernel, BLOCKS, "cut", true, _ -> {}, limited, _ -> {})) {
            assertTrue(vm.convert(0, 32 * PAGE, true).isDone());
            if (toPrivate) {
                assertEquals(0, vm.hypercall(8 * PAGE, 16 * PAGE, false));
            }
            RangeSet before = kernel.privates();
            Outcome outcome = vm.engine.hypercall(8 * PAGE, 16, toPrivate ? 16 : 0, broken);
            assertEquals(-Errno.EAGAIN, ConversionEngine.hypercallReturn(outcome), outcome.toString());
            assertTrue(outcome.toString().contains("boom"), outcome.toString());
            assertEquals(before, kernel.privates());
            assertConsistent(vm, "taken back");
            // What it had reserved is free again: exactly the limit, and not a page more.
            assertEquals(0, vm.hypercall(8 * PAGE, 16 * PAGE, toPrivate));
            assertEquals(toPrivate ? 0 : -7, vm.hypercall(0, PAGE, false));
            assertConsistent(vm, "again");
        }
    }

    @Test
    void whoHearsOfRefusalsThrows() {
        try (TestVm vm = new TestVm(kernel, BLOCKS, "cut", true, _ -> {}, ConversionPolicy.DEFAULT, _ -> {
            throw new StackOverflowError();
        })) {
            assertEquals(-Errno.EINVAL, vm.hypercall(64 * PAGE, PAGE, true));
            assertTrue(vm.convert(0, PAGE, true).isDone());
            assertConsistent(vm, "after");
        }
    }

    /** What cannot be taken back stops the VM, also where the reason is an error. */
    @Test
    void anUndoThatThrowsIsUnsafe() {
        try (TestVm vm = new TestVm(kernel, BLOCKS, "cut")) {
            kernel.failing = call -> {
                if (call.name().startsWith("set")) {
                    throw new AssertionError(call.name().toUpperCase(Locale.ROOT));
                }
                return false;
            };
            Outcome.Unsafe unsafe = assertInstanceOf(Outcome.Unsafe.class, vm.convert(0, PAGE, true));
            assertTrue(unsafe.reason().contains("SET SHARED"), unsafe.reason());
            kernel.failNothing();
            Outcome.Unsafe later = assertInstanceOf(Outcome.Unsafe.class, vm.convert(8 * PAGE, PAGE, true));
            assertTrue(later.reason().contains("SET SHARED"), later.reason());
        }
    }

    /** Whoever gives up waiting holds nothing: the next one gets the range. */
    @Test
    void aWaitThatThrowsHoldsNothing() {
        RangeLock lock = new RangeLock(_ -> {
            throw new AssertionError("boom");
        });
        RangeLock.Held first = lock.lock(GpaRange.of(0, PAGE));
        assertThrows(AssertionError.class, () -> lock.lock(GpaRange.of(0, 2 * PAGE)));
        lock.lock(GpaRange.of(PAGE, PAGE)).close();
        first.close();
        lock.lock(GpaRange.of(0, 2 * PAGE)).close();
    }
}
