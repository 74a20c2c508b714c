// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract;

import dev.alcove.sys.Linux;
import dev.alcove.sys.Syscalls;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.charset.StandardCharsets;
import java.util.function.LongSupplier;

import static dev.alcove.contract.Checks.fd;
import static dev.alcove.contract.Checks.ok;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

/** fail-nth of the calling thread, held open: the n-th attempt of one call fails. */
final class NthFailure implements AutoCloseable {
    /** More attempts than any call of a test makes. */
    static final int MOST = 100;

    private final Syscalls sys;
    private final Arena arena = Arena.ofConfined();
    private final MemorySegment text = arena.allocate(16);
    private final int fd;
    private boolean failed;

    /** Skips the test where fail-nth is in use for all tests. */
    NthFailure(Syscalls sys) {
        assumeTrue(!FailNth.isOn(), "fail-nth is in use for all tests");
        this.sys = sys;
        fd = fd(sys.open("/proc/thread-self/fail-nth", Linux.O_RDWR | Linux.O_CLOEXEC, 0));
    }

    /** What a call answers whose n-th attempt fails; {@link #failed} tells whether it has so many. */
    long answer(int nth, LongSupplier call) {
        write(nth);
        long answer = call.getAsLong();
        text.fill((byte) 0);
        long length = sys.pread(fd, text, 0);
        failed = text.getString(0).equals("0\n");
        write(0);
        ok(length);
        return answer;
    }

    /** Whether an attempt failed in the call before. */
    boolean failed() {
        return failed;
    }

    private void write(int number) {
        byte[] digits = Integer.toString(number).getBytes(StandardCharsets.US_ASCII);
        text.copyFrom(MemorySegment.ofArray(digits));
        ok(sys.pwrite(fd, text.asSlice(0, digits.length), 0));
    }

    @Override
    public void close() {
        ok(sys.close(fd));
        arena.close();
    }
}
