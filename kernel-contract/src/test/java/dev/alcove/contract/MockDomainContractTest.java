// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract;

import dev.alcove.contract.TestCommandClient.MockDevice;
import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

import static dev.alcove.contract.Checks.fails;
import static dev.alcove.contract.Checks.ok;
import static dev.alcove.contract.IommufdClient.ALL;
import static dev.alcove.contract.TestCommandClient.APERTURE;
import static dev.alcove.contract.TestCommandClient.LAST;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;

/** Mock devices, whose page tables have pages of 2 KiB, and what the kernel's own test can ask about mappings. */
@Surface("iommufd-test")
final class MockDomainContractTest {
    private static final long PAGE = Linux.PAGE_SIZE;
    private static final long HALF = 2048;

    /** An address space without a device. */
    private static final class Rig implements AutoCloseable {
        final IommufdClient it;
        final TestCommandClient test;
        final long ioas;

        Rig(KernelUnderTest kernel) {
            it = new IommufdClient(kernel);
            test = new TestCommandClient(kernel, it);
            test.needsMockDevices();
            ioas = ok(it.ioas());
        }

        void map(long address, long length, long iova) {
            assertEquals(iova, it.map(ioas, ALL, address, length, iova));
        }

        @Override
        public void close() {
            it.close();
        }
    }

    @EveryKernel
    void theStructHasTheRulesOfAllStructs(KernelUnderTest kernel) {
        try (Rig rig = new Rig(kernel)) {
            fails(Errno.EOPNOTSUPP, rig.test.call(rig.test.command(0, 0)));
            fails(Errno.EOPNOTSUPP, rig.test.call(rig.test.command(4711, 0)));
            MemorySegment command = rig.test.command(4, 0);
            command.set(ValueLayout.JAVA_INT, 0, 67);
            fails(Errno.EINVAL, rig.test.call(command));
            command.set(ValueLayout.JAVA_INT, 0, 68);
            ok(rig.test.call(command));
            MemorySegment longer = rig.it.user(80).fill((byte) 0);
            longer.set(ValueLayout.JAVA_INT, 0, 80);
            longer.set(ValueLayout.JAVA_INT, 4, 4);
            ok(rig.test.call(longer));
            longer.set(ValueLayout.JAVA_BYTE, 79, (byte) 1);
            fails(Errno.E2BIG, rig.test.call(longer));
            fails(Errno.ENOTTY, rig.it.call(0x9f, longer));
        }
    }

    @EveryKernel
    void aDeviceKeepsWhatItIsOn(KernelUnderTest kernel) {
        try (Rig rig = new Rig(kernel)) {
            fails(Errno.ENOENT, rig.test.tryMock(0x1234));
            MemorySegment flags = rig.test.command(12, rig.ioas);
            TestCommandClient.putInt(flags, 12, 1 << 5);
            fails(Errno.EINVAL, rig.test.call(flags));
            MockDevice device = rig.test.mock(rig.ioas);
            fails(Errno.EINVAL, rig.test.tryMock(device.device()));
            fails(Errno.EBUSY, rig.it.destroy(device.device()));
            fails(Errno.EBUSY, rig.it.destroy(device.hwpt()));
            fails(Errno.EBUSY, rig.it.destroy(rig.ioas));
            MockDevice second = rig.test.mock(rig.ioas);
            assertNotEquals(device.object(), second.object());
            ok(rig.it.destroy(device.object()));
            ok(rig.it.destroy(second.object()));
            fails(Errno.ENOENT, rig.it.destroy(device.hwpt()));
            fails(Errno.ENOENT, rig.it.destroy(device.device()));
            ok(rig.it.destroy(rig.ioas));
        }
    }

