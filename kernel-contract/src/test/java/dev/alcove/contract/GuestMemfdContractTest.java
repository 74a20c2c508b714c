// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract;

import dev.alcove.bindings.kvm.kvm;
import dev.alcove.bindings.kvm.kvm_create_guest_memfd;
import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import org.junit.jupiter.api.Timeout;

import static dev.alcove.contract.Checks.fails;
import static dev.alcove.contract.Checks.fd;
import static dev.alcove.contract.Checks.ok;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;

/** KVM_CREATE_GUEST_MEMFD, and what kind of file it makes. */
@Surface("guest_memfd")
@Timeout(60)
final class GuestMemfdContractTest {
    private static final long PAGE = KvmMachine.PAGE;
    private static final int PAGES = 8;

    private static KvmMachine machine(KernelUnderTest kernel) {
        return KvmMachine.withGmem(kernel, 0);
    }

    private static int file(KvmMachine m) {
        return m.own(m.gmem(PAGES * PAGE, 0));
    }

    @EveryKernel
    void theSizeMustNotBeZero(KernelUnderTest kernel) {
        try (KvmMachine m = machine(kernel)) {
            fails(Errno.EINVAL, m.gmem(0, 0));
        }
    }

    @EveryKernel
    void theSizeMustBeWholePages(KernelUnderTest kernel) {
        try (KvmMachine m = machine(kernel)) {
            fails(Errno.EINVAL, m.gmem(1, 0));
            fails(Errno.EINVAL, m.gmem(PAGE + 0x800, 0));
            fails(Errno.EINVAL, m.gmem(PAGE - 1, 0));
        }
    }

    @EveryKernel
    void theSizeMustBePositive(KernelUnderTest kernel) {
        try (KvmMachine m = machine(kernel)) {
            fails(Errno.EINVAL, m.gmem(-PAGE, 0));
            fails(Errno.EINVAL, m.gmem(1L << 63, 0));
        }
    }

    @EveryKernel
    void theSizeTakesNoMemory(KernelUnderTest kernel) {
        try (KvmMachine m = machine(kernel)) {
            m.own(m.gmem(1L << 62, 0));
            m.own(m.gmem(Long.MAX_VALUE & -PAGE, 0));
        }
    }

    @EveryKernel
    void unknownFlagsAreRefused(KernelUnderTest kernel) {
        try (KvmMachine m = machine(kernel)) {
            for (int bit = 0; bit < 64; bit++) {
                boolean known = (m.has(KvmMachine.GUEST_MEMFD_FLAGS) & 1L << bit) != 0 && bit < 31;
                int answer = m.gmem(PAGE, 1L << bit);
                if (known) {
                    m.own(answer);
                } else {
                    fails(Errno.EINVAL, answer);
                }
            }
        }
    }

    @EveryKernel
    void initSharedNeedsNoMmap(KernelUnderTest kernel) {
        try (KvmMachine m = KvmMachine.withGmem(kernel, KvmMachine.FLAG_INIT_SHARED)) {
            m.own(m.gmem(PAGE, KvmMachine.FLAG_INIT_SHARED));
        }
    }

    @EveryKernel
    void theReservedFieldsAreNotLookedAt(KernelUnderTest kernel) {
        try (KvmMachine m = machine(kernel)) {
            MemorySegment s = m.struct(kvm_create_guest_memfd.sizeof());
            s.fill((byte) -1);
            kvm_create_guest_memfd.size(s, PAGE);
            kvm_create_guest_memfd.flags(s, 0);
            m.own(m.sys.ioctl(m.fd, (int) kvm.KVM_CREATE_GUEST_MEMFD(), s));
        }
    }

    @EveryKernel
    void creationNeedsAPointer(KernelUnderTest kernel) {
        try (KvmMachine m = machine(kernel)) {
            fails(Errno.EFAULT, m.sys.ioctl(m.fd, (int) kvm.KVM_CREATE_GUEST_MEMFD(), KvmMachine.BAD_POINTER));
        }
    }

    @EveryKernel
    void creationNeedsAMachine(KernelUnderTest kernel) {
        try (KvmMachine m = machine(kernel)) {
            MemorySegment s = m.struct(kvm_create_guest_memfd.sizeof());
            kvm_create_guest_memfd.size(s, PAGE);
            fails(Errno.EINVAL, m.sys.ioctl(m.kvmFd, (int) kvm.KVM_CREATE_GUEST_MEMFD(), s));
            fails(Errno.EINVAL, m.sys.ioctl(m.vcpu(0).fd, (int) kvm.KVM_CREATE_GUEST_MEMFD(), s));
        }
    }

    @EveryKernel
    void creationNeedsADescriptor(KernelUnderTest kernel) {
        try (KvmMachine m = machine(kernel)) {
            m.own(m.gmem(PAGE, 0));
            fails(Errno.EMFILE, m.withoutDescriptors(() -> m.gmem(PAGE, 0)));
            m.own(m.gmem(PAGE, 0));
        }
    }

