// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract;

import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import dev.alcove.sys.Syscalls;

import static dev.alcove.contract.Checks.fails;
import static dev.alcove.contract.Checks.ok;
import static dev.alcove.contract.IommufdClient.ALL;
import static dev.alcove.contract.IommufdClient.FIXED;
import static dev.alcove.contract.IommufdClient.READ;
import static dev.alcove.contract.IommufdClient.WRITE;
import static org.junit.jupiter.api.Assertions.assertEquals;

/** Which memory of a process can be mapped for a device by its address. */
@Surface("areas")
final class IommufdPinContractTest {
    private static final long PAGE = Linux.PAGE_SIZE;
    private static final long MIB = 1 << 20;
    private static final int PRIVATE = Linux.MAP_PRIVATE | Linux.MAP_ANONYMOUS;
    private static final int RW = Linux.PROT_READ | Linux.PROT_WRITE;

    /** A device on an address space. */
    private static final class Rig implements AutoCloseable {
        final Syscalls sys;
        final IommufdClient it;
        final int device;
        final long ioas;

        Rig(KernelUnderTest kernel) {
            sys = kernel.sys();
            it = new IommufdClient(kernel);
            device = it.openDevice();
            ok(it.bind(device));
            ioas = ok(it.ioas());
            ok(it.attach(device, ioas));
        }

        /** Maps pages for the device, and unmaps them again if that works. */
        long tryPin(int flags, long address, long pages) {
            long answer = it.map(ioas, FIXED | flags, address, pages * PAGE, MIB);
            if (answer >= 0) {
                assertEquals(pages * PAGE, it.unmap(ioas, MIB, pages * PAGE));
            }
            return answer;
        }

        int memfd(long pages) {
            int file = it.own(sys.memfdCreate("pin", Linux.MFD_CLOEXEC));
            ok(sys.ftruncate(file, pages * PAGE));
            return file;
        }

        @Override
        public void close() {
            it.close();
        }
    }

    @EveryKernel
    void privateAndSharedMemory(KernelUnderTest kernel) {
        try (Rig rig = new Rig(kernel)) {
            ok(rig.tryPin(READ | WRITE, rig.it.memory(4), 4));
            long memory = ok(rig.sys.mmap(0, 4 * PAGE, RW, PRIVATE, -1, 0));
            ok(rig.tryPin(READ | WRITE, memory, 4));
            ok(rig.tryPin(READ, memory, 4));
            ok(rig.sys.munmap(memory, 4 * PAGE));
        }
    }

    @EveryKernel
    void whatTheProcessMayNotWriteTheDeviceMayNot(KernelUnderTest kernel) {
        try (Rig rig = new Rig(kernel)) {
            long memory = ok(rig.sys.mmap(0, PAGE, Linux.PROT_READ, PRIVATE, -1, 0));
            fails(Errno.EFAULT, rig.tryPin(READ | WRITE, memory, 1));
            fails(Errno.EFAULT, rig.tryPin(WRITE, memory, 1));
            ok(rig.tryPin(READ, memory, 1));
            ok(rig.sys.munmap(memory, PAGE));
        }
    }

    @EveryKernel
    void whatTheProcessMayNotReadTheDeviceMayNot(KernelUnderTest kernel) {
        try (Rig rig = new Rig(kernel)) {
            long memory = ok(rig.sys.mmap(0, PAGE, Linux.PROT_NONE, PRIVATE, -1, 0));
            fails(Errno.EFAULT, rig.tryPin(READ, memory, 1));
            fails(Errno.EFAULT, rig.tryPin(WRITE, memory, 1));
            ok(rig.sys.munmap(memory, PAGE));
        }
    }

    @EveryKernel
    void addressesWithoutMemory(KernelUnderTest kernel) {
        try (Rig rig = new Rig(kernel)) {
            fails(Errno.EFAULT, rig.tryPin(READ, 0, 1));
            fails(Errno.EFAULT, rig.tryPin(READ, PAGE, 1));
            fails(Errno.EFAULT, rig.tryPin(READ, 0x7fff_ffff_f000L, 1));
            fails(Errno.EFAULT, rig.tryPin(READ, 0x0080_0000_0000_0000L, 1));
            fails(Errno.EFAULT, rig.tryPin(READ, 0xffff_8880_0000_0000L, 1));
            fails(Errno.EFAULT, rig.tryPin(READ, -2 * PAGE, 1));
        }
    }

    @EveryKernel
    void aRangeWithAHole(KernelUnderTest kernel) {
        try (Rig rig = new Rig(kernel)) {
            long memory = ok(rig.sys.mmap(0, 8 * PAGE, RW, PRIVATE, -1, 0));
            ok(rig.sys.munmap(memory + 5 * PAGE, PAGE));
            fails(Errno.EFAULT, rig.tryPin(READ, memory, 8));
            fails(Errno.EFAULT, rig.tryPin(READ, memory + 5 * PAGE, 1));
            ok(rig.tryPin(READ, memory, 5));
            ok(rig.tryPin(READ, memory + 6 * PAGE, 2));
            ok(rig.sys.munmap(memory, 8 * PAGE));
        }
    }