    @EveryKernel
    void pagesOfTwoKib(KernelUnderTest kernel) {
        try (Rig rig = new Rig(kernel)) {
            long memory = rig.it.memory(8);
            MockDevice device = rig.test.mock(rig.ioas);
            rig.map(memory + HALF, 2 * PAGE, APERTURE);
            rig.map(memory + 3 * PAGE, HALF, APERTURE + 3 * PAGE + HALF);
            fails(Errno.EINVAL, rig.it.map(rig.ioas, ALL, memory, 1024, APERTURE + 8 * PAGE));
            fails(Errno.EINVAL, rig.it.map(rig.ioas, ALL, memory + 1024, HALF, APERTURE + 8 * PAGE));
            ok(rig.test.checkMap(device.hwpt(), APERTURE, 2 * PAGE, memory + HALF));
            ok(rig.test.checkMap(device.hwpt(), APERTURE + HALF, PAGE, memory + PAGE));
            ok(rig.test.checkMap(device.hwpt(), APERTURE + 3 * PAGE + HALF, HALF, memory + 3 * PAGE));
            fails(Errno.EINVAL, rig.test.checkMap(device.hwpt(), APERTURE, HALF, memory));
            fails(Errno.EINVAL, rig.test.checkMap(device.hwpt(), APERTURE, 3 * PAGE, memory + HALF));
            fails(Errno.EINVAL, rig.test.checkMap(device.hwpt(), APERTURE + 1024, HALF, memory + HALF));
            fails(Errno.ENOENT, rig.test.checkMap(rig.ioas, APERTURE, HALF, memory + HALF));
            fails(Errno.EFAULT, rig.test.checkMap(device.hwpt(), APERTURE, HALF, 0));
            rig.test.pinned(1, memory, 4);
            rig.test.pinned(0, memory + 4 * PAGE, 4);
            assertEquals(2 * PAGE, rig.it.unmap(rig.ioas, APERTURE, 2 * PAGE));
            rig.test.pinned(0, memory, 3);
            fails(Errno.EINVAL, rig.test.checkMap(device.hwpt(), APERTURE, HALF, memory + HALF));
        }
    }

    @EveryKernel
    void pinsAreCounted(KernelUnderTest kernel) {
        try (Rig rig = new Rig(kernel)) {
            long memory = rig.it.memory(4);
            fails(Errno.EINVAL, rig.test.refs(memory + 1, PAGE, 0));
            fails(Errno.EINVAL, rig.test.refs(memory, HALF, 0));
            fails(Errno.EIO, rig.test.refs(memory, PAGE, 1));
            rig.map(memory, 4 * PAGE, APERTURE);
            rig.test.pinned(0, memory, 4);
            MockDevice device = rig.test.mock(rig.ioas);
            rig.test.pinned(1, memory, 4);
            MockDevice second = rig.test.mock(rig.ioas);
            rig.test.pinned(1, memory, 4);
            long other = ok(rig.it.ioas());
            MockDevice third = rig.test.mock(other);
            ok(rig.it.copy(ALL, rig.ioas, APERTURE, other, APERTURE + 16 * PAGE, 2 * PAGE));
            rig.test.pinned(1, memory, 4);
            assertEquals(APERTURE, rig.it.map(other, ALL, memory, PAGE, APERTURE));
            rig.test.pinned(2, memory, 1);
            rig.test.pinned(1, memory + PAGE, 3);
            ok(rig.it.destroy(device.object()));
            ok(rig.it.destroy(second.object()));
            rig.test.pinned(2, memory, 1);
            rig.test.pinned(1, memory + PAGE, 1);
            rig.test.pinned(0, memory + 2 * PAGE, 2);
            ok(rig.it.destroy(third.object()));
            rig.test.pinned(0, memory, 4);
        }
    }

    @EveryKernel
    void littleMemoryIsEnough(KernelUnderTest kernel) {
        try (Rig rig = new Rig(kernel)) {
            fails(Errno.EINVAL, rig.test.memoryLimit(11));
            ok(rig.test.memoryLimit(16));
            try {
                long memory = rig.it.memory(64);
                MockDevice device = rig.test.mock(rig.ioas);
                rig.map(memory, 64 * PAGE, APERTURE);
                ok(rig.test.checkMap(device.hwpt(), APERTURE, 64 * PAGE, memory));
                rig.test.pinned(1, memory, 64);
                assertEquals(64 * PAGE, rig.it.unmap(rig.ioas, APERTURE, 64 * PAGE));
                rig.test.pinned(0, memory, 64);
            } finally {
                ok(rig.test.memoryLimit(65536));
            }
        }
    }

