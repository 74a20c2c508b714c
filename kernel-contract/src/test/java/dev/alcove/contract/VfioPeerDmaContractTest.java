// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract;

import dev.alcove.sys.Linux;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import org.junit.jupiter.api.Timeout;

import static dev.alcove.contract.Checks.fd;
import static dev.alcove.contract.Checks.ok;
import static dev.alcove.contract.EduUnderTest.BUFFER;
import static org.junit.jupiter.api.Assertions.assertEquals;

/** DMA from one device to the registers of another, which VFIO gives as a dma-buf and iommufd maps. */
@Surface("dma-buf")
@Timeout(60)
final class VfioPeerDmaContractTest {
    private static final long PAGE = Linux.PAGE_SIZE;
    private static final long REGISTERS = 0x100000;
    private static final long MEMORY = 0x200000;
    private static final int DMA_BUF = 11;
    private static final int GET = 0x10000;
    private static final int PROBE = 0x40000;
    private static final int MAP_FILE = 0x3b8f;
    private static final int ALL_FIXED = 7;

    /** The edu device, which does the DMA, and the NVMe controller, in one iommufd. */
    private static final class Peers implements AutoCloseable {
        final EduUnderTest edu;
        final int nvme;
        final int ioas;
        final int buffer;
        final MemorySegment memory;

        Peers(KernelUnderTest kernel) {
            String path = NvmeUnderTest.find(kernel);
            needsDmaBufs(kernel);
            edu = new EduUnderTest(kernel);
            nvme = kernel.open(path);
            ioas = edu.attached();
            edu.enable();
            ok(edu.sys.ioctl(nvme, VfioUnderTest.BIND, edu.words(16, 0, edu.iommu, 0)));
            command(6);
            memory = edu.memory(PAGE);
            ok(edu.map(ioas, memory.address(), PAGE, MEMORY, true));
            MemorySegment export = edu.words(40, GET | DMA_BUF, 0, Linux.O_RDWR | Linux.O_CLOEXEC, 0, 1, 0, 0, 0, 0);
            export.set(ValueLayout.JAVA_LONG, 32, PAGE);
            buffer = fd(edu.sys.ioctl(nvme, VfioUnderTest.FEATURE, export));
            MemorySegment map = edu.words(40, ALL_FIXED, ioas, buffer, 0, 0, 0, 0, 0, 0);
            map.set(ValueLayout.JAVA_LONG, 24, PAGE);
            map.set(ValueLayout.JAVA_LONG, 32, REGISTERS);
            ok(edu.sys.ioctl(edu.iommu, MAP_FILE, map));
        }

        /** Before anything is open that a test which is skipped would leave so: a device can be opened once. */
        private static void needsDmaBufs(KernelUnderTest kernel) {
            try (EduUnderTest probe = new EduUnderTest(kernel)) {
                probe.attached();
                kernel.needs("VFIO_DEVICE_FEATURE_DMA_BUF", probe.ioctl(VfioUnderTest.FEATURE, 8, PROBE | GET | DMA_BUF));
            }
        }

        void command(int value) {
            try (Arena arena = Arena.ofConfined()) {
                MemorySegment bytes = arena.allocateFrom(ValueLayout.JAVA_LONG, value);
                assertEquals(2, edu.sys.pwrite(nvme, bytes.asSlice(0, 2), VfioUnderTest.CONFIG + 4));
            }
        }

        int register(int offset) {
            try (Arena arena = Arena.ofConfined()) {
                MemorySegment bytes = arena.allocate(4, 4);
                assertEquals(4, edu.sys.pread(nvme, bytes, offset));
                return bytes.get(ValueLayout.JAVA_INT, 0);
            }
        }

        /** What edu reads at an IOVA, four bytes. */
        int readByEdu(long iova) {
            memory.set(ValueLayout.JAVA_INT, 0, 0x5a5a5a5a);
            edu.transfer(iova, BUFFER, 4, false);
            edu.transfer(BUFFER, MEMORY, 4, true);
            return memory.get(ValueLayout.JAVA_INT, 0);
        }

        void writeByEdu(long iova, int value) {
            memory.set(ValueLayout.JAVA_INT, 0, value);
            edu.transfer(MEMORY, BUFFER, 4, false);
            edu.transfer(BUFFER, iova, 4, true);
        }

        @Override
        public void close() {
            edu.sys.close(buffer);
            edu.sys.close(nvme);
            edu.close();
        }
    }

    @EveryKernel
    void aDeviceReadsAndWritesAnother(KernelUnderTest kernel) {
        try (Peers peers = new Peers(kernel)) {
            assertEquals(0x10400, peers.readByEdu(REGISTERS + NvmeUnderTest.VS));
            peers.writeByEdu(REGISTERS + NvmeUnderTest.INTMS, 0x35);
            assertEquals(0x35, peers.register(NvmeUnderTest.INTMS));
            assertEquals(0x35, peers.readByEdu(REGISTERS + NvmeUnderTest.INTMC));
        }
    }

    @EveryKernel
    void registersThatAreTakenBackAreOutOfReach(KernelUnderTest kernel) {
        try (Peers peers = new Peers(kernel)) {
            assertEquals(0x10400, peers.readByEdu(REGISTERS + NvmeUnderTest.VS));
            peers.command(0);
            assertEquals(0, peers.readByEdu(REGISTERS + NvmeUnderTest.VS), "the IOMMU has no translation any more");
            peers.command(6);
            assertEquals(0, peers.readByEdu(REGISTERS + NvmeUnderTest.VS), "and does not get it back by itself");
        }
    }

    @EveryKernel
    void aResetTakesRegistersBack(KernelUnderTest kernel) {
        try (Peers peers = new Peers(kernel)) {
            assertEquals(0x10400, peers.readByEdu(REGISTERS + NvmeUnderTest.VS));
            ok(peers.edu.sys.ioctl(peers.nvme, VfioUnderTest.RESET, 0L));
            assertEquals(0, peers.readByEdu(REGISTERS + NvmeUnderTest.VS));
        }
    }
}
