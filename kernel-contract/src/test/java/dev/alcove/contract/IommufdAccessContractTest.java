// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract;

import dev.alcove.contract.TestCommandClient.MockDevice;
import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import dev.alcove.sys.Syscalls;
import dev.alcove.sys.UserMappings;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

import static dev.alcove.contract.Checks.fails;
import static dev.alcove.contract.Checks.ok;
import static dev.alcove.contract.IommufdClient.ALL;
import static dev.alcove.contract.IommufdClient.FIXED;
import static dev.alcove.contract.IommufdClient.READ;
import static dev.alcove.contract.TestCommandClient.APERTURE;
import static dev.alcove.contract.TestCommandClient.SLOW;
import static dev.alcove.contract.TestCommandClient.WRITE;
import static org.junit.jupiter.api.Assertions.assertEquals;

/** What the kernel itself does to an address space: pins, reads, writes, and lets go when something is unmapped. */
@Surface("iommufd-test")
final class IommufdAccessContractTest {
    private static final long PAGE = Linux.PAGE_SIZE;
    private static final int PINS = 1;
    private static final long TOO_LONG = (16 << 20) + 1;

    /** Eight pages, mapped, and an access of each kind. */
    private static final class Rig implements AutoCloseable {
        final Syscalls sys;
        final IommufdClient it;
        final TestCommandClient test;
        final long ioas;
        final long memory;
        final MemorySegment content;
        final MemorySegment buffer;

        Rig(KernelUnderTest kernel) {
            sys = kernel.sys();
            it = new IommufdClient(kernel);
            test = new TestCommandClient(kernel, it);
            ioas = ok(it.ioas());
            memory = it.memory(8);
            content = UserMappings.segment(memory, 8 * PAGE);
            buffer = it.user(4 * PAGE);
            assertEquals(APERTURE, it.map(ioas, ALL, memory, 8 * PAGE, APERTURE));
        }

        long access(int flags) {
            return it.own((int) ok(test.access(ioas, flags)));
        }

        @Override
        public void close() {
            it.close();
        }
    }

    @EveryKernel
    void anAccessKeepsItsAddressSpace(KernelUnderTest kernel) {
        try (Rig rig = new Rig(kernel)) {
            fails(Errno.EOPNOTSUPP, rig.test.access(rig.ioas, 2));
            fails(Errno.ENOENT, rig.test.access(0x1234, 0));
            long other = ok(rig.it.ioas());
            long access = ok(rig.test.access(other, 0));
            fails(Errno.EBUSY, rig.it.destroy(other));
            ok(rig.sys.close((int) access));
            ok(rig.it.destroy(other));
        }
    }

    @EveryKernel
    void pinsOfOneRangeAreShared(KernelUnderTest kernel) {
        try (Rig rig = new Rig(kernel)) {
            long access = rig.access(PINS);
            long first = ok(rig.test.pin(access, APERTURE, 4 * PAGE, rig.memory, 0));
            rig.test.pinned(1, rig.memory, 4);
            rig.test.pinned(0, rig.memory + 4 * PAGE, 4);
            long second = ok(rig.test.pin(access, APERTURE, 4 * PAGE, rig.memory, WRITE));
            long third = ok(rig.test.pin(access, APERTURE + 2 * PAGE, 4 * PAGE, rig.memory + 2 * PAGE, 0));
            rig.test.pinned(1, rig.memory, 6);
            ok(rig.test.unpin(access, first));
            fails(Errno.ENOENT, rig.test.unpin(access, first));
            rig.test.pinned(1, rig.memory, 6);
            ok(rig.test.unpin(access, second));
            rig.test.pinned(0, rig.memory, 2);
            rig.test.pinned(1, rig.memory + 2 * PAGE, 4);
            ok(rig.test.unpin(access, third));
            rig.test.pinned(0, rig.memory, 8);
        }
    }

