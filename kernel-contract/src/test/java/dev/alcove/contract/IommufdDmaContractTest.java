// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract;

import dev.alcove.sys.Linux;
import dev.alcove.sys.Syscalls;
import dev.alcove.sys.UserMappings;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import org.junit.jupiter.api.Timeout;

import static dev.alcove.contract.Checks.ok;
import static dev.alcove.contract.IommufdClient.ALL;
import static dev.alcove.contract.IommufdClient.FIXED;
import static dev.alcove.contract.IommufdClient.READ;
import static org.junit.jupiter.api.Assertions.assertEquals;

/** What a device reads and writes through files, copies, cuts and replaced page tables; the device is QEMU's edu. */
@Timeout(120)
@Surface("VFIO iommufd")
final class IommufdDmaContractTest {
    private static final long PAGE = Linux.PAGE_SIZE;
    private static final long MIB = 1 << 20;

    /** Where words that the device has fetched are put down. */
    private static final long RESULT = 64 * MIB;

    private static final long CONFIG = 7L << 40;
    private static final long BUFFER = 0x40000;
    private static final int PRIVATE = Linux.MAP_PRIVATE | Linux.MAP_ANONYMOUS;
    private static final int RW = Linux.PROT_READ | Linux.PROT_WRITE;

    /** The device, attached to an address space. */
    private static final class Rig implements AutoCloseable {
        final Syscalls sys;
        final IommufdClient it;
        final int device;
        final long ioas;
        private final long result;

        Rig(KernelUnderTest kernel) {
            sys = kernel.sys();
            it = new IommufdClient(kernel);
            device = it.openDevice();
            ok(it.bind(device));
            ioas = ok(it.ioas());
            ok(it.vfioIoas(1, ioas));
            ok(sys.ioctl(it.fd, 0x3b66, 1));
            ok(it.attach(device, ioas));
            register(CONFIG + 4, 2, 6);
            result = it.memory(1);
            ok(it.map(ioas, ALL, result, PAGE, RESULT));
        }

        private void register(long offset, int size, long value) {
            MemorySegment bytes = it.struct(8);
            bytes.set(ValueLayout.JAVA_LONG, 0, value);
            ok(sys.pwrite(device, bytes.asSlice(0, size), offset));
        }

        private void transfer(long source, long destination, int command) {
            register(0x80, 8, source);
            register(0x88, 8, destination);
            register(0x90, 8, Long.BYTES);
            register(0x98, 8, command);
            MemorySegment status = it.struct(8);
            do {
                ok(sys.pread(device, status, 0x98));
            } while ((status.get(ValueLayout.JAVA_INT, 0) & 1) != 0);
        }

        /** What the device reads at an IOVA. */
        long fetch(long iova) {
            transfer(iova, BUFFER, 1);
            transfer(BUFFER, RESULT, 3);
            return get(result);
        }

        /** Lets the device write a word. */
        void store(long iova, long word) {
            set(result, word);
            transfer(RESULT, BUFFER, 1);
            transfer(BUFFER, iova, 3);
        }

        long get(long address) {
            return UserMappings.segment(address, 8).get(ValueLayout.JAVA_LONG, 0);
        }

        void set(long address, long word) {
            UserMappings.segment(address, 8).set(ValueLayout.JAVA_LONG, 0, word);
        }

        int memfd(long pages) {
            int file = Checks.fd(sys.memfdCreate("dma", Linux.MFD_CLOEXEC));
            ok(sys.ftruncate(file, pages * PAGE));
            return file;
        }

        long getFile(int file, long offset) {
            MemorySegment word = it.struct(8);
            ok(sys.pread(file, word, offset));
            return word.get(ValueLayout.JAVA_LONG, 0);
        }

        void setFile(int file, long offset, long value) {
            MemorySegment word = it.struct(8);
            word.set(ValueLayout.JAVA_LONG, 0, value);
            ok(sys.pwrite(file, word, offset));
        }

        @Override
        public void close() {
            it.close();
        }
    }

