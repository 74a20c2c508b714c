// SPDX-License-Identifier: Apache-2.0
package dev.alcove.sys;

import java.lang.foreign.MemorySegment;
import org.junit.jupiter.api.Test;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

class UserArenaTest {
    private final Syscalls syscalls = new HostSyscalls();

    @Test
    void memoryIsAlignedZeroedAndApart() {
        try (UserArena arena = new UserArena(syscalls, 100)) {
            MemorySegment first = arena.allocate(3, 1);
            MemorySegment second = arena.allocate(8, 8);
            assertEquals(0, second.address() % 8);
            assertTrue(second.address() >= first.address() + 3);
            second.fill((byte) -1);
            arena.reset();
            assertEquals(first.address(), arena.allocate(32, 16).address());
            assertEquals(0, arena.allocate(32, 16).get(JAVA_BYTE, 0));
        }
    }

    @Test
    void moreThanThereIsIsRefused() {
        try (UserArena arena = new UserArena(syscalls, 1)) {
            assertEquals(Linux.PAGE_SIZE, arena.allocate(Linux.PAGE_SIZE, 1).byteSize());
            assertThrows(IllegalStateException.class, () -> arena.allocate(1, 1));
            arena.reset();
            assertThrows(IllegalStateException.class, () -> arena.allocate(Long.MAX_VALUE, 1));
            assertNotEquals(0, arena.allocate(8, 8).address());
        }
    }

    @Test
    void aRefusedMappingSaysHowMuch() {
        FaultInjectingSyscalls failing = new FaultInjectingSyscalls(syscalls);
        failing.failNth(FaultInjectingSyscalls.Call.named("mmap"), 1, Errno.ENOMEM);
        SyscallException thrown = assertThrows(SyscallException.class, () -> new UserArena(failing, 5000));
        assertEquals(Errno.ENOMEM, thrown.errno());
        assertTrue(thrown.toString().contains("8192 bytes"), thrown.getMessage());
    }

    @Test
    void aClosedArenaGivesNothing() {
        FaultInjectingSyscalls counting = new FaultInjectingSyscalls(syscalls);
        var unmaps = counting.failNth(FaultInjectingSyscalls.Call.named("munmap"), 0, Errno.EINVAL);
        UserArena arena = new UserArena(counting, 100);
        arena.close();
        arena.close();
        assertEquals(1, unmaps.seen());
        assertThrows(IllegalStateException.class, () -> arena.allocate(1, 1));
    }
}
