// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract;

import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.fail;

/** Assertions on the answers of system calls. */
final class Checks {
    private Checks() {}

    /** The answer, which must not be an errno. */
    static long ok(long answer) {
        if (Linux.isError(answer)) {
            fail("the call failed: " + Errno.name(answer));
        }
        return answer;
    }

    /** As {@link #ok}, for what is an int. */
    static int fd(int answer) {
        return (int) ok(answer);
    }

    /** @param errno positive */
    static void fails(int errno, long answer) {
        assertEquals(Errno.name(errno), Linux.isError(answer) ? Errno.name(answer) : "success, " + answer);
    }
}
