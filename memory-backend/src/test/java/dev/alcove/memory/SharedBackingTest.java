// SPDX-License-Identifier: Apache-2.0
package dev.alcove.memory;

import dev.alcove.sys.HostSyscalls;
import dev.alcove.sys.Syscalls;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import org.junit.jupiter.api.Test;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

/** On the host's own kernel: a memfd needs no privilege. */
class SharedBackingTest {
    private final Syscalls syscalls = new HostSyscalls();

    @Test
    void releasedPagesReadAsZero() {
        try (SharedBacking backing = SharedBacking.create(syscalls, "test", 4 * 4096)) {
            MemorySegment memory = backing.shared();
            assertEquals(4 * 4096, memory.byteSize());
            memory.fill((byte) 7);
            backing.release(MemoryBacking.Side.SHARED, 4096, 8192);
            for (int page = 0; page < 4; page++) {
                byte expected = (byte) (page == 1 || page == 2 ? 0 : 7);
                assertEquals(expected, memory.get(ValueLayout.JAVA_BYTE, page * 4096L + 100));
            }
            assertThrows(
                    IllegalStateException.class, () -> backing.release(MemoryBacking.Side.PRIVATE, 0, 4096));
        }
    }

    @Test
    void anAccessAfterCloseIsAnExceptionAndNotACrash() {
        SharedBacking backing = SharedBacking.create(syscalls, "test", 4096);
        MemorySegment memory = backing.shared();
        backing.close();
        backing.close();
        assertThrows(IllegalStateException.class, () -> memory.get(ValueLayout.JAVA_BYTE, 0));
        assertEquals(-1, backing.fd());
    }

    @Test
    void theMachineHasMemory() {
        long bytes = HostMemory.totalBytes(syscalls);
        assertTrue(bytes > 64 << 20 && bytes % 1024 == 0, "" + bytes);
    }
}
