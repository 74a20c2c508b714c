// SPDX-License-Identifier: Apache-2.0
package dev.alcove.sys;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import org.junit.jupiter.api.Test;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

class PosixProcessTest {
    private final PosixProcess process = new PosixProcess();
    private final Syscalls syscalls = new HostSyscalls();

    @Test
    void limitsAreReadAndLowered() {
        PosixProcess.Limit before = process.limit(Linux.RLIMIT_NOFILE);
        PosixProcess.Limit lower = new PosixProcess.Limit(before.soft() - 1, before.hard());
        process.setLimit(Linux.RLIMIT_NOFILE, lower);
        assertEquals(lower, process.limit(Linux.RLIMIT_NOFILE));
        process.setLimit(Linux.RLIMIT_NOFILE, before);
        SyscallException thrown = assertThrows(
                SyscallException.class, () -> process.setLimit(Linux.RLIMIT_NOFILE, new PosixProcess.Limit(5, 4)));
        assertEquals(Errno.EINVAL, thrown.errno());
    }

    @Test
    void idsAndTexts() {
        assertEquals(syscalls.geteuid(), process.euid());
        assertEquals("Invalid argument", process.strerror(Errno.EINVAL));
        assertEquals(process.strerror(Errno.EBUSY), Errno.message(-Errno.EBUSY));
    }

    @Test
    void anOpenFileGoesThroughASocket() {
        int[] sockets = process.socketpair();
        try (EventFd eventfd = EventFd.create(syscalls);
                Arena arena = Arena.ofConfined()) {
            process.sendFd(sockets[0], eventfd.fd());
            int received = process.receiveFd(sockets[1]);
            assertNotEquals(eventfd.fd(), received);
            assertEquals(Linux.FD_CLOEXEC, syscalls.fcntl(received, Linux.F_GETFD, 0));
            eventfd.signal();
            MemorySegment value = arena.allocate(8, 8);
            assertEquals(8, syscalls.read(received, value));
            assertEquals(1, value.get(ValueLayout.JAVA_LONG, 0));
            syscalls.close(received);
            assertThrows(SyscallException.class, () -> process.sendFd(sockets[0], 9999));
        } finally {
            syscalls.close(sockets[0]);
        }
        assertThrows(BadInputException.class, () -> process.receiveFd(sockets[1]), "the peer has gone");
        syscalls.close(sockets[1]);
    }
}