    @EveryKernel
    void reservedRanges(KernelUnderTest kernel) {
        try (Rig rig = new Rig(kernel)) {
            long memory = rig.it.memory(4);
            rig.map(memory, PAGE, APERTURE);
            fails(Errno.EINVAL, rig.test.addReserved(rig.ioas, APERTURE, 0));
            fails(Errno.EOVERFLOW, rig.test.addReserved(rig.ioas, -PAGE, 2 * PAGE));
            fails(Errno.ENOENT, rig.test.addReserved(0x1234, APERTURE, PAGE));
            fails(Errno.EADDRINUSE, rig.test.addReserved(rig.ioas, APERTURE + PAGE - 1, PAGE));
            ok(rig.test.addReserved(rig.ioas, APERTURE + PAGE, PAGE));
            ok(rig.test.addReserved(rig.ioas, APERTURE + PAGE, 4 * PAGE));
            fails(Errno.EINVAL, rig.it.map(rig.ioas, ALL, memory, PAGE, APERTURE + PAGE));
            fails(Errno.EINVAL, rig.it.map(rig.ioas, ALL, memory, 2 * PAGE, APERTURE + 4 * PAGE));
            rig.map(memory, PAGE, APERTURE + 5 * PAGE);
        }
    }

    @EveryKernel
    void theApertureIsKept(KernelUnderTest kernel) {
        try (Rig rig = new Rig(kernel)) {
            long memory = rig.it.memory(4);
            rig.map(memory, PAGE, APERTURE - PAGE);
            fails(Errno.EADDRINUSE, rig.test.tryMock(rig.ioas));
            assertEquals(PAGE, rig.it.unmap(rig.ioas, APERTURE - PAGE, PAGE));
            rig.map(memory, HALF / 2, APERTURE);
            fails(Errno.EADDRINUSE, rig.test.tryMock(rig.ioas));
            assertEquals(HALF / 2, rig.it.unmap(rig.ioas, APERTURE, HALF / 2));
            MockDevice device = rig.test.mock(rig.ioas);
            fails(Errno.EINVAL, rig.it.map(rig.ioas, ALL, memory, PAGE, APERTURE - HALF));
            fails(Errno.EINVAL, rig.it.map(rig.ioas, ALL, memory, PAGE, LAST + 1 - HALF));
            rig.map(memory, PAGE, LAST + 1 - PAGE);
            ok(rig.test.checkMap(device.hwpt(), LAST + 1 - PAGE, PAGE, memory));
        }
    }

    @EveryKernel
    void aDeviceMovesToAnotherAddressSpace(KernelUnderTest kernel) {
        try (Rig rig = new Rig(kernel)) {
            long memory = rig.it.memory(2);
            MockDevice device = rig.test.mock(rig.ioas);
            rig.map(memory, PAGE, APERTURE);
            long other = ok(rig.it.ioas());
            assertEquals(APERTURE, rig.it.map(other, ALL, memory + PAGE, PAGE, APERTURE));
            fails(Errno.ENOENT, rig.test.replace(device.object(), 0x1234));
            fails(Errno.ENOENT, rig.test.replace(rig.ioas, other));
            fails(Errno.EINVAL, rig.test.replace(device.object(), device.device()));
            assertEquals(device.hwpt(), rig.test.replace(device.object(), device.hwpt()));
            assertEquals(device.hwpt(), rig.test.replace(device.object(), rig.ioas));
            long next = ok(rig.test.replace(device.object(), other));
            assertNotEquals(device.hwpt(), next);
            ok(rig.test.checkMap(next, APERTURE, PAGE, memory + PAGE));
            fails(Errno.ENOENT, rig.test.checkMap(device.hwpt(), APERTURE, PAGE, memory));
            rig.test.pinned(0, memory, 1);
            rig.test.pinned(1, memory + PAGE, 1);
            ok(rig.it.destroy(rig.ioas));
            fails(Errno.EBUSY, rig.it.destroy(other));
        }
    }
}
