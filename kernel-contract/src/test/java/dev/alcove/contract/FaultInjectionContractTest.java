// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract;

import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import dev.alcove.sys.Syscalls;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.concurrent.CompletableFuture;
import org.junit.jupiter.api.Timeout;

import static dev.alcove.contract.Checks.fails;
import static dev.alcove.contract.Checks.fd;
import static dev.alcove.contract.Checks.ok;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

/** fail-nth and make-it-fail of a thread, and the folders fail* of debugfs. */
@Surface("fault injection")
@Timeout(60)
final class FaultInjectionContractTest {
    private static final String FAIL_NTH = "/proc/thread-self/fail-nth";
    private static final String MARK = "/proc/thread-self/make-it-fail";
    private static final String SLAB = "/sys/kernel/debug/failslab/";
    private static final int ERANGE = 34;
    /** More allocations than a test makes. */
    private static final int FAR = 1 << 20;

    /** A kernel with the folder failslab; skips the test on others. */
    private static TextFiles files(KernelUnderTest kernel) {
        assumeTrue(!FailNth.isOn(), "fail-nth is in use for all tests");
        int probe = kernel.sys().open(SLAB + "ignore-gfp-wait", Linux.O_RDWR | Linux.O_CLOEXEC, 0);
        kernel.needs("fault injection (CONFIG_FAILSLAB), or the right to use it", probe);
        ok(kernel.sys().close(probe));
        return new TextFiles(kernel.sys());
    }

    private static int nth(TextFiles files, String path) {
        return Integer.parseUnsignedInt(files.read(path).strip());
    }

    /** Allocations of the JVM may come between. */
    private static void armed(TextFiles files, String path, int nth) {
        int left = nth(files, path);
        assertTrue(left > nth - 1000 && left <= nth, left + " of " + nth);
    }

    @EveryKernel
    void aNumberArmsAndZeroDisarms(KernelUnderTest kernel) {
        TextFiles files = files(kernel);
        assertEquals("0\n", files.read(FAIL_NTH));
        assertEquals(7, files.write(FAIL_NTH, Integer.toString(FAR)));
        armed(files, FAIL_NTH, FAR);
        assertEquals(8, files.write(FAIL_NTH, "2097152\n"));
        armed(files, FAIL_NTH, 2 * FAR);
        assertEquals(1, files.write(FAIL_NTH, "0"));
        assertEquals("0\n", files.read(FAIL_NTH));
    }

    @EveryKernel
    void numbersAreAsInC(KernelUnderTest kernel) {
        TextFiles files = files(kernel);
        assertEquals(8, files.write(FAIL_NTH, "0x100000"));
        armed(files, FAIL_NTH, 0x100000);
        assertEquals(8, files.write(FAIL_NTH, "04000000"));
        armed(files, FAIL_NTH, 1 << 20);
        assertEquals(8, files.write(FAIL_NTH, "+3000000"));
        armed(files, FAIL_NTH, 3_000_000);
        assertEquals(12, files.write(FAIL_NTH, "5000000\0rest"));
        armed(files, FAIL_NTH, 5_000_000);
        assertEquals(10, files.write(FAIL_NTH, "4294967295"));
        armed(files, FAIL_NTH, -1);
        for (String bad : new String[] {" 5", "5 ", "5\n\n", "-1", "", "abc", "1a", "0b11", "09", "0x", "+", "\n"}) {
            fails(Errno.EINVAL, files.write(FAIL_NTH, bad));
        }
        fails(ERANGE, files.write(FAIL_NTH, "4294967296"));
        fails(ERANGE, files.write(FAIL_NTH, "99999999999999999999999"));
        armed(files, FAIL_NTH, -1);
        // No more than 34 characters are looked at.
        assertEquals(42, files.write(FAIL_NTH, "0".repeat(41) + "5"));
        assertEquals("0\n", files.read(FAIL_NTH));
    }

