// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Random;
import org.junit.jupiter.api.Timeout;

import static dev.alcove.contract.NvmeUnderTest.*;
import static org.junit.jupiter.api.Assertions.assertEquals;

/** Commands on the blocks of an NVMe namespace, and how PRP entries describe their data. */
@Surface("NVMe")
@Timeout(60)
final class NvmeIoContractTest {
    private static final long SEED = 20_26_11;
    private static final int BLOCK = 512;
    private static final int BLOCKS = 64 << 11;
    private static final int FLUSH = 0;
    private static final int COMPARE = 5;
    private static final int WRITE_ZEROES = 8;
    private static final int DATASET = 9;
    private static final int INVALID_OPCODE = 0x4001;
    private static final int INVALID_FIELD = 0x4002;
    private static final int INVALID_NAMESPACE = 0x400b;
    private static final int INVALID_PRP_OFFSET = 0x4013;
    private static final int LBA_OUT_OF_RANGE = 0x4080;

    private static MemorySegment data(NvmeUnderTest nvme, long iova, long length) {
        return nvme.memory.asSlice(nvme.at(iova), length);
    }

    private static byte[] scribble(NvmeUnderTest nvme, long iova, int length) {
        byte[] bytes = new byte[length];
        new Random(SEED + iova).nextBytes(bytes);
        data(nvme, iova, length).copyFrom(MemorySegment.ofArray(bytes));
        return bytes;
    }

    private static void list(NvmeUnderTest nvme, long list, long... entries) {
        for (int i = 0; i < entries.length; i++) {
            nvme.memory.set(ValueLayout.JAVA_LONG_UNALIGNED, nvme.at(list) + 8L * i, entries[i]);
        }
    }

    @EveryKernel
    void whatIsWrittenIsRead(KernelUnderTest kernel) {
        try (NvmeUnderTest nvme = new NvmeUnderTest(kernel)) {
            nvme.startWithQueues();
            MemorySegment bytes = MemorySegment.ofArray(scribble(nvme, DATA, 4 * BLOCK));
            assertEquals(0, nvme.transfer(WRITE, 100, 4, DATA, 0));
            assertEquals(0, nvme.transfer(READ, 100, 4, DATA + 2 * PAGE, 0));
            assertEquals(-1, bytes.mismatch(data(nvme, DATA + 2 * PAGE, 4 * BLOCK)));
            assertEquals(0, nvme.transfer(READ, 102, 1, DATA + 3 * PAGE + 0x200, 0));
            assertEquals(-1, bytes.asSlice(2 * BLOCK, BLOCK).mismatch(data(nvme, DATA + 3 * PAGE + 0x200, BLOCK)));
            assertEquals(0, nvme.io(FLUSH, 1, 0, 0).status());
            assertEquals(0, nvme.io(FLUSH, -1, 0, 0).status());
        }
    }

    @EveryKernel
    void blocksOutliveAReset(KernelUnderTest kernel) {
        try (NvmeUnderTest nvme = new NvmeUnderTest(kernel)) {
            nvme.startWithQueues();
            MemorySegment bytes = MemorySegment.ofArray(scribble(nvme, DATA, BLOCK));
            assertEquals(0, nvme.transfer(WRITE, 7, 1, DATA, 0));
            nvme.startWithQueues();
            assertEquals(0, nvme.transfer(READ, 7, 1, DATA + PAGE, 0));
            assertEquals(-1, bytes.mismatch(data(nvme, DATA + PAGE, BLOCK)));
        }
    }

    @EveryKernel
    void twoPagesNeedNoList(KernelUnderTest kernel) {
        try (NvmeUnderTest nvme = new NvmeUnderTest(kernel)) {
            nvme.startWithQueues();
            MemorySegment bytes = MemorySegment.ofArray(scribble(nvme, DATA, (int) PAGE));
            assertEquals(0, nvme.transfer(WRITE, 8, 8, DATA, 0));
            assertEquals(0, nvme.transfer(READ, 8, 8, DATA + PAGE + 0xe00, DATA + 4 * PAGE));
            assertEquals(-1, bytes.asSlice(0, 0x200).mismatch(data(nvme, DATA + PAGE + 0xe00, 0x200)));
            assertEquals(-1, bytes.asSlice(0x200).mismatch(data(nvme, DATA + 4 * PAGE, PAGE - 0x200)));
            assertEquals(INVALID_PRP_OFFSET, nvme.transfer(READ, 8, 16, DATA, DATA + PAGE + 0x10));
        }
    }

