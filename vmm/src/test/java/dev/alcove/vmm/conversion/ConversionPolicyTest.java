// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vmm.conversion;

import dev.alcove.discard.GpaRange;
import dev.alcove.discard.PopulatedRanges;
import dev.alcove.sys.Errno;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicLong;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

class ConversionPolicyTest {
    private static final long PAGE = 4096;
    private static final List<GpaRange> BLOCKS =
            List.of(GpaRange.of(0, 16 * PAGE), GpaRange.of(16 * PAGE, 16 * PAGE));

    private final ScriptedKernel kernel = new ScriptedKernel();
    private final List<String> refusals = new ArrayList<>();

    /** A VM whose memory is all private, as at the start of a guest. */
    private TestVm vm(ConversionPolicy policy) {
        TestVm vm = new TestVm(kernel, BLOCKS, "cut", true, attached -> {}, policy, refusals::add);
        assertTrue(vm.convert(0, 32 * PAGE, true).isDone());
        return vm;
    }

    @AfterEach
    void nothingIsLeft() {
        assertEquals(List.of(), kernel.left());
    }

    @Test
    void aDeniedRange() {
        ConversionPolicy policy = new ConversionPolicy(Long.MAX_VALUE, 100, List.of(GpaRange.of(8 * PAGE, PAGE)));
        try (TestVm vm = vm(policy)) {
            assertEquals(-Errno.EPERM, vm.hypercall(0, 16 * PAGE, false));
            assertEquals(-Errno.EPERM, vm.hypercall(8 * PAGE, PAGE, false));
            assertEquals(0, vm.hypercall(0, 8 * PAGE, false));
            assertEquals(0, vm.hypercall(9 * PAGE, 20 * PAGE, false));
            assertEquals(1, refusals.size(), "two refusals that differ in numbers only");
            assertEquals(List.of(), vm.checker.check());
        }
    }

    @Test
    void aLimitOnSharedBytes() {
        try (TestVm vm = vm(new ConversionPolicy(4 * PAGE, 100, List.of()))) {
            assertEquals(-Errno.E2BIG, vm.hypercall(0, 5 * PAGE, false));
            assertEquals(0, vm.hypercall(0, 3 * PAGE, false));
            assertEquals(0, vm.hypercall(0, 4 * PAGE, false), "three of them are shared already");
            assertEquals(-Errno.E2BIG, vm.hypercall(20 * PAGE, PAGE, false));
            assertEquals(0, vm.hypercall(PAGE, 2 * PAGE, true));
            assertEquals(-Errno.E2BIG, vm.hypercall(15 * PAGE, 3 * PAGE, false));
            assertEquals(0, vm.hypercall(15 * PAGE, 2 * PAGE, false), "across two blocks");
            kernel.failNth(0);
            assertEquals(-Errno.EAGAIN, vm.hypercall(0, PAGE, true));
            assertEquals(-Errno.E2BIG, vm.hypercall(8 * PAGE, PAGE, false), "a refused conversion frees nothing");
            assertEquals(0, vm.hypercall(0, PAGE, true));
            kernel.failNth(1);
            assertEquals(-Errno.EAGAIN, vm.hypercall(0, PAGE, false));
            kernel.failNothing();
            assertEquals(0, vm.hypercall(8 * PAGE, PAGE, false), "and one that is undone takes nothing");
            assertEquals(4 * PAGE, vm.memory.bytes() - vm.memory.privateBytes());
        }
    }

    @Test
    void aLimitOnPieces() {
        try (TestVm vm = vm(new ConversionPolicy(Long.MAX_VALUE, 3, List.of()))) {
            for (long page : new long[] {1, 5, 9}) {
                assertEquals(0, vm.hypercall(page * PAGE, PAGE, false));
            }
            assertEquals(-Errno.E2BIG, vm.hypercall(13 * PAGE, PAGE, false));
            assertEquals(-Errno.E2BIG, vm.hypercall(20 * PAGE, PAGE, false), "the pieces of all blocks count");
            assertEquals(0, vm.hypercall(6 * PAGE, PAGE, false), "a piece that grows is no new one");
            assertEquals(0, vm.hypercall(4 * PAGE, PAGE, false));
            assertEquals(-Errno.E2BIG, vm.hypercall(5 * PAGE, PAGE, true), "a hole makes two of one");
            assertEquals(0, vm.hypercall(PAGE, PAGE, true));
            assertEquals(0, vm.hypercall(5 * PAGE, PAGE, true));
            assertEquals(0, vm.hypercall(0, 32 * PAGE, true), "it always may become less");
            assertEquals(List.of(), vm.checker.check());
        }
    }

    /** Enough for promises to be made; each by its own thread, so that they have to be taken back near the limit. */
    @ParameterizedTest
    @ValueSource(ints = {64, 100, 1000, 2047, 2048})
    void aLimitOnPiecesIsExactWhateverWasPromised(int limit) throws InterruptedException {
        long pages = 4096;
        PopulatedRanges state = new PopulatedRanges(pages * PAGE, PAGE, false);
        ExtentQuota quota =
                new ExtentQuota(List.of(new ConversionPlanner.Block(GpaRange.of(0, pages * PAGE), state)), limit);
        for (int piece = 0; piece < pages / 2; piece++) {
            long page = 2L * piece;
            ConversionRequest request = new ConversionRequest(GpaRange.of(page * PAGE, PAGE), false);
            int[] answer = new int[1];
            Thread thread = new Thread(() -> answer[0] = quota.begin(request));
            thread.start();
            thread.join();
            assertEquals(Math.min(piece, limit) < limit ? 0 : limit, answer[0], "piece " + piece);
            if (answer[0] == 0) {
                state.populate(page * PAGE, PAGE);
            }
        }
        ConversionRequest less = new ConversionRequest(GpaRange.of(0, PAGE), true);
        assertEquals(0, quota.begin(less));
        assertEquals(Math.min(limit, (int) pages / 2), state.populatedRuns());
    }

    @Test
    void theLogTellsEachReasonOnceAndNotTooFast() {
        List<String> lines = new ArrayList<>();
        AtomicLong now = new AtomicLong();
        RefusalLog log = new RefusalLog(lines::add, now::get);
        for (int i = 0; i < 100; i++) {
            log.refused("page 0x" + Integer.toHexString(i) + " is not there");
        }
        assertEquals(1, lines.size());
        for (char c = 'a'; c <= 'z'; c++) {
            log.refused("another reason: " + c);
        }
        assertEquals(8, lines.size());
        now.set(1_000_000_000L);
        log.refused("a third reason");
        assertEquals(9, lines.size());
    }
}
