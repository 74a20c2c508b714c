// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.supervisor;

import dev.alcove.sys.MissingFeatureException;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

import static java.lang.foreign.ValueLayout.JAVA_LONG;
import static java.lang.foreign.ValueLayout.JAVA_SHORT;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

/**
 * Programs that do what none should: nothing hangs, nothing of theirs is left in the emulated kernel, no descriptor in this
 * process.
 */
@Timeout(value = 180, threadMode = Timeout.ThreadMode.SEPARATE_THREAD)
class BadInputTest extends SupervisedPrograms {
    private static final long NR_PRCTL = 157;
    private static final long NR_SECCOMP = 317;

    @ParameterizedTest
    @ValueSource(strings = {"pointers", "lengths", "reuse", "death", "children", "unmapped while pinned"})
    void program(String what) throws IOException, InterruptedException {
        succeeds(compiled("badinput") + " '" + what + "'");
    }

    /** A container's seccomp profile without seccomp(2) answers EPERM, a kernel without the flags EINVAL. */
    @ParameterizedTest
    @ValueSource(ints = {1, 22})
    void hostWithoutUserNotification(int errno) throws InterruptedException {
        List<String> hints = new CopyOnWriteArrayList<>();
        Thread thread = Thread.ofPlatform().start(() -> {
            Host host = new Host();
            refuse(host, errno);
            try (Listener _ = Listener.install(host, Filter.of(host, 1024, false, false))) {
                // Not reached: the filter refuses seccomp(2).
            } catch (MissingFeatureException e) {
                hints.add(String.valueOf(e.hint()));
            }
        });
        assertTrue(thread.join(Duration.ofMinutes(1)));
        String hint = hints.getFirst();
        assertTrue(hint.contains(errno == 1 ? "seccomp=unconfined" : "5.19"), hint);
        assertTrue(hint.contains(System.getProperty("os.version")), hint);
    }

    /** Has seccomp(2) answer an errno to the calling thread from now on. */
    private static void refuse(Host host, int errno) {
        try (Arena arena = Arena.ofConfined()) {
            // Loads the number, compares it with that of seccomp, and returns an errno or lets the call pass.
            MemorySegment code = arena.allocateFrom(
                    JAVA_LONG,
                    0x20L,
                    0x15L | 1L << 24 | NR_SECCOMP << 32,
                    0x06L | (0x00050000L + errno) << 32,
                    0x06L | 0x7fff0000L << 32);
            MemorySegment program = arena.allocate(16, 8);
            program.set(JAVA_SHORT, 0, (short) 4);
            program.set(JAVA_LONG, 8, code.address());
            assertEquals(0, host.raw.call(NR_PRCTL, 38, 1, 0, 0, 0, 0));
            assertEquals(0, host.raw.call(NR_SECCOMP, 1, 0, program.address()));
        }
    }

    @Test
    void programWhoseInterpreterIsMissing() throws InterruptedException, IOException {
        Path script = folder.resolve("script");
        Files.writeString(script, "#!/no/such/interpreter\n");
        assertTrue(script.toFile().setExecutable(true));
        assertEquals(127, run(script + " 2> /dev/null", folder.resolve("interpreter.txt")));
    }
}