    @EveryKernel
    void pinsAndDomainsShareTheirPages(KernelUnderTest kernel) {
        try (Rig rig = new Rig(kernel)) {
            rig.test.needsMockDevices();
            long access = rig.access(PINS);
            ok(rig.test.pin(access, APERTURE + PAGE, 2 * PAGE, rig.memory + PAGE, WRITE));
            MockDevice device = rig.test.mock(rig.ioas);
            rig.test.pinned(1, rig.memory, 8);
            ok(rig.test.checkMap(device.hwpt(), APERTURE, 8 * PAGE, rig.memory));
            ok(rig.test.pin(access, APERTURE + 2 * PAGE, 4 * PAGE, rig.memory + 2 * PAGE, WRITE));
            rig.test.pinned(1, rig.memory, 8);
            ok(rig.it.destroy(device.object()));
            rig.test.pinned(0, rig.memory, 1);
            rig.test.pinned(1, rig.memory + PAGE, 5);
            rig.test.pinned(0, rig.memory + 6 * PAGE, 2);
            ok(rig.sys.close((int) access));
            rig.test.pinned(0, rig.memory, 8);
        }
    }

    @EveryKernel
    void anUnmapIsNotHeldUp(KernelUnderTest kernel) {
        try (Rig rig = new Rig(kernel)) {
            rig.test.needsMockDevices();
            long one = rig.access(PINS);
            long two = rig.access(PINS);
            rig.test.mock(rig.ioas);
            long first = ok(rig.test.pin(one, APERTURE, PAGE, rig.memory, 0));
            ok(rig.test.pin(two, APERTURE + PAGE, PAGE, rig.memory + PAGE, 0));
            assertEquals(8 * PAGE, rig.it.unmap(rig.ioas, APERTURE, 8 * PAGE));
            rig.test.pinned(0, rig.memory, 8);
            fails(Errno.ENOENT, rig.test.unpin(one, first));
            fails(Errno.ENOENT, rig.test.pin(one, APERTURE, PAGE, rig.memory, 0));
        }
    }

    @EveryKernel
    void whatCannotBePinned(KernelUnderTest kernel) {
        try (Rig rig = new Rig(kernel)) {
            long access = rig.access(PINS);
            long memory = rig.memory;
            fails(Errno.EINVAL, rig.test.pin(access, APERTURE, 0, memory, 0));
            fails(Errno.EINVAL, rig.test.pin(access, APERTURE + 1, PAGE, memory + 1, 0));
            fails(Errno.EOVERFLOW, rig.test.pin(access, -PAGE, 2 * PAGE, 0, 0));
            fails(Errno.ENOENT, rig.test.pin(access, APERTURE + 7 * PAGE, 2 * PAGE, memory + 7 * PAGE, 0));
            fails(Errno.ENOENT, rig.test.pin(access, APERTURE - PAGE, PAGE, memory, 0));
            fails(Errno.ENOMEM, rig.test.pin(access, APERTURE, TOO_LONG, memory, 0));
            fails(Errno.EOPNOTSUPP, rig.test.pin(access, APERTURE, PAGE, memory, 2));
            fails(Errno.EBADE, rig.test.pin(access, APERTURE, 2 * PAGE, memory + PAGE, 0));
            fails(Errno.EFAULT, rig.test.pin(access, APERTURE, PAGE, PAGE, 0));
            fails(Errno.EBADFD, rig.test.pin(rig.it.fd, APERTURE, PAGE, memory, 0));
            fails(Errno.EBADFD, rig.test.pin(4711, APERTURE, PAGE, memory, 0));
            rig.test.pinned(0, memory, 8);
            fails(Errno.EOPNOTSUPP, rig.test.pin(rig.access(0), APERTURE, PAGE, memory, 0));
            long readOnly = APERTURE + 16 * PAGE;
            assertEquals(readOnly, rig.it.map(rig.ioas, FIXED | READ, memory, PAGE, readOnly));
            fails(Errno.EPERM, rig.test.pin(access, readOnly, PAGE, memory, WRITE));
            ok(rig.test.pin(access, readOnly, PAGE, memory, 0));
        }
    }