    @EveryKernel
    void aRangeOverSeveralMappings(KernelUnderTest kernel) {
        try (Rig rig = new Rig(kernel)) {
            long memory = ok(rig.sys.mmap(0, 8 * PAGE, RW, PRIVATE, -1, 0));
            int flags = Linux.MAP_SHARED | Linux.MAP_FIXED;
            assertEquals(memory + 2 * PAGE, rig.sys.mmap(memory + 2 * PAGE, PAGE, RW, flags, rig.memfd(1), 0));
            ok(rig.tryPin(READ | WRITE, memory, 8));
            ok(rig.sys.munmap(memory, 8 * PAGE));
        }
    }

    @EveryKernel
    void aFileUpToItsEnd(KernelUnderTest kernel) {
        try (Rig rig = new Rig(kernel)) {
            long memory = ok(rig.sys.mmap(0, 4 * PAGE, RW, Linux.MAP_SHARED, rig.memfd(2), 0));
            ok(rig.tryPin(READ | WRITE, memory, 2));
            fails(Errno.EFAULT, rig.tryPin(READ | WRITE, memory, 3));
            fails(Errno.EFAULT, rig.tryPin(READ, memory + 2 * PAGE, 1));
            ok(rig.sys.munmap(memory, 4 * PAGE));
        }
    }

    @EveryKernel
    void aReadOnlyMappingOfAFile(KernelUnderTest kernel) {
        try (Rig rig = new Rig(kernel)) {
            long memory = ok(rig.sys.mmap(0, 2 * PAGE, Linux.PROT_READ, Linux.MAP_SHARED, rig.memfd(2), 0));
            ok(rig.tryPin(READ, memory, 2));
            fails(Errno.EFAULT, rig.tryPin(READ | WRITE, memory, 2));
            ok(rig.sys.munmap(memory, 2 * PAGE));
        }
    }

    @EveryKernel
    void aPrivateMappingOfAFile(KernelUnderTest kernel) {
        try (Rig rig = new Rig(kernel)) {
            int file = rig.memfd(2);
            long memory = ok(rig.sys.mmap(0, 2 * PAGE, RW, Linux.MAP_PRIVATE, file, 0));
            ok(rig.tryPin(READ, memory, 2));
            ok(rig.tryPin(READ | WRITE, memory, 2));
            ok(rig.sys.munmap(memory, 2 * PAGE));
        }
    }

    @EveryKernel
    void registersCannotBePinned(KernelUnderTest kernel) {
        try (Rig rig = new Rig(kernel)) {
            long registers = ok(rig.sys.mmap(0, PAGE, RW, Linux.MAP_SHARED, rig.device, 0));
            fails(Errno.EFAULT, rig.tryPin(READ | WRITE, registers, 1));
            fails(Errno.EFAULT, rig.tryPin(READ, registers, 1));
            ok(rig.sys.munmap(registers, PAGE));
        }
    }

    private static int guestMemory(KernelUnderTest kernel, KvmMachine machine, long flags) {
        int gmem = machine.gmem(4 * PAGE, flags);
        kernel.needs("GUEST_MEMFD_FLAG_MMAP", gmem);
        return machine.own(gmem);
    }

    @EveryKernel
    void guestMemoryThatIsShared(KernelUnderTest kernel) {
        try (KvmMachine machine = new KvmMachine(kernel, KvmMachine.DEFAULT);
                Rig rig = new Rig(kernel)) {
            int gmem = guestMemory(kernel, machine, KvmMachine.FLAG_MMAP | KvmMachine.FLAG_INIT_SHARED);
            long memory = ok(rig.sys.mmap(0, 4 * PAGE, RW, Linux.MAP_SHARED, gmem, 0));
            ok(rig.tryPin(READ | WRITE, memory, 4));
            ok(rig.tryPin(READ, memory, 4));
            ok(rig.sys.munmap(memory, 4 * PAGE));
        }
    }

    @EveryKernel
    void guestMemoryThatIsPrivate(KernelUnderTest kernel) {
        try (KvmMachine machine = new KvmMachine(kernel, KvmMachine.DEFAULT);
                Rig rig = new Rig(kernel)) {
            int gmem = guestMemory(kernel, machine, KvmMachine.FLAG_MMAP);
            long memory = ok(rig.sys.mmap(0, 4 * PAGE, RW, Linux.MAP_SHARED, gmem, 0));
            fails(Errno.EFAULT, rig.tryPin(READ | WRITE, memory, 4));
            fails(Errno.EFAULT, rig.tryPin(READ, memory, 1));
            ok(rig.sys.munmap(memory, 4 * PAGE));
        }
    }

    @EveryKernel
    void theAlignmentOfADeviceGoesWithIt(KernelUnderTest kernel) {
        try (Rig rig = new Rig(kernel)) {
            long memory = rig.it.memory(1);
            fails(Errno.EINVAL, rig.it.map(rig.ioas, ALL, memory, 8, MIB));
            ok(rig.it.detach(rig.device));
            ok(rig.it.map(rig.ioas, ALL, memory, 8, MIB));
            fails(Errno.EADDRINUSE, rig.it.attach(rig.device, rig.ioas));
        }
    }
}