    @EveryKernel
    void reachesAFileThroughItsDescriptor(KernelUnderTest kernel) {
        try (Rig rig = new Rig(kernel)) {
            rig.it.needs(IommufdClient.MAP_FILE, "IOMMU_IOAS_MAP_FILE");
            int file = rig.memfd(4);
            rig.setFile(file, 2 * PAGE + 8, 0x1234);
            ok(rig.it.mapFile(rig.ioas, ALL, file, PAGE, 2 * PAGE, MIB));
            assertEquals(0x1234, rig.fetch(MIB + PAGE + 8));
            rig.store(MIB, 0x5678);
            assertEquals(0x5678, rig.getFile(file, PAGE));
            ok(rig.sys.close(file));
        }
    }

    @EveryKernel
    void keepsThePageThatAHoleTookFromTheFile(KernelUnderTest kernel) {
        try (Rig rig = new Rig(kernel)) {
            rig.it.needs(IommufdClient.MAP_FILE, "IOMMU_IOAS_MAP_FILE");
            int file = rig.memfd(1);
            rig.setFile(file, 0, 0x1234);
            ok(rig.it.mapFile(rig.ioas, ALL, file, 0, PAGE, MIB));
            int punch = Linux.FALLOC_FL_PUNCH_HOLE | Linux.FALLOC_FL_KEEP_SIZE;
            ok(rig.sys.fallocate(file, punch, 0, PAGE));
            rig.setFile(file, 0, 0x9999);
            assertEquals(0x1234, rig.fetch(MIB));
            rig.store(MIB, 0x5678);
            assertEquals(0x9999, rig.getFile(file, 0), "the file has another page now");
            ok(rig.sys.close(file));
        }
    }

    @EveryKernel
    void reachesWhatACutHasLeft(KernelUnderTest kernel) {
        try (Rig rig = new Rig(kernel)) {
            long memory = rig.it.memory(3);
            ok(rig.it.map(rig.ioas, ALL, memory, 3 * PAGE, MIB));
            assertEquals(PAGE, rig.it.type1Unmap(0, MIB + PAGE, PAGE));
            rig.set(memory, 1);
            rig.set(memory + PAGE, 2);
            rig.set(memory + 2 * PAGE, 3);
            assertEquals(1, rig.fetch(MIB));
            assertEquals(3, rig.fetch(MIB + 2 * PAGE));
            rig.store(MIB + PAGE, 0x5678);
            assertEquals(2, rig.get(memory + PAGE));
        }
    }

    /** An area of a file is cut as one of memory is, and what is left of it maps the same pages. */
    @EveryKernel
    void reachesWhatACutHasLeftOfAFile(KernelUnderTest kernel) {
        try (Rig rig = new Rig(kernel)) {
            rig.it.needs(IommufdClient.MAP_FILE, "IOMMU_IOAS_MAP_FILE");
            int file = rig.memfd(4);
            ok(rig.it.mapFile(rig.ioas, ALL, file, PAGE, 3 * PAGE, MIB));
            assertEquals(PAGE, rig.it.type1Unmap(0, MIB + PAGE, PAGE));
            rig.setFile(file, PAGE, 1);
            rig.setFile(file, 2 * PAGE, 2);
            rig.setFile(file, 3 * PAGE, 3);
            assertEquals(1, rig.fetch(MIB));
            assertEquals(3, rig.fetch(MIB + 2 * PAGE));
            rig.store(MIB + PAGE, 0x5678);
            assertEquals(2, rig.getFile(file, 2 * PAGE));
            ok(rig.it.mapFile(rig.ioas, ALL, file, 2 * PAGE, PAGE, MIB + PAGE));
            assertEquals(2, rig.fetch(MIB + PAGE));
            assertEquals(3 * PAGE, rig.it.type1Unmap(0, MIB, 3 * PAGE));
            ok(rig.sys.close(file));
        }
    }

    @EveryKernel
    void reachesTheSamePageThroughACopy(KernelUnderTest kernel) {
        try (Rig rig = new Rig(kernel)) {
            long memory = rig.it.memory(4);
            ok(rig.it.map(rig.ioas, ALL, memory, 4 * PAGE, MIB));
            ok(rig.it.copy(ALL, rig.ioas, MIB + 2 * PAGE, rig.ioas, 2 * MIB, PAGE));
            rig.store(2 * MIB, 0x5678);
            assertEquals(0x5678, rig.get(memory + 2 * PAGE));
            ok(rig.it.unmap(rig.ioas, MIB, 4 * PAGE));
            rig.set(memory + 2 * PAGE, 0x1234);
            assertEquals(0x1234, rig.fetch(2 * MIB), "the original is gone");
        }
    }

