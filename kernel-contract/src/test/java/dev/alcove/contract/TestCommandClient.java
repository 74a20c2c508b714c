// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract;

import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/** IOMMU_TEST_CMD of a kernel that was built with IOMMUFD_TEST; another kernel's tests are skipped. */
final class TestCommandClient {
    static final int SIZE = 72;
    static final int WRITE = 1;
    static final int SLOW = 4;

    /** The first IOVA that a page table of the mock IOMMU translates, and the last. */
    static final long APERTURE = 1 << 24;

    static final long LAST = (1L << 31) - 1;

    private static final int NUMBER = 0xa0;
    private static final int BODY = 16;
    private static final int CHECK_REFS = 4;

    private final KernelUnderTest kernel;
    private final IommufdClient it;

    /** What MOCK_DOMAIN made: the object that user space destroys, the page table, the bound device. */
    record MockDevice(long object, long hwpt, long device) {}

    TestCommandClient(KernelUnderTest kernel, IommufdClient it) {
        this.kernel = kernel;
        this.it = it;
        kernel.needs("IOMMU_TEST_CMD", refs(0, 0, 0) == -Errno.ENOTTY ? -Errno.ENOTTY : 0);
    }

    /** A command with its own fields zero. */
    MemorySegment command(int operation, long id) {
        MemorySegment struct = it.struct(SIZE).fill((byte) 0);
        struct.set(ValueLayout.JAVA_INT, 0, SIZE);
        struct.set(ValueLayout.JAVA_INT, 4, operation);
        struct.set(ValueLayout.JAVA_INT, 8, (int) id);
        return struct;
    }

    long call(MemorySegment command) {
        return it.call(NUMBER, command);
    }

    private static void put(MemorySegment command, int offset, long value) {
        command.set(ValueLayout.JAVA_LONG, BODY + offset, value);
    }

    static void putInt(MemorySegment command, int offset, long value) {
        command.set(ValueLayout.JAVA_INT, BODY + offset, (int) value);
    }

    static int word(MemorySegment command, int offset) {
        return command.get(ValueLayout.JAVA_INT, BODY + offset);
    }

    long addReserved(long ioas, long start, long length) {
        MemorySegment command = command(1, ioas);
        put(command, 0, start);
        put(command, 8, length);
        return call(command);
    }

    /** Skips the test where the mock IOMMU takes no device, as that of 6.12 in the lab. */
    void needsMockDevices() {
        long ioas = Checks.ok(it.ioas());
        MemorySegment command = command(2, ioas);
        long answer = call(command);
        boolean old = KvmMachine.before(it.sys(), 6, 18);
        kernel.needs("a mock IOMMU that takes devices", old ? answer : 0);
        Checks.ok(answer);
        Checks.ok(it.destroy(word(command, 0)));
        Checks.ok(it.destroy(ioas));
    }

    /** MOCK_DOMAIN, which must work. */
    MockDevice mock(long pageTable) {
        MemorySegment command = command(2, pageTable);
        Checks.ok(call(command));
        return new MockDevice(word(command, 0), word(command, 4), word(command, 8));
    }

    /** MOCK_DOMAIN: 0 or an errno. */
    long tryMock(long pageTable) {
        return call(command(2, pageTable));
    }

    /** The page table that the device is on now. */
    long replace(long object, long pageTable) {
        MemorySegment command = command(10, object);
        putInt(command, 0, pageTable);
        long answer = call(command);
        return answer < 0 ? answer : word(command, 0);
    }

    long checkMap(long hwpt, long iova, long length, long address) {
        MemorySegment command = command(3, hwpt);
        put(command, 0, iova);
        put(command, 8, length);
        put(command, 16, address);
        return call(command);
    }

    long refs(long address, long length, int refs) {
        MemorySegment command = command(CHECK_REFS, 0);
        put(command, 0, length);
        put(command, 8, address);
        putInt(command, 16, refs);
        return call(command);
    }

    /** Whether each of some pages is pinned so often. */
    void pinned(int refs, long address, long pages) {
        Checks.ok(refs(address, pages * Linux.PAGE_SIZE, refs));
    }

    long memoryLimit(int bytes) {
        MemorySegment command = command(9, 0);
        putInt(command, 0, bytes);
        return call(command);
    }

    /** A file descriptor, or an errno. */
    long access(long ioas, int flags) {
        MemorySegment command = command(5, ioas);
        putInt(command, 4, flags);
        long answer = call(command);
        return answer < 0 ? answer : word(command, 0);
    }

    /** The id of what was pinned, or an errno. */
    long pin(long access, long iova, long length, long address, int flags) {
        MemorySegment command = command(7, access);
        putInt(command, 0, flags);
        put(command, 8, iova);
        put(command, 16, length);
        put(command, 24, address);
        long answer = call(command);
        return answer < 0 ? answer : word(command, 4);
    }

    long unpin(long access, long id) {
        MemorySegment command = command(6, access);
        putInt(command, 0, id);
        return call(command);
    }

    long rw(long access, long iova, MemorySegment buffer, long length, int flags) {
        MemorySegment command = command(8, access);
        put(command, 0, iova);
        put(command, 8, length);
        put(command, 16, buffer.address());
        putInt(command, 24, flags);
        return call(command);
    }

    long replaceIoas(long access, long ioas) {
        MemorySegment command = command(11, access);
        putInt(command, 0, ioas);
        return call(command);
    }
}
