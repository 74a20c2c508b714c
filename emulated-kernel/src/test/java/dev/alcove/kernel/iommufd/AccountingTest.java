// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommufd;

import dev.alcove.bindings.iommufd.iommu_ioas_change_process;
import dev.alcove.bindings.iommufd.iommu_option;
import dev.alcove.kernel.EmulatedProcess;
import dev.alcove.kernel.iommu.IommuDevice;
import dev.alcove.kernel.task.Credentials;
import dev.alcove.kernel.task.Task;
import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;
import org.junit.jupiter.api.Test;

import static dev.alcove.kernel.iommufd.IommufdFixture.ALL;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

/** Who pays for pinned pages, and when the limit says no. */
final class AccountingTest {
    private static final long PAGE = Linux.PAGE_SIZE;
    private static final long MIB = 1 << 20;
    private static final Credentials USER = Credentials.user(1000);

    private static void limit(EmulatedProcess process, long bytes) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment limit = arena.allocateFrom(ValueLayout.JAVA_LONG, bytes, bytes);
            assertEquals(0, process.prlimit(Linux.RLIMIT_MEMLOCK, limit, null));
        }
    }

    /** A line of /proc/self/status, in pages. */
    private static long status(EmulatedProcess process, String field) {
        int fd = process.open("/proc/self/status", Linux.O_RDONLY, 0);
        assertTrue(fd >= 0);
        byte[] text = new byte[4096];
        int length = (int) process.read(fd, MemorySegment.ofArray(text));
        assertEquals(0, process.close(fd));
        return new String(text, 0, length, StandardCharsets.US_ASCII)
                .lines()
                .filter(line -> line.startsWith(field + ":"))
                .map(line -> line.replaceAll("[^0-9]", ""))
                .mapToLong(Long::parseLong)
                .findFirst()
                .orElseThrow()
                / 4;
    }

    @Test
    void anUnprivilegedUserPaysAgainstTheLimit() {
        try (IommufdFixture it = new IommufdFixture(USER)) {
            limit(it.process, 64 * PAGE);
            IommuDevice device = it.newDevice();
            long id = it.context.bindDevice(device);
            long ioas = it.ioas();
            long memory = it.memory(128);
            assertTrue(it.attach(id, ioas) > 0);
            assertEquals(-Errno.ENOMEM, it.map(ioas, ALL, memory, 65 * PAGE, MIB));
            assertEquals(0, it.pins());
            assertEquals(MIB, it.map(ioas, ALL, memory, 60 * PAGE, MIB));
            assertEquals(60, status(it.process, "VmPin"));
            assertEquals(0, status(it.process, "VmLck"), "the user pays, not the process");
            assertEquals(0, it.copy(ioas, MIB, ioas, 4 * MIB, 60 * PAGE), "a copy is free");
            assertEquals(-Errno.ENOMEM, it.map(ioas, ALL, memory + 60 * PAGE, 5 * PAGE, 8 * MIB));
            assertEquals(8 * MIB, it.map(ioas, ALL, memory + 60 * PAGE, 4 * PAGE, 8 * MIB));
            assertEquals(60 * PAGE, it.unmap(ioas, MIB, 60 * PAGE));
            assertEquals(64, status(it.process, "VmPin"));
            assertEquals(64 * PAGE, it.unmap(ioas, 0, -1));
            assertEquals(0, status(it.process, "VmPin"));

            assertEquals(MIB, it.map(ioas, ALL, memory, 40 * PAGE, MIB));
            it.detach(id);
            assertEquals(0, status(it.process, "VmPin"), "nothing is pinned without a domain");
            assertEquals(8 * MIB, it.map(ioas, ALL, memory + 40 * PAGE, 40 * PAGE, 8 * MIB));
            assertEquals(-Errno.ENOMEM, it.attach(id, ioas));
            assertEquals(0, it.pins());
            assertEquals(0, status(it.process, "VmPin"));
            it.unbind(id);
        }
    }

    @Test
    void thePrivilegedPayNothingButAreCounted() {
        try (IommufdFixture it = new IommufdFixture()) {
            limit(it.process, 0);
            IommuDevice device = it.newDevice();
            long id = it.context.bindDevice(device);
            long ioas = it.ioas();
            assertTrue(it.attach(id, ioas) > 0);
            assertEquals(MIB, it.map(ioas, ALL, it.memory(128), 128 * PAGE, MIB));
            assertEquals(128, status(it.process, "VmPin"));
            assertEquals(0, status(it.process, "VmLck"));
            it.unbind(id);
            assertEquals(0, status(it.process, "VmPin"));
        }
    }

    @Test
    void perProcessAccountingNeedsAPrivilegeAndShowsAsLocked() {
        try (IommufdFixture it = new IommufdFixture(USER);
                Arena arena = Arena.ofConfined()) {
            MemorySegment option = arena.allocate(iommu_option.layout());
            iommu_option.val64(option, 1);
            assertEquals(-Errno.EPERM, it.call(0x87, option, iommu_option.sizeof()));
        }
        try (IommufdFixture it = new IommufdFixture(new Credentials(1000, 1L << Task.CAP_SYS_RESOURCE));
                Arena arena = Arena.ofConfined()) {
            MemorySegment option = arena.allocate(iommu_option.layout());
            iommu_option.val64(option, 1);
            assertEquals(0, it.call(0x87, option, iommu_option.sizeof()));
            limit(it.process, 16 * PAGE);
            IommuDevice device = it.newDevice();
            long id = it.context.bindDevice(device);
            long ioas = it.ioas();
            assertTrue(it.attach(id, ioas) > 0);
            long memory = it.memory(32);
            assertEquals(-Errno.ENOMEM, it.map(ioas, ALL, memory, 17 * PAGE, MIB));
            assertEquals(MIB, it.map(ioas, ALL, memory, 16 * PAGE, MIB));
            assertEquals(16, status(it.process, "VmPin"));
            assertEquals(16, status(it.process, "VmLck"));
            it.unbind(id);
            assertEquals(0, status(it.process, "VmLck"));
        }
    }

    @Test
    void changeProcessTakesFilePagesOnly() {
        try (IommufdFixture it = new IommufdFixture(USER);
                Arena arena = Arena.ofConfined()) {
            IommuDevice device = it.newDevice();
            long id = it.context.bindDevice(device);
            long ioas = it.ioas();
            assertTrue(it.attach(id, ioas) > 0);
            int file = it.process.memfdCreate("moved", Linux.MFD_CLOEXEC);
            assertEquals(0, it.process.ftruncate(file, 8 * PAGE));
            assertEquals(MIB, it.mapFile(ioas, file, 0, 8 * PAGE, MIB));
            assertEquals(0, it.process.close(file));
            MemorySegment change = arena.allocate(iommu_ioas_change_process.layout());
            iommu_ioas_change_process.__reserved(change, 1);
            assertEquals(-Errno.EOPNOTSUPP, it.call(0x92, change, 8));
            iommu_ioas_change_process.__reserved(change, 0);
            assertEquals(0, it.call(0x92, change, 8), "to itself");
            assertEquals(8, status(it.process, "VmPin"));
            assertEquals(8 * MIB, it.map(ioas, ALL, it.memory(1), PAGE, 8 * MIB));
            assertEquals(-Errno.EINVAL, it.call(0x92, change, 8));
            it.unbind(id);
        }
    }
}
