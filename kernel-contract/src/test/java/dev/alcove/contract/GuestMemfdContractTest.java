// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract;

import dev.alcove.bindings.kvm.kvm;
import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import dev.alcove.sys.Syscalls;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import org.junit.jupiter.api.Timeout;

import static dev.alcove.contract.Checks.fails;
import static dev.alcove.contract.Checks.ok;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

/** guest_memfd as a file. */
@Surface("guest_memfd")
@Timeout(60)
final class GuestMemfdContractTest {
    private static final long PAGE = KvmMachine.PAGE;
    private static final int KEEP = Linux.FALLOC_FL_KEEP_SIZE;
    private static final int PUNCH = Linux.FALLOC_FL_PUNCH_HOLE;

    private static KvmMachine machine(KernelUnderTest kernel) {
        KvmMachine m = new KvmMachine(kernel, KvmMachine.DEFAULT);
        if (m.has(234) != 1 || m.has(244) != 3) {
            m.close();
            kernel.needs("guest_memfd in a default machine", -Errno.EINVAL);
        }
        return m;
    }

    @EveryKvm
    void creation(KernelUnderTest kernel) {
        try (KvmMachine m = machine(kernel)) {
            fails(Errno.EINVAL, m.gmem(0, 0));
            fails(Errno.EINVAL, m.gmem(1, 0));
            fails(Errno.EINVAL, m.gmem(-PAGE, 0));
            fails(Errno.EINVAL, m.gmem(PAGE, 4));
            fails(Errno.EINVAL, m.gmem(PAGE, 8));
            m.own(m.gmem(1L << 62, 0));
            m.own(m.gmem(PAGE, KvmMachine.FLAG_INIT_SHARED));
            fails(Errno.EFAULT, m.sys.ioctl(m.fd, (int) kvm.KVM_CREATE_GUEST_MEMFD(), 8));
        }
    }

    @EveryKvm
    void itIsNoOrdinaryFile(KernelUnderTest kernel) {
        try (KvmMachine m = machine(kernel)) {
            Syscalls sys = m.sys;
            int g = m.own(m.gmem(8 * PAGE, 0));
            MemorySegment buffer = m.struct(8);
            assertEquals(0, sys.fcntl(g, Linux.F_GETFD, 0));
            assertEquals(Linux.O_RDWR | Linux.O_LARGEFILE, sys.fcntl(g, Linux.F_GETFL, 0));
            fails(Errno.EINVAL, sys.read(g, buffer));
            fails(Errno.EINVAL, sys.write(g, buffer));
            fails(Errno.ESPIPE, sys.pread(g, buffer, 0));
            fails(Errno.ESPIPE, sys.pwrite(g, buffer, 0));
            fails(Errno.ESPIPE, sys.lseek(g, 0, Linux.SEEK_SET));
            fails(Errno.ESPIPE, sys.lseek(g, 0, Linux.SEEK_END));
            fails(Errno.ESPIPE, sys.lseek(g, 0, Linux.SEEK_HOLE));
            fails(Errno.EINVAL, sys.ftruncate(g, 4096));
            fails(Errno.ENOTTY, sys.ioctl(g, 0x1234, 0L));
            fails(Errno.EINVAL, sys.fcntl(g, Linux.F_GET_SEALS, 0));
            fails(Errno.EINVAL, sys.fcntl(g, Linux.F_ADD_SEALS, 4));
            assertStat(m, g, 8 * PAGE);
            ok(sys.fallocate(g, KEEP, 0, 8 * PAGE));
            assertStat(m, g, 8 * PAGE);
        }
    }

    private static void assertStat(KvmMachine m, int fd, long size) {
        MemorySegment stat = m.struct(144);
        ok(m.sys.fstat(fd, stat));
        assertEquals(1, stat.get(ValueLayout.JAVA_LONG, 16), "links");
        assertEquals(0100600, stat.get(ValueLayout.JAVA_INT, 24), "mode");
        assertEquals(size, stat.get(ValueLayout.JAVA_LONG, 48), "size");
        assertEquals(4096, stat.get(ValueLayout.JAVA_LONG, 56), "block size");
        assertEquals(0, stat.get(ValueLayout.JAVA_LONG, 64), "blocks");
    }