    @EveryKernel
    void pinsReachOverAreas(KernelUnderTest kernel) {
        try (Rig rig = new Rig(kernel)) {
            long access = rig.access(PINS);
            assertEquals(
                    APERTURE + 8 * PAGE, rig.it.map(rig.ioas, ALL, rig.memory + PAGE, 2 * PAGE, APERTURE + 8 * PAGE));
            fails(Errno.EBADE, rig.test.pin(access, APERTURE + 7 * PAGE, 2 * PAGE, rig.memory + 6 * PAGE, 0));
            rig.test.pinned(0, rig.memory, 8);
            ok(rig.test.pin(access, APERTURE + 7 * PAGE, 2 * PAGE, 0, 0));
            rig.test.pinned(1, rig.memory + 7 * PAGE, 1);
            rig.test.pinned(1, rig.memory + PAGE, 1);
            assertEquals(2 * PAGE, rig.it.unmap(rig.ioas, APERTURE + 8 * PAGE, 2 * PAGE));
            rig.test.pinned(0, rig.memory, 8);
        }
    }

    @EveryKernel
    void pinsWantAlignedAreas(KernelUnderTest kernel) {
        try (Rig rig = new Rig(kernel)) {
            long odd = APERTURE + 16 * PAGE + 0x123;
            assertEquals(odd, rig.it.map(rig.ioas, ALL, rig.memory + 0x123, 0x10, odd));
            fails(Errno.EADDRINUSE, rig.test.access(rig.ioas, PINS));
            long access = rig.access(0);
            assertEquals(0x10, rig.it.unmap(rig.ioas, odd, 0x10));
            fails(Errno.ENOENT, rig.test.replaceIoas(access, 0x1234));
            long pinning = rig.access(PINS);
            fails(Errno.EINVAL, rig.it.map(rig.ioas, ALL, rig.memory + 0x123, 0x10, odd));
            ok(rig.sys.close((int) pinning));
            assertEquals(odd, rig.it.map(rig.ioas, ALL, rig.memory + 0x123, 0x10, odd));
        }
    }

    @EveryKernel
    void readsAndWrites(KernelUnderTest kernel) {
        try (Rig rig = new Rig(kernel)) {
            long access = rig.access(0);
            for (int i = 0; i < 8 * PAGE; i += 4) {
                rig.content.set(ValueLayout.JAVA_INT, i, i * 31);
            }
            for (int flags : new int[] {0, SLOW}) {
                ok(rig.test.rw(access, APERTURE + PAGE - 8, rig.buffer, 2 * PAGE, flags));
                assertEquals(
                        -1,
                        rig.buffer.asSlice(0, 2 * PAGE).mismatch(rig.content.asSlice(PAGE - 8, 2 * PAGE)));
                rig.buffer.fill((byte) (flags + 7));
                ok(rig.test.rw(access, APERTURE + 5 * PAGE - 3, rig.buffer, 6, WRITE | flags));
                assertEquals(flags + 7, rig.content.get(ValueLayout.JAVA_BYTE, 5 * PAGE - 3));
                assertEquals(flags + 7, rig.content.get(ValueLayout.JAVA_BYTE, 5 * PAGE + 2));
                ok(rig.test.rw(access, APERTURE + 3, rig.buffer, 2, flags));
                assertEquals(rig.content.get(ValueLayout.JAVA_BYTE, 3), rig.buffer.get(ValueLayout.JAVA_BYTE, 0));
                fails(Errno.EINVAL, rig.test.rw(access, APERTURE, rig.buffer, 0, flags));
                fails(Errno.EOVERFLOW, rig.test.rw(access, -4, rig.buffer, 8, flags));
                fails(Errno.ENOENT, rig.test.rw(access, APERTURE + 8 * PAGE - 4, rig.buffer, 8, flags));
                fails(Errno.EFAULT, rig.test.rw(access, APERTURE, MemorySegment.NULL, 8, flags));
                fails(Errno.EFAULT, rig.test.rw(access, APERTURE, MemorySegment.NULL, 8, WRITE | flags));
            }
            fails(Errno.ENOMEM, rig.test.rw(access, APERTURE, rig.buffer, TOO_LONG, 0));
            fails(Errno.EOPNOTSUPP, rig.test.rw(access, APERTURE, rig.buffer, 8, 2));
            fails(Errno.EBADFD, rig.test.rw(rig.it.fd, APERTURE, rig.buffer, 8, 0));
            rig.test.pinned(0, rig.memory, 8);
            long readOnly = APERTURE + 16 * PAGE;
            assertEquals(readOnly, rig.it.map(rig.ioas, FIXED | READ, rig.memory, PAGE, readOnly));
            fails(Errno.EPERM, rig.test.rw(access, readOnly, rig.buffer, 8, WRITE));
            ok(rig.test.rw(access, readOnly, rig.buffer, 8, 0));
        }
    }

