// SPDX-License-Identifier: Apache-2.0
package dev.alcove.sys;

import dev.alcove.sys.FaultInjectingSyscalls.Call;
import dev.alcove.sys.FaultInjectingSyscalls.Fault;
import java.lang.foreign.MemorySegment;
import org.junit.jupiter.api.Test;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

class FaultInjectingSyscallsTest {
    private final FaultInjectingSyscalls syscalls = new FaultInjectingSyscalls(new HostSyscalls());

    @Test
    void theNthChosenCallFailsAndNoOther() {
        Fault fault = syscalls.failNth(Call.named("eventfd"), 2, Errno.EMFILE);
        int first = syscalls.eventfd(0, 0);
        assertFalse(fault.fired());
        assertTrue(syscalls.getpid() > 0);
        assertEquals(-Errno.EMFILE, syscalls.eventfd(0, 0));
        assertTrue(fault.fired());
        int third = syscalls.eventfd(0, 0);
        assertTrue(first >= 0 && third >= 0);
        assertEquals(3, fault.seen());
        assertEquals(0, syscalls.close(first));
        assertEquals(0, syscalls.close(third));
    }

    @Test
    void anIoctlIsChosenByNumberInBothForms() {
        Fault fault = syscalls.failNth(Call.ioctl(0xffffffff_c040aed4L), 2, Errno.ENOMEM);
        assertEquals(-Errno.EBADF, syscalls.ioctl(-1, 0xc040aed4, 0));
        assertEquals(-Errno.EBADF, syscalls.ioctl(-1, 0xc040aed5, 0));
        assertEquals(-Errno.ENOMEM, syscalls.ioctl(-1, 0xc040aed4, MemorySegment.NULL));
        assertEquals(2, fault.seen());
    }

    @Test
    void clearedPlansDoNothing() {
        syscalls.failNth(call -> true, 1, Errno.EIO);
        syscalls.clear();
        assertTrue(syscalls.getpid() > 0);
    }

    @Test
    void aDescriptorThatRanOutSaysWhatToDo() {
        syscalls.failNth(Call.named("eventfd"), 1, Errno.EMFILE);
        try {
            EventFd.create(syscalls).close();
            throw new AssertionError("no exception");
        } catch (SyscallException thrown) {
            String hint = thrown.hint();
            assertTrue(hint != null && hint.contains("ulimit -n"), thrown.getMessage());
        }
    }
}