    @EveryKernel
    void anOpenFileTellsWhatIsLeftNow(KernelUnderTest kernel) {
        TextFiles files = files(kernel);
        int fd = fd(kernel.sys().open(FAIL_NTH, Linux.O_RDWR | Linux.O_CLOEXEC, 0));
        assertEquals("0\n", files.read(fd));
        assertEquals("", files.read(fd), "the end");
        ok(files.write(FAIL_NTH, Integer.toString(FAR)));
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment buffer = arena.allocate(16);
            assertEquals(8, kernel.sys().pread(fd, buffer, 0));
            MemorySegment zero = arena.allocateFrom("0");
            assertEquals(1, kernel.sys().pwrite(fd, zero.asSlice(0, 1), 100));
            assertEquals(2, kernel.sys().pread(fd, buffer, 0));
        }
        ok(kernel.sys().close(fd));
    }

    @EveryKernel
    void allocationsThatCanWaitAreSpared(KernelUnderTest kernel) {
        TextFiles files = files(kernel);
        assertEquals("Y\n", files.read(SLAB + "ignore-gfp-wait"));
        int fd = fd(kernel.sys().open(FAIL_NTH, Linux.O_RDWR | Linux.O_CLOEXEC, 0));
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment text = arena.allocateFrom("1");
            ok(kernel.sys().pwrite(fd, text.asSlice(0, 1), 0));
            int event = kernel.sys().eventfd(0, Linux.EFD_CLOEXEC);
            text.set(ValueLayout.JAVA_BYTE, 0, (byte) '0');
            ok(kernel.sys().pwrite(fd, text.asSlice(0, 1), 0));
            ok(event);
            ok(kernel.sys().close(event));
        }
        ok(kernel.sys().close(fd));
    }

    /** Arms, makes an eventfd, and disarms: 0 when nothing failed, else the errno. */
    private static int failing(Syscalls sys, int fd, int nth) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment number = arena.allocateFrom(Integer.toString(nth));
            MemorySegment zero = arena.allocateFrom("0");
            MemorySegment left = arena.allocate(16);
            ok(sys.pwrite(fd, number.asSlice(0, number.byteSize() - 1), 0));
            int event = sys.eventfd(0, Linux.EFD_CLOEXEC);
            long length = sys.pread(fd, left, 0);
            long disarmed = sys.pwrite(fd, zero.asSlice(0, 1), 0);
            boolean fired = length == 2 && left.getString(0).startsWith("0");
            assertEquals(1, disarmed);
            if (event >= 0) {
                assertTrue(!fired, "allocation " + nth + " has failed without a trace");
                ok(sys.close(event));
                return 0;
            }
            assertTrue(fired, "it failed although " + left.getString(0) + " are left");
            return -event;
        }
    }

    @EveryKernel
    void theNthAllocationFails(KernelUnderTest kernel) {
        TextFiles files = files(kernel);
        int fd = fd(kernel.sys().open(FAIL_NTH, Linux.O_RDWR | Linux.O_CLOEXEC, 0));
        ok(files.write(SLAB + "verbose", "0"));
        ok(files.write(SLAB + "ignore-gfp-wait", "N"));
        try {
            int nth = 1;
            while (nth < 100) {
                int errno = failing(kernel.sys(), fd, nth);
                if (errno == 0) {
                    break;
                }
                assertEquals(Errno.ENOMEM, errno, "allocation " + nth);
                nth++;
            }
            assertTrue(nth > 2 && nth < 100, "an eventfd is two allocations at least, here " + nth);
        } finally {
            ok(files.write(SLAB + "ignore-gfp-wait", "Y"));
        }
        ok(kernel.sys().close(fd));
    }

    @EveryKernel
    void eachThreadHasItsOwn(KernelUnderTest kernel) {
        TextFiles files = files(kernel);
        int me = kernel.sys().gettid();
        ok(files.write(FAIL_NTH, Integer.toString(FAR)));
        try {
            CompletableFuture<String> own = new CompletableFuture<>();
            CompletableFuture<Integer> mine = new CompletableFuture<>();
            Thread.ofPlatform().start(() -> {
                try {
                    own.complete(files.read(FAIL_NTH));
                    armed(files, "/proc/self/task/" + me + "/fail-nth", FAR);
                    ok(files.write("/proc/self/task/" + me + "/fail-nth", Integer.toString(3 * FAR)));
                    mine.complete(0);
                } catch (Throwable e) {
                    own.completeExceptionally(e);
                    mine.completeExceptionally(e);
                }
            });
            assertEquals("0\n", own.join());
            mine.join();
            armed(files, FAIL_NTH, 3 * FAR);
            armed(files, "/proc/" + kernel.sys().getpid() + "/task/" + me + "/fail-nth", 3 * FAR);
        } finally {
            ok(files.write(FAIL_NTH, "0"));
        }
        fails(Errno.ENOENT, kernel.sys().open("/proc/self/task/999999999/fail-nth", Linux.O_RDONLY, 0));
    }

    @EveryKernel
    void makeItFailIsYesOrNo(KernelUnderTest kernel) {
        TextFiles files = files(kernel);
        assertEquals("0\n", files.read(MARK));
        for (String yes : new String[] {"1", " 1 ", "1\n", "0x1", "+1", "1\n\n"}) {
            assertEquals(yes.length(), files.write(MARK, yes));
            assertEquals("1\n", files.read(MARK));
            assertEquals(1, files.write(MARK, "0"));
            assertEquals("0\n", files.read(MARK));
        }
        for (String bad : new String[] {"2", "-1", "", "abc", "1 1"}) {
            fails(Errno.EINVAL, files.write(MARK, bad));
        }
    }

    @EveryKernel
    void chanceSparesThreadsThatAreNotMarked(KernelUnderTest kernel) {
        TextFiles files = files(kernel);
        Syscalls sys = kernel.sys();
        assertEquals("1\n", files.read(SLAB + "interval"));
        assumeTrue(files.read(SLAB + "times").equals("1\n") || files.read(SLAB + "times").equals("0\n"));
        ok(files.write(SLAB + "verbose", "0"));
        ok(files.write(SLAB + "ignore-gfp-wait", "N"));
        ok(files.write(SLAB + "task-filter", "Y"));
        ok(files.write(SLAB + "times", "2"));
        ok(files.write(SLAB + "probability", "100"));
        int mark = fd(sys.open(MARK, Linux.O_WRONLY | Linux.O_CLOEXEC, 0));
        int spared = sys.eventfd(0, Linux.EFD_CLOEXEC);
        int first;
        int second;
        int third;
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment yes = arena.allocateFrom("1");
            MemorySegment no = arena.allocateFrom("0");
            sys.pwrite(mark, yes.asSlice(0, 1), 0);
            first = sys.eventfd(0, Linux.EFD_CLOEXEC);
            second = sys.eventfd(0, Linux.EFD_CLOEXEC);
            third = sys.eventfd(0, Linux.EFD_CLOEXEC);
            sys.pwrite(mark, no.asSlice(0, 1), 0);
        } finally {
            files.write(SLAB + "probability", "0");
            files.write(SLAB + "task-filter", "N");
            files.write(SLAB + "ignore-gfp-wait", "Y");
        }
        ok(spared);
        fails(Errno.ENOMEM, first);
        fails(Errno.ENOMEM, second);
        ok(third);
        assertEquals("0\n", files.read(SLAB + "times"));
        ok(files.write(SLAB + "times", "1"));
        ok(sys.close(mark));
        ok(sys.close(spared));
        ok(sys.close(third));
    }

    @EveryKernel
    void settingsAreNumbersAndFlags(KernelUnderTest kernel) {
        TextFiles files = files(kernel);
        String filter = SLAB + "cache-filter";
        boolean old = KvmMachine.before(kernel.sys(), 6, 18);
        ok(files.write(filter, "N"));
        assertEquals(6, files.write(filter, "enable"));
        assertEquals(old ? "N\n" : "Y\n", files.read(filter));
        ok(files.write(filter, "Y"));
        assertEquals(1, files.write(filter, "d"));
        assertEquals(old ? "Y\n" : "N\n", files.read(filter));
        for (String yes : new String[] {"Y", "y", "1", "on", "oN", "t", "true"}) {
            ok(files.write(filter, "N"));
            assertEquals(yes.length(), files.write(filter, yes));
            assertEquals("Y\n", files.read(filter), yes);
        }
        assertEquals(3, files.write(filter, "abc"), "what is neither is taken");
        assertEquals(0, files.write(filter, ""));
        assertEquals("Y\n", files.read(filter));
        for (String no : new String[] {"n", "0", "off", "of", "f", "N"}) {
            ok(files.write(filter, "Y"));
            assertEquals(no.length(), files.write(filter, no));
            assertEquals("N\n", files.read(filter), no);
        }
        String interval = SLAB + "interval";
        assertEquals(20, files.write(interval, "18446744073709551615"));
        assertEquals("18446744073709551615\n", files.read(interval));
        fails(ERANGE, files.write(interval, "18446744073709551616"));
        for (String bad : new String[] {"-1", "", "abc", " 3", "5 5"}) {
            fails(Errno.EINVAL, files.write(interval, bad));
        }
        assertEquals(1, files.write(interval, "1"));
        String times = SLAB + "times";
        ok(files.write(times, "4294967295"));
        assertEquals("-1\n", files.read(times));
        ok(files.write(times, "-2147483649"));
        assertEquals("2147483647\n", files.read(times));
        ok(files.write(times, "1"));
    }
}