    @EveryKernel
    void theArgumentsDecideBeforeTheDescriptors(KernelUnderTest kernel) {
        try (KvmMachine m = machine(kernel)) {
            fails(Errno.EINVAL, m.withoutDescriptors(() -> m.gmem(1, 0)));
            fails(Errno.EINVAL, m.withoutDescriptors(() -> m.gmem(PAGE, 1L << 40)));
        }
    }

    @EveryKernel
    void theDescriptorStaysOpenWithExec(KernelUnderTest kernel) {
        try (KvmMachine m = machine(kernel)) {
            assertEquals(0, m.sys.fcntl(file(m), Linux.F_GETFD, 0));
        }
    }

    @EveryKernel
    void theFileIsForReadingAndWriting(KernelUnderTest kernel) {
        try (KvmMachine m = machine(kernel)) {
            assertEquals(Linux.O_RDWR | Linux.O_LARGEFILE, m.sys.fcntl(file(m), Linux.F_GETFL, 0));
        }
    }

    @EveryKernel
    void itCannotBeReadOrWritten(KernelUnderTest kernel) {
        try (KvmMachine m = machine(kernel)) {
            int g = file(m);
            MemorySegment buffer = m.struct(8);
            fails(Errno.EINVAL, m.sys.read(g, buffer));
            fails(Errno.EINVAL, m.sys.write(g, buffer));
        }
    }

    @EveryKernel
    void itHasNoPositions(KernelUnderTest kernel) {
        try (KvmMachine m = machine(kernel)) {
            int g = file(m);
            MemorySegment buffer = m.struct(8);
            fails(Errno.ESPIPE, m.sys.pread(g, buffer, 0));
            fails(Errno.ESPIPE, m.sys.pwrite(g, buffer, 0));
            for (int whence = Linux.SEEK_SET; whence <= Linux.SEEK_HOLE; whence++) {
                fails(Errno.ESPIPE, m.sys.lseek(g, 0, whence));
            }
        }
    }

    @EveryKernel
    void itsSizeCannotChange(KernelUnderTest kernel) {
        try (KvmMachine m = machine(kernel)) {
            int g = file(m);
            fails(Errno.EINVAL, m.sys.ftruncate(g, PAGE));
            fails(Errno.EINVAL, m.sys.ftruncate(g, PAGES * PAGE));
            fails(Errno.EINVAL, m.sys.ftruncate(g, -1));
            assertStat(m, g);
        }
    }

    @EveryKernel
    void itHasNoIoctls(KernelUnderTest kernel) {
        try (KvmMachine m = machine(kernel)) {
            int g = file(m);
            fails(Errno.ENOTTY, m.sys.ioctl(g, 0x1234, 0L));
            fails(Errno.ENOTTY, m.sys.ioctl(g, (int) kvm.KVM_SET_MEMORY_ATTRIBUTES(), 0L));
            fails(Errno.ENOTTY, m.sys.ioctl(g, kvm.KVM_CHECK_EXTENSION(), 3L));
        }
    }

    @EveryKernel
    void itHasNoSeals(KernelUnderTest kernel) {
        try (KvmMachine m = machine(kernel)) {
            int g = file(m);
            fails(Errno.EINVAL, m.sys.fcntl(g, Linux.F_GET_SEALS, 0));
            fails(Errno.EINVAL, m.sys.fcntl(g, Linux.F_ADD_SEALS, 4));
        }
    }

    private static void assertStat(KvmMachine m, int fd) {
        MemorySegment stat = m.struct(144);
        ok(m.sys.fstat(fd, stat));
        assertEquals(1, stat.get(ValueLayout.JAVA_LONG, 16), "links");
        assertEquals(0100600, stat.get(ValueLayout.JAVA_INT, 24), "mode");
        assertEquals(PAGES * PAGE, stat.get(ValueLayout.JAVA_LONG, 48), "size");
        assertEquals(4096, stat.get(ValueLayout.JAVA_LONG, 56), "block size");
        assertEquals(0, stat.get(ValueLayout.JAVA_LONG, 64), "blocks");
    }

    @EveryKernel
    void itIsARegularFileOfItsSize(KernelUnderTest kernel) {
        try (KvmMachine m = machine(kernel)) {
            assertStat(m, file(m));
        }
    }

    @EveryKernel
    void itsBlocksAreNotCounted(KernelUnderTest kernel) {
        try (KvmMachine m = machine(kernel)) {
            int g = file(m);
            ok(m.sys.fallocate(g, Linux.FALLOC_FL_KEEP_SIZE, 0, PAGES * PAGE));
            assertStat(m, g);
        }
    }

    @EveryKernel
    void everyFileIsItsOwn(KernelUnderTest kernel) {
        try (KvmMachine m = machine(kernel)) {
            assertNotEquals(inode(m, file(m)), inode(m, file(m)));
        }
    }

    @EveryKernel
    void aDuplicateIsTheSameFile(KernelUnderTest kernel) {
        try (KvmMachine m = machine(kernel)) {
            int g = file(m);
            assertEquals(inode(m, g), inode(m, m.own(fd(m.sys.dup(g)))));
        }
    }

    private static long inode(KvmMachine m, int fd) {
        MemorySegment stat = m.struct(144);
        ok(m.sys.fstat(fd, stat));
        return stat.get(ValueLayout.JAVA_LONG, 8);
    }
}