    @EveryKernel
    void doesNotWriteThroughACopyThatIsReadOnly(KernelUnderTest kernel) {
        try (Rig rig = new Rig(kernel)) {
            long memory = rig.it.memory(1);
            ok(rig.it.map(rig.ioas, ALL, memory, PAGE, MIB));
            ok(rig.it.copy(FIXED | READ, rig.ioas, MIB, rig.ioas, 2 * MIB, PAGE));
            rig.set(memory, 0x1234);
            rig.store(2 * MIB, 0x5678);
            assertEquals(0x1234, rig.get(memory));
            assertEquals(0x1234, rig.fetch(2 * MIB));
        }
    }

    @EveryKernel
    void seesWhatIsWrittenAfterAReadOnlyMap(KernelUnderTest kernel) {
        try (Rig rig = new Rig(kernel)) {
            long memory = ok(rig.sys.mmap(0, PAGE, RW, PRIVATE, -1, 0));
            ok(rig.it.map(rig.ioas, FIXED | READ, memory, PAGE, MIB));
            rig.set(memory, 0x1234);
            assertEquals(0x1234, rig.fetch(MIB), "the page of zeroes is not what was pinned");
            ok(rig.sys.munmap(memory, PAGE));
        }
    }

    @EveryKernel
    void changesSidesWithItsPageTable(KernelUnderTest kernel) {
        try (Rig rig = new Rig(kernel)) {
            long other = ok(rig.it.ioas());
            long here = rig.it.memory(1);
            long there = rig.it.memory(1);
            ok(rig.it.map(rig.ioas, ALL, here, PAGE, MIB));
            ok(rig.it.map(other, ALL, there, PAGE, MIB));
            ok(rig.it.copy(ALL, rig.ioas, RESULT, other, RESULT, PAGE));
            rig.store(MIB, 1);
            ok(rig.it.attach(rig.device, other));
            rig.store(MIB, 2);
            ok(rig.it.attach(rig.device, rig.ioas));
            assertEquals(1, rig.get(here));
            assertEquals(2, rig.get(there));
            assertEquals(1, rig.fetch(MIB));
        }
    }

    @EveryKernel
    void reachesWhatItReachedOnceItIsAttachedAgain(KernelUnderTest kernel) {
        try (Rig rig = new Rig(kernel)) {
            long memory = rig.it.memory(1);
            ok(rig.it.map(rig.ioas, ALL, memory, PAGE, MIB));
            ok(rig.it.detach(rig.device));
            rig.set(memory, 0x1234);
            ok(rig.it.attach(rig.device, rig.ioas));
            assertEquals(0x1234, rig.fetch(MIB));
        }
    }

    @EveryKernel
    void reachesWhatIsMappedLater(KernelUnderTest kernel) {
        try (Rig rig = new Rig(kernel)) {
            long first = rig.it.memory(1);
            long second = rig.it.memory(1);
            rig.set(first, 1);
            rig.set(second, 2);
            ok(rig.it.map(rig.ioas, ALL, first, PAGE, MIB));
            assertEquals(1, rig.fetch(MIB));
            ok(rig.it.unmap(rig.ioas, MIB, PAGE));
            ok(rig.it.map(rig.ioas, ALL, second, PAGE, MIB));
            assertEquals(2, rig.fetch(MIB), "nothing old is remembered");
        }
    }

    @EveryKernel
    void reachesAnyPageOfALargeArea(KernelUnderTest kernel) {
        try (Rig rig = new Rig(kernel)) {
            long pages = 8 * MIB / PAGE;
            long memory = rig.it.memory(pages);
            ok(rig.it.map(rig.ioas, ALL, memory, pages * PAGE, 2 * MIB));
            for (long page : new long[] {0, 1, 511, 512, 513, pages - 1}) {
                rig.set(memory + page * PAGE + 0x800, page + 7);
                assertEquals(page + 7, rig.fetch(2 * MIB + page * PAGE + 0x800));
            }
        }
    }
}