    @EveryKernel
    void memoryThatItsProcessHasUnmapped(KernelUnderTest kernel) {
        try (Rig rig = new Rig(kernel)) {
            rig.test.needsMockDevices();
            long access = rig.access(0);
            int file = rig.it.own(rig.sys.memfdCreate("gone", Linux.MFD_CLOEXEC));
            ok(rig.sys.ftruncate(file, 2 * PAGE));
            int rights = Linux.PROT_READ | Linux.PROT_WRITE;
            long memory = ok(rig.sys.mmap(0, 2 * PAGE, rights, Linux.MAP_SHARED, file, 0));
            UserMappings.segment(memory, 2 * PAGE).fill((byte) 0x5a);
            long iova = APERTURE + 16 * PAGE;
            MockDevice device = rig.test.mock(rig.ioas);
            assertEquals(iova, rig.it.map(rig.ioas, ALL, memory, 2 * PAGE, iova));
            ok(rig.sys.munmap(memory, 2 * PAGE));
            fails(Errno.EFAULT, rig.test.rw(access, iova, rig.buffer, 8, 0));
            fails(Errno.EFAULT, rig.test.rw(access, iova, rig.buffer, 8, SLOW));
            ok(rig.test.rw(access, iova + PAGE - 4, rig.buffer, 8, SLOW));
            assertEquals(0x5a5a5a5a5a5a5a5aL, rig.buffer.get(ValueLayout.JAVA_LONG, 0));
            ok(rig.it.destroy(device.object()));
            fails(Errno.EFAULT, rig.test.rw(access, iova + PAGE - 4, rig.buffer, 8, SLOW));
        }
    }

    @EveryKernel
    void anotherAddressSpace(KernelUnderTest kernel) {
        try (Rig rig = new Rig(kernel)) {
            long access = rig.access(PINS);
            long pinned = ok(rig.test.pin(access, APERTURE, PAGE, rig.memory, 0));
            long other = ok(rig.it.ioas());
            assertEquals(APERTURE, rig.it.map(other, ALL, rig.memory + 4 * PAGE, PAGE, APERTURE));
            ok(rig.test.replaceIoas(access, rig.ioas));
            rig.test.pinned(1, rig.memory, 1);
            ok(rig.test.replaceIoas(access, other));
            rig.test.pinned(0, rig.memory, 8);
            fails(Errno.ENOENT, rig.test.unpin(access, pinned));
            ok(rig.test.pin(access, APERTURE, PAGE, rig.memory + 4 * PAGE, 0));
            ok(rig.it.destroy(rig.ioas));
            fails(Errno.EBUSY, rig.it.destroy(other));
            fails(Errno.EBADFD, rig.test.replaceIoas(rig.it.fd, other));
        }
    }
}