    @EveryKernel
    void morePagesNeedAList(KernelUnderTest kernel) {
        try (NvmeUnderTest nvme = new NvmeUnderTest(kernel)) {
            nvme.startWithQueues();
            MemorySegment bytes = MemorySegment.ofArray(scribble(nvme, DATA, 4 * (int) PAGE));
            list(nvme, LIST + 0x40, DATA + PAGE, DATA + 2 * PAGE, DATA + 3 * PAGE);
            assertEquals(0, nvme.transfer(WRITE, 64, 32, DATA, LIST + 0x40));
            list(nvme, LIST, DATA + 8 * PAGE, DATA + 7 * PAGE, DATA + 6 * PAGE);
            assertEquals(0, nvme.transfer(READ, 64, 32, DATA + 9 * PAGE, LIST));
            for (int page = 0; page < 4; page++) {
                assertEquals(
                        -1, bytes.asSlice(page * PAGE, PAGE).mismatch(data(nvme, DATA + (9 - page) * PAGE, PAGE)));
            }
            list(nvme, LIST, DATA + 8 * PAGE, DATA + 7 * PAGE + 4, DATA + 6 * PAGE);
            assertEquals(INVALID_PRP_OFFSET, nvme.transfer(READ, 64, 32, DATA + 9 * PAGE, LIST));
        }
    }

    @EveryKernel
    void aListMayGoOnInAnotherPage(KernelUnderTest kernel) {
        try (NvmeUnderTest nvme = new NvmeUnderTest(kernel)) {
            nvme.startWithQueues();
            MemorySegment bytes = MemorySegment.ofArray(scribble(nvme, DATA, 5 * (int) PAGE));
            // Two entries are left in the first page: one of data, one that leads on.
            list(nvme, LIST + 0xff0, DATA + PAGE, LIST + PAGE);
            list(nvme, LIST + PAGE, DATA + 2 * PAGE, DATA + 3 * PAGE, DATA + 4 * PAGE);
            assertEquals(0, nvme.transfer(WRITE, 128, 40, DATA, LIST + 0xff0));
            list(nvme, LIST, DATA + 11 * PAGE, DATA + 12 * PAGE, DATA + 13 * PAGE, DATA + 14 * PAGE);
            assertEquals(0, nvme.transfer(READ, 128, 40, DATA + 10 * PAGE, LIST));
            assertEquals(-1, bytes.mismatch(data(nvme, DATA + 10 * PAGE, 5 * PAGE)));
            list(nvme, LIST + 0xff0, DATA + PAGE, LIST + PAGE + 8);
            assertEquals(INVALID_PRP_OFFSET, nvme.transfer(WRITE, 128, 40, DATA, LIST + 0xff0));
        }
    }

    @EveryKernel
    void theLargestTransfer(KernelUnderTest kernel) {
        try (NvmeUnderTest nvme = new NvmeUnderTest(kernel)) {
            nvme.startWithQueues();
            MemorySegment bytes = MemorySegment.ofArray(scribble(nvme, DATA, 128 * (int) PAGE));
            for (int i = 1; i < 128; i++) {
                list(nvme, LIST + 8L * (i - 1), DATA + i * PAGE);
            }
            assertEquals(0, nvme.transfer(WRITE, 4096, 1024, DATA, LIST));
            data(nvme, DATA, 128 * PAGE).fill((byte) 0);
            assertEquals(0, nvme.transfer(READ, 4096, 1024, DATA, LIST));
            assertEquals(-1, bytes.mismatch(data(nvme, DATA, 128 * PAGE)));
            assertEquals(INVALID_FIELD, nvme.transfer(READ, 4096, 1025, DATA, LIST));
        }
    }

