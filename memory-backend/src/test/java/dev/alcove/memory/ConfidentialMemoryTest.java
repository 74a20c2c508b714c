// SPDX-License-Identifier: Apache-2.0
package dev.alcove.memory;

import dev.alcove.discard.GpaRange;
import dev.alcove.discard.PopulatedRanges;
import dev.alcove.kernel.EmulatedKernel;
import dev.alcove.kernel.EmulatedProcess;
import dev.alcove.kernel.KernelProfile;
import dev.alcove.kvm.Kvm;
import dev.alcove.kvm.Vm;
import dev.alcove.sys.BadInputException;
import dev.alcove.sys.Errno;
import dev.alcove.sys.HostSyscalls;
import dev.alcove.sys.Linux;
import dev.alcove.sys.SyscallException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

/** A confidential guest's memory, on the emulated kernel. */
class ConfidentialMemoryTest {
    private static final int SW_PROTECTED_VM = 1;
    private static final long PAGE = 4096;
    private static final RamLayout TWO_BLOCKS =
            new RamLayout(List.of(GpaRange.of(0, 8 * PAGE), GpaRange.of(16 * PAGE, 8 * PAGE)));

    private final EmulatedKernel kernel = new EmulatedKernel(KernelProfile.linux7_2(), new HostSyscalls());
    private final EmulatedProcess process = kernel.process();

    @AfterEach
    void nothingIsLeft() {
        process.close();
        assertEquals(List.of(), kernel.leaks());
        kernel.close();
    }

    @Test
    void aBlockGetsItsPrivateSideByItself() {
        try (Kvm kvm = Kvm.open(process);
                Vm vm = kvm.createVm(SW_PROTECTED_VM);
                GuestMemory memory = GuestMemory.create(vm, TWO_BLOCKS, true)) {
            assertTrue(memory.confidential());
            for (RamBlock block : memory.blocks()) {
                assertTrue(block.backing().hasPrivateSide());
                assertTrue(block.isShared(0, 8 * PAGE));
                assertEquals(PAGE, block.discards().granularity());
            }
            assertEquals(0, memory.privateBytes());
        }
    }

    @Test
    void privateMemoryIsNotRead() {
        try (Kvm kvm = Kvm.open(process);
                Vm vm = kvm.createVm(SW_PROTECTED_VM);
                GuestMemory memory = GuestMemory.create(vm, TWO_BLOCKS, true);
                Arena arena = Arena.ofConfined()) {
            MemorySegment buffer = arena.allocate(2 * PAGE).fill((byte) 5);
            memory.write(2 * PAGE, buffer);
            PopulatedRanges state = memory.blocks().getFirst().state().orElseThrow();
            state.discard(3 * PAGE, PAGE);
            assertEquals(PAGE, memory.privateBytes());
            BadInputException refused =
                    assertThrows(BadInputException.class, () -> memory.read(2 * PAGE, buffer));
            assertTrue(refused.toString().contains("private"), refused.toString());
            assertThrows(BadInputException.class, () -> memory.write(3 * PAGE + 4095, buffer.asSlice(0, 1)));
            memory.read(2 * PAGE, buffer.asSlice(0, PAGE));
            assertEquals(5, buffer.get(ValueLayout.JAVA_BYTE, 17));
        }
    }

    @Test
    void eachSideIsFreedByItself() {
        try (Kvm kvm = Kvm.open(process);
                Vm vm = kvm.createVm(SW_PROTECTED_VM);
                GuestMemory memory = GuestMemory.create(vm, TWO_BLOCKS, true)) {
            RamBlock block = memory.blocks().getFirst();
            block.shared().fill((byte) 9);
            block.backing().release(MemoryBacking.Side.PRIVATE, 0, 8 * PAGE);
            assertEquals(9, block.shared().get(ValueLayout.JAVA_BYTE, PAGE));
            block.backing().release(MemoryBacking.Side.SHARED, PAGE, PAGE);
            assertEquals(0, block.shared().get(ValueLayout.JAVA_BYTE, PAGE));
            assertEquals(9, block.shared().get(ValueLayout.JAVA_BYTE, 2 * PAGE));
            assertThrows(
                    SyscallException.class, () -> block.backing().release(MemoryBacking.Side.SHARED, 0, 0));
        }
    }

    /** Start-up that runs into the limit of open files, wherever that is, takes back what it has. */
    @Test
    void theLimitOfOpenFilesHalfWay() {
        boolean reached = false;
        for (int more = 0; !reached; more++) {
            try (Kvm kvm = Kvm.open(process);
                    Vm vm = kvm.createVm(SW_PROTECTED_VM)) {
                int files = process.openFiles();
                int mappings = process.mappings();
                limitFiles(vm.fd() + 1 + more);
                try (GuestMemory _ = GuestMemory.create(vm, TWO_BLOCKS, true)) {
                    reached = true;
                    assertEquals(files + 4, process.openFiles());
                } catch (SyscallException refused) {
                    assertEquals(Errno.EMFILE, refused.errno());
                    assertNotNull(refused.hint());
                    assertFalse(more >= 4, refused.toString());
                }
                assertEquals(files, process.openFiles());
                assertEquals(mappings, process.mappings());
                limitFiles(1024);
            }
        }
    }

    private void limitFiles(long limit) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment both = arena.allocate(16, 8);
            both.set(ValueLayout.JAVA_LONG, 0, limit);
            both.set(ValueLayout.JAVA_LONG, 8, 4096);
            assertEquals(0, process.prlimit(Linux.RLIMIT_NOFILE, both, null));
        }
    }
}
