// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vmm.conversion;

import dev.alcove.discard.GpaRange;
import dev.alcove.discard.Outcome;
import dev.alcove.discard.RangeSet;
import dev.alcove.sys.Errno;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;
import jdk.jfr.consumer.RecordingStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

/** Requests that take several slices. */
class ConversionSlicesTest {
    private static final long PAGE = 4096;
    private static final long MIB = 1 << 20;
    private static final List<GpaRange> BLOCKS = List.of(GpaRange.of(0, 4 * MIB), GpaRange.of(4 * MIB, 4 * MIB));

    private final ScriptedKernel kernel = new ScriptedKernel();

    @AfterEach
    void nothingIsLeft() {
        assertEquals(List.of(), kernel.left());
    }

    private long calls(String name) {
        return kernel.calls.stream().filter(call -> call.name().equals(name)).count();
    }

    @Test
    void aLongRequestComesInSlicesAndIsFreedAtTheEnd() {
        try (TestVm vm = new TestVm(kernel, BLOCKS, "cut")) {
            kernel.calls.clear();
            AtomicInteger pauses = new AtomicInteger();
            Outcome outcome = vm.engine.hypercall(0, 8 * MIB / PAGE, 16, () -> {
                assertEquals(0, calls("punch memfd"), "nothing is freed before everything is converted");
                assertEquals(2 * MIB * pauses.incrementAndGet(), kernel.privates().bytes());
                assertEquals(kernel.privates(), vm.engine.privateAttributes());
                assertEquals(8 * MIB, kernel.privates().bytes() + kernel.mapped().bytes());
                return true;
            });
            assertTrue(outcome.isDone());
            assertEquals(3, pauses.get());
            assertEquals(4, calls("set private"));
            assertEquals(4, calls("punch memfd"));
            assertEquals(1, vm.engine.counters().toPrivate());
            assertEquals(8 * MIB, vm.engine.counters().bytes());
            assertEquals(List.of(), vm.checker.check());
        }
    }

    /** Pages that alternate: one ioctl for the attributes, and one for the memory, of each slice. */
    @Test
    void alternatingPagesShareTheirIoctls() {
        try (TestVm vm = new TestVm(kernel, BLOCKS, "cut")) {
            for (long page = 0; page < 100; page += 2) {
                assertTrue(vm.convert(page * PAGE, PAGE, true).isDone());
            }
            kernel.calls.clear();
            assertEquals(0, vm.hypercall(0, 100 * PAGE, true));
            assertEquals(1, calls("set private"));
            assertEquals(1, calls("punch memfd"));
            assertEquals(List.of(), vm.checker.check());
        }
    }

    @ParameterizedTest
    @ValueSource(booleans = {true, false})
    void aFailureInAnySliceUndoesAllOfThem(boolean toPrivate) {
        boolean failed = true;
        for (int nth = 0; failed; nth++) {
            try (TestVm vm = new TestVm(kernel, BLOCKS, "cut")) {
                assertTrue(vm.convert(0, 8 * MIB, !toPrivate).isDone());
                assertTrue(vm.convert(MIB, PAGE, toPrivate).isDone());
                RangeSet before = kernel.privates();
                kernel.calls.clear();
                kernel.failNth(nth);
                long answer = vm.hypercall(0, 8 * MIB, toPrivate);
                kernel.failNothing();
                failed = kernel.calls.size() > nth;
                String name = failed ? kernel.calls.get(nth).name() : "";
                String where = "call " + nth + " " + name;
                assertEquals(List.of(), vm.checker.check(), where);
                assertEquals(vm.engine.privateAttributes(), kernel.privates(), where);
                if (failed && !name.startsWith("punch")) {
                    assertEquals(-Errno.EAGAIN, answer, where);
                    assertEquals(before, kernel.privates(), where);
                    assertEquals(0, calls("punch memfd") + calls("punch gmem"), where);
                } else {
                    assertEquals(0, answer, where);
                    assertEquals(toPrivate ? 8 * MIB : 0, kernel.privates().bytes(), where);
                }
            }
        }
    }

    @Test
    void aVmThatEndsDoesNotWaitForTheRest() {
        try (TestVm vm = new TestVm(kernel, BLOCKS, "cut")) {
            Outcome outcome = vm.engine.hypercall(0, 8 * MIB / PAGE, 16, () -> false);
            assertEquals(-Errno.EINTR, ConversionEngine.hypercallReturn(outcome));
            assertEquals(2 * MIB, kernel.privates().bytes());
            assertEquals(List.of(), vm.checker.check(), "all agree on what was done");
            assertTrue(vm.convert(0, 8 * MIB, true).isDone());
        }
    }

    @Test
    void aRecordingHasAnEventForEachConversion() throws Exception {
        AtomicInteger slices = new AtomicInteger();
        AtomicInteger refused = new AtomicInteger();
        try (TestVm vm = new TestVm(kernel, BLOCKS, "cut");
                RecordingStream stream = new RecordingStream()) {
            stream.enable("dev.alcove.Conversion");
            stream.onEvent("dev.alcove.Conversion", event -> {
                if (event.getString("outcome").equals("refused")) {
                    refused.incrementAndGet();
                } else if (event.getLong("changed") == 8 * MIB && event.getBoolean("toPrivate")) {
                    slices.addAndGet(event.getInt("slices"));
                }
            });
            stream.startAsync();
            assertEquals(0, vm.hypercall(0, 8 * MIB, true));
            assertEquals(-Errno.EINVAL, vm.hypercall(0, 9 * MIB, true));
            stream.stop();
        }
        assertEquals(4, slices.get());
        assertEquals(1, refused.get());
    }
}
