// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract;

import dev.alcove.sys.Errno;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Random;
import org.junit.jupiter.api.Timeout;

import static dev.alcove.contract.Checks.fails;
import static dev.alcove.contract.Checks.ok;
import static org.junit.jupiter.api.Assertions.assertEquals;

/** A device's DMA through an IOAS: what is mapped is reached, what is not mapped is not. */
@Surface("VFIO iommufd")
@Timeout(120)
final class VfioDmaContractTest {
    private static final long PAGE = 4096;
    private static final long IOVA = 0x100000;

    /** Bytes of a transfer: QEMU aborts at one that touches the last byte of the device's buffer. */
    private static final long PART = 2048;

    private static MemorySegment random(EduUnderTest edu, long bytes, long seed) {
        MemorySegment memory = edu.memory(bytes);
        Random random = new Random(seed);
        for (long at = 0; at < bytes; at += 8) {
            memory.set(ValueLayout.JAVA_LONG, at, random.nextLong());
        }
        return memory;
    }

    @EveryKernel
    void reachesWhatIsMapped(KernelUnderTest kernel) {
        try (EduUnderTest edu = new EduUnderTest(kernel)) {
            int ioas = edu.attached();
            edu.enable();
            MemorySegment memory = random(edu, 4 * PAGE, 1);
            ok(edu.map(ioas, memory.address(), 4 * PAGE, IOVA, true));
            edu.transfer(IOVA + 0x800, EduUnderTest.BUFFER, PART, false);
            edu.transfer(EduUnderTest.BUFFER, IOVA + 2 * PAGE, PART, true);
            assertEquals(-1, memory.asSlice(0x800, PART).mismatch(memory.asSlice(2 * PAGE, PART)));
        }
    }

    @EveryKernel
    void doesNotReachWhatIsNotMapped(KernelUnderTest kernel) {
        try (EduUnderTest edu = new EduUnderTest(kernel)) {
            int ioas = edu.attached();
            edu.enable();
            MemorySegment memory = random(edu, 2 * PAGE, 2);
            ok(edu.map(ioas, memory.address(), PAGE, IOVA, true));
            ok(edu.map(ioas, memory.address() + PAGE, PAGE, IOVA + PAGE, true));
            edu.transfer(IOVA, EduUnderTest.BUFFER, PART, false);
            ok(edu.unmap(ioas, IOVA + PAGE, PAGE));
            byte[] before = memory.asSlice(PAGE, PAGE).toArray(ValueLayout.JAVA_BYTE);
            edu.transfer(EduUnderTest.BUFFER, IOVA + PAGE, PART, true);
            assertEquals(-1, memory.asSlice(PAGE, PAGE).mismatch(MemorySegment.ofArray(before)));
        }
    }

    @EveryKernel
    void doesNotWriteWhatIsReadOnly(KernelUnderTest kernel) {
        try (EduUnderTest edu = new EduUnderTest(kernel)) {
            int ioas = edu.attached();
            edu.enable();
            MemorySegment memory = random(edu, PAGE, 3);
            ok(edu.map(ioas, memory.address(), PAGE, IOVA, false));
            byte[] before = memory.toArray(ValueLayout.JAVA_BYTE);
            edu.transfer(EduUnderTest.BUFFER, IOVA, PART, true);
            assertEquals(-1, memory.mismatch(MemorySegment.ofArray(before)));
        }
    }

    @EveryKernel
    void keepsPagesThatTheUserHasUnmapped(KernelUnderTest kernel) {
        try (EduUnderTest edu = new EduUnderTest(kernel)) {
            int ioas = edu.attached();
            edu.enable();
            MemorySegment source = random(edu, PAGE, 4);
            byte[] content = source.toArray(ValueLayout.JAVA_BYTE);
            ok(edu.map(ioas, source.address(), PAGE, IOVA, true));
            ok(edu.sys.munmap(source.address(), PAGE));
            MemorySegment target = edu.memory(PAGE);
            ok(edu.map(ioas, target.address(), PAGE, IOVA + PAGE, true));
            edu.transfer(IOVA, EduUnderTest.BUFFER, PART, false);
            edu.transfer(EduUnderTest.BUFFER, IOVA + PAGE, PART, true);
            assertEquals(-1, target.asSlice(0, PART).mismatch(MemorySegment.ofArray(content).asSlice(0, PART)), "a pinned page outlives its mapping");
        }
    }

    @EveryKernel
    void aDetachedDeviceReachesNothing(KernelUnderTest kernel) {
        try (EduUnderTest edu = new EduUnderTest(kernel)) {
            int ioas = edu.attached();
            edu.enable();
            MemorySegment memory = random(edu, PAGE, 5);
            ok(edu.map(ioas, memory.address(), PAGE, IOVA, true));
            byte[] before = memory.toArray(ValueLayout.JAVA_BYTE);
            ok(edu.ioctl(EduUnderTest.DETACH, 8, 0));
            edu.transfer(EduUnderTest.BUFFER, IOVA, PART, true);
            assertEquals(-1, memory.mismatch(MemorySegment.ofArray(before)));
        }
    }

    @EveryKernel
    void whatIsRefusedReadsAsZeros(KernelUnderTest kernel) {
        try (EduUnderTest edu = new EduUnderTest(kernel)) {
            int ioas = edu.attached();
            edu.enable();
            MemorySegment memory = random(edu, PAGE, 6);
            ok(edu.map(ioas, memory.address(), PAGE, IOVA, true));
            edu.transfer(IOVA + PAGE, EduUnderTest.BUFFER, PART, false);
            edu.transfer(EduUnderTest.BUFFER, IOVA, PART, true);
            assertEquals(-1, memory.asSlice(0, PART).mismatch(MemorySegment.ofArray(new byte[(int) PART])));
        }
    }

    @EveryKernel
    void aDeviceThatIsNoMasterReachesNothing(KernelUnderTest kernel) {
        try (EduUnderTest edu = new EduUnderTest(kernel)) {
            int ioas = edu.attached();
            ok(edu.write(EduUnderTest.CONFIG + EduUnderTest.COMMAND, 2, 2));
            MemorySegment memory = random(edu, PAGE, 7);
            byte[] before = memory.toArray(ValueLayout.JAVA_BYTE);
            ok(edu.map(ioas, memory.address(), PAGE, IOVA, true));
            edu.transfer(EduUnderTest.BUFFER, IOVA, PART, true);
            assertEquals(-1, memory.mismatch(MemorySegment.ofArray(before)));
        }
    }

    @EveryKernel
    void theMessageWindowCannotBeMapped(KernelUnderTest kernel) {
        try (EduUnderTest edu = new EduUnderTest(kernel)) {
            int ioas = edu.attached();
            MemorySegment memory = edu.memory(PAGE);
            fails(Errno.EINVAL, edu.map(ioas, memory.address(), PAGE, 0xfee00000L, true));
        }
    }
}