    @EveryKernel
    void theNamespaceHasAnEnd(KernelUnderTest kernel) {
        try (NvmeUnderTest nvme = new NvmeUnderTest(kernel)) {
            nvme.startWithQueues();
            assertEquals(0, nvme.transfer(READ, BLOCKS - 1, 1, DATA, 0));
            assertEquals(LBA_OUT_OF_RANGE, nvme.transfer(READ, BLOCKS - 1, 2, DATA, 0));
            assertEquals(LBA_OUT_OF_RANGE, nvme.transfer(READ, BLOCKS, 1, DATA, 0));
            assertEquals(LBA_OUT_OF_RANGE, nvme.transfer(WRITE, 1L << 40, 1, DATA, 0));
            assertEquals(LBA_OUT_OF_RANGE, nvme.transfer(WRITE, -1, 1, DATA, 0));
            assertEquals(LBA_OUT_OF_RANGE, nvme.transfer(WRITE_ZEROES, BLOCKS - 8, 9, 0, 0));
            assertEquals(LBA_OUT_OF_RANGE, nvme.transfer(COMPARE, BLOCKS, 1, DATA, 0));
        }
    }

    @EveryKernel
    void commandsAndNamespacesThatThereAreNot(KernelUnderTest kernel) {
        try (NvmeUnderTest nvme = new NvmeUnderTest(kernel)) {
            nvme.startWithQueues();
            for (int opcode : new int[] {0x03, 0x0a, 0x55, 0xff}) {
                assertEquals(INVALID_OPCODE, nvme.transfer(opcode, 0, 1, DATA, 0), "opcode " + opcode);
            }
            assertEquals(INVALID_NAMESPACE, nvme.io(READ, 0, DATA, 0, 0, 0, 0).status());
            assertEquals(INVALID_NAMESPACE, nvme.io(READ, 257, DATA, 0, 0, 0, 0).status());
            assertEquals(INVALID_FIELD, nvme.io(READ, 2, DATA, 0, 0, 0, 0).status());
            assertEquals(INVALID_FIELD, nvme.io(READ, -1, DATA, 0, 0, 0, 0).status());
            assertEquals(INVALID_FIELD, nvme.io(FLUSH, 2, 0, 0).status());
            assertEquals(INVALID_NAMESPACE, nvme.io(FLUSH, 0, 0, 0).status());
        }
    }

    @EveryKernel
    void zeroesAreWritten(KernelUnderTest kernel) {
        try (NvmeUnderTest nvme = new NvmeUnderTest(kernel)) {
            nvme.startWithQueues();
            MemorySegment bytes = MemorySegment.ofArray(scribble(nvme, DATA, 8 * BLOCK));
            assertEquals(0, nvme.transfer(WRITE, 200, 8, DATA, 0));
            assertEquals(0, nvme.transfer(WRITE_ZEROES, 202, 3, 0, 0));
            assertEquals(0, nvme.transfer(READ, 200, 8, DATA + PAGE, 0));
            bytes.asSlice(2 * BLOCK, 3 * BLOCK).fill((byte) 0);
            assertEquals(-1, bytes.mismatch(data(nvme, DATA + PAGE, 8 * BLOCK)));
        }
    }

    @EveryKernel
    void blocksAreCompared(KernelUnderTest kernel) {
        try (NvmeUnderTest nvme = new NvmeUnderTest(kernel)) {
            nvme.startWithQueues();
            scribble(nvme, DATA, 2 * BLOCK);
            assertEquals(0, nvme.transfer(WRITE, 300, 2, DATA, 0));
            assertEquals(0, nvme.transfer(COMPARE, 300, 2, DATA, 0));
            nvme.memory.set(ValueLayout.JAVA_BYTE, nvme.at(DATA) + 700, (byte) ~nvme.memory.get(ValueLayout.JAVA_BYTE, nvme.at(DATA) + 700));
            assertEquals(0x285, nvme.transfer(COMPARE, 300, 2, DATA, 0) & 0x7ff);
            assertEquals(0, nvme.transfer(COMPARE, 300, 1, DATA, 0));
        }
    }

    @EveryKernel
    void rangesAreDeallocated(KernelUnderTest kernel) {
        try (NvmeUnderTest nvme = new NvmeUnderTest(kernel)) {
            nvme.startWithQueues();
            scribble(nvme, DATA, (int) PAGE);
            assertEquals(0, nvme.transfer(WRITE, 400, 8, DATA, 0));
            // Two ranges: context, length, first block.
            list(nvme, LIST, 8L << 32, 400, 8L << 32, BLOCKS + 8);
            assertEquals(0, nvme.io(DATASET, 1, LIST, 0, 1, 4).status());
            assertEquals(0, nvme.transfer(READ, 400, 8, DATA + PAGE, 0));
        }
    }
}
