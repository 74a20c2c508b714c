// SPDX-License-Identifier: Apache-2.0
package dev.alcove.memory;

import dev.alcove.discard.GpaRange;
import dev.alcove.kvm.Kvm;
import dev.alcove.kvm.Vm;
import dev.alcove.sys.AlcoveException;
import dev.alcove.sys.BadInputException;
import dev.alcove.sys.HostSyscalls;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

/** An ordinary guest's memory on the host's own KVM. */
class GuestMemoryTest {
    private static final long PAGE = 4096;

    private Kvm kvm;
    private Vm vm;
    private GuestMemory memory;

    @BeforeEach
    @SuppressWarnings("NullAway.Init")
    void open() {
        try {
            kvm = Kvm.open(new HostSyscalls());
        } catch (AlcoveException missing) {
            assumeTrue(false, "this host has no usable /dev/kvm: " + missing.getMessage());
        }
        vm = kvm.createVm(0);
        memory = GuestMemory.create(
                vm,
                new RamLayout(List.of(
                        GpaRange.of(0, 4 * PAGE), GpaRange.of(4 * PAGE, 4 * PAGE), GpaRange.of(16 * PAGE, 4 * PAGE))),
                false);
    }

    @AfterEach
    void close() {
        if (vm != null) {
            memory.close();
            vm.close();
            kvm.close();
        }
    }

    @Test
    void copiesAcrossBlocksThatTouch() {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment data = arena.allocate(3 * PAGE);
            for (long at = 0; at < data.byteSize(); at++) {
                data.set(ValueLayout.JAVA_BYTE, at, (byte) (at * 7 + at / PAGE));
            }
            memory.write(2 * PAGE + 100, data);
            MemorySegment back = arena.allocate(3 * PAGE);
            memory.read(2 * PAGE + 100, back);
            assertEquals(-1, data.mismatch(back));
            byte first = memory.shared(4 * PAGE, PAGE).get(ValueLayout.JAVA_BYTE, 0);
            assertEquals(data.get(ValueLayout.JAVA_BYTE, 2 * PAGE - 100), first);
        }
    }

    @ParameterizedTest
    @CsvSource({
        "28672, 8192",
        "32768, 1",
        "65535, 1",
        "81919, 2",
        "-1, 1",
        "-4096, 8192",
        "9223372036854775807, 1",
    })
    void whatIsNotRamIsRefused(long gpa, long length) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment buffer = arena.allocate(length);
            assertThrows(BadInputException.class, () -> memory.read(gpa, buffer));
            assertThrows(BadInputException.class, () -> memory.write(gpa, buffer));
        }
        assertThrows(BadInputException.class, () -> memory.shared(gpa, length));
    }

    @Test
    void aSliceStaysInsideItsBlock() {
        assertEquals(PAGE, memory.shared(19 * PAGE, PAGE).byteSize());
        assertEquals(0, memory.shared(0, 0).byteSize());
        assertThrows(BadInputException.class, () -> memory.shared(3 * PAGE, 2 * PAGE));
        assertThrows(BadInputException.class, () -> memory.shared(0, -1));
        assertThrows(BadInputException.class, () -> memory.shared(0, Long.MAX_VALUE));
    }

    @Test
    void findsBlocks() {
        assertEquals("ram1", memory.blockAt(4 * PAGE).orElseThrow().name());
        assertTrue(memory.blockAt(8 * PAGE).isEmpty());
        assertTrue(memory.blockAt(-1).isEmpty());
        assertEquals(12 * PAGE, memory.bytes());
        assertEquals(0, memory.privateBytes());
    }

    @Test
    void closingTakesTheSlotsAway() {
        memory.close();
        assertThrows(AlcoveException.class, () -> vm.deleteMemslot(0));
        GuestMemory again = GuestMemory.create(vm, RamLayout.of(PAGE, PAGE), false);
        again.close();
    }
}