    @EveryKvm
    void fallocate(KernelUnderTest kernel) {
        try (KvmMachine m = machine(kernel)) {
            Syscalls sys = m.sys;
            int g = m.own(m.gmem(8 * PAGE, 0));
            fails(Errno.EOPNOTSUPP, sys.fallocate(g, 0, 0, PAGE));
            ok(sys.fallocate(g, KEEP, 0, PAGE));
            fails(Errno.EOPNOTSUPP, sys.fallocate(g, PUNCH, 0, PAGE));
            fails(Errno.EOPNOTSUPP, sys.fallocate(g, KEEP | Linux.FALLOC_FL_ZERO_RANGE, 0, PAGE));
            fails(Errno.EOPNOTSUPP, sys.fallocate(g, Linux.FALLOC_FL_ZERO_RANGE, 0, PAGE));
            fails(Errno.EOPNOTSUPP, sys.fallocate(g, Linux.FALLOC_FL_COLLAPSE_RANGE, 0, PAGE));
            fails(Errno.EOPNOTSUPP, sys.fallocate(g, KEEP | Linux.FALLOC_FL_UNSHARE_RANGE, 0, PAGE));
            fails(Errno.EINVAL, sys.fallocate(g, KEEP, 1, PAGE));
            fails(Errno.EINVAL, sys.fallocate(g, KEEP, 0, 1));
            fails(Errno.EINVAL, sys.fallocate(g, KEEP, 0, 0));
            fails(Errno.EINVAL, sys.fallocate(g, KEEP, -PAGE, PAGE));
            fails(Errno.EINVAL, sys.fallocate(g, KEEP, 0, 9 * PAGE));
            ok(sys.fallocate(g, KEEP | PUNCH, 100 * PAGE, PAGE));
            ok(sys.fallocate(g, KEEP | PUNCH, 4 * PAGE, 100 * PAGE));
            fails(Errno.EINVAL, sys.fallocate(g, KEEP | PUNCH, 1, PAGE));
            fails(Errno.EFBIG, sys.fallocate(g, KEEP | PUNCH, 0x7ffffffffffff000L, PAGE));
        }
    }

    @EveryKvm
    void mmapRules(KernelUnderTest kernel) {
        try (KvmMachine m = machine(kernel)) {
            Syscalls sys = m.sys;
            int none = m.own(m.gmem(8 * PAGE, 0));
            int mappable = m.own(m.gmem(8 * PAGE, KvmMachine.FLAG_MMAP));
            int shared = m.own(m.gmem(8 * PAGE, KvmMachine.FLAG_MMAP | KvmMachine.FLAG_INIT_SHARED));
            int rw = KvmMachine.RW;
            fails(Errno.ENODEV, sys.mmap(0, PAGE, rw, Linux.MAP_SHARED, none, 0));
            fails(Errno.EINVAL, sys.mmap(0, PAGE, rw, Linux.MAP_PRIVATE, mappable, 0));
            fails(Errno.EINVAL, sys.mmap(0, PAGE, Linux.PROT_READ, Linux.MAP_PRIVATE, mappable, 0));
            fails(Errno.EINVAL, sys.mmap(0, PAGE, rw, Linux.MAP_SHARED, shared, 1));
            MemorySegment all = m.map(32, Linux.MAP_SHARED, shared);
            all.set(ValueLayout.JAVA_INT, 7 * PAGE, 5);
            sigbus(all, 8);
            MemorySegment hidden = m.map(8, Linux.MAP_SHARED, mappable);
            sigbus(hidden, 0);
            long beyond = ok(sys.mmap(0, PAGE, rw, Linux.MAP_SHARED, shared, 100 * PAGE));
            ok(sys.munmap(beyond, PAGE));
        }
    }

    private static void sigbus(MemorySegment memory, long page) {
        assertThrows(InternalError.class, () -> {
            int value = memory.get(ValueLayout.JAVA_INT, page * PAGE);
            assertEquals(0, value);
        });
    }

    @EveryKvm
    void punchZeroesWhatIsMapped(KernelUnderTest kernel) {
        try (KvmMachine m = machine(kernel)) {
            int g = m.own(m.gmem(8 * PAGE, KvmMachine.FLAG_MMAP | KvmMachine.FLAG_INIT_SHARED));
            MemorySegment memory = m.map(8, Linux.MAP_SHARED, g);
            for (int page = 0; page < 8; page++) {
                assertEquals(0, memory.get(ValueLayout.JAVA_INT, page * PAGE));
                memory.set(ValueLayout.JAVA_INT, page * PAGE, 1 + page);
            }
            ok(m.punch(g, 2 * PAGE, 3 * PAGE));
            assertEquals(2, memory.get(ValueLayout.JAVA_INT, PAGE));
            assertEquals(0, memory.get(ValueLayout.JAVA_INT, 2 * PAGE));
            assertEquals(0, memory.get(ValueLayout.JAVA_INT, 4 * PAGE));
            assertEquals(6, memory.get(ValueLayout.JAVA_INT, 5 * PAGE));
            ok(m.sys.madvise(memory.address() + PAGE, PAGE, Linux.MADV_DONTNEED));
            assertEquals(2, memory.get(ValueLayout.JAVA_INT, PAGE), "the file keeps it");
        }
    }

    @EveryKvm
    void itOutlivesTheMachinesDescriptor(KernelUnderTest kernel) {
        try (KvmMachine m = machine(kernel)) {
            int other = (int) ok(m.sys.ioctl(m.kvmFd, kvm.KVM_CREATE_VM(), 0L));
            MemorySegment s = m.struct(64);
            s.set(ValueLayout.JAVA_LONG, 0, 4 * PAGE);
            int g = m.own(
                    m.sys.ioctl(other, (int) kvm.KVM_CREATE_GUEST_MEMFD(), s));
            ok(m.sys.close(other));
            ok(m.sys.fallocate(g, KEEP, 0, 4 * PAGE));
            ok(m.punch(g, 0, 2 * PAGE));
            assertStat(m, g, 4 * PAGE);
        }
    }
}
