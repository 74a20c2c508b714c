// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract;

import dev.alcove.sys.Errno;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import org.junit.jupiter.api.Timeout;

import static dev.alcove.contract.Checks.fails;
import static dev.alcove.contract.Checks.ok;
import static dev.alcove.contract.NvmeUnderTest.*;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;

/** What an NVMe controller does when the IOMMU blocks its accesses, and its interrupts. */
@Surface("NVMe")
@Timeout(60)
final class NvmeDmaContractTest {
    private static final int DATA_TRANSFER_ERROR = 0x4004;
    private static final int PIN = 0;
    private static final int MSIX = 2;

    private static MemorySegment data(NvmeUnderTest nvme, long iova, long length) {
        return nvme.memory.asSlice(nvme.at(iova), length);
    }

    @EveryKernel
    void aSubmissionQueueThatIsNotMappedIsFatal(KernelUnderTest kernel) {
        try (NvmeUnderTest nvme = new NvmeUnderTest(kernel)) {
            nvme.stop();
            nvme.write(ASQ, 8, HOLE);
            nvme.write(CC, 4, ENABLE);
            nvme.await("ready", () -> (nvme.read(CSTS, 4) & READY) != 0);
            nvme.write(DOORBELLS, 4, 1);
            nvme.await("fatal", () -> (nvme.read(CSTS, 4) & FATAL) != 0);
            assertEquals(ENABLE, nvme.read(CC, 4));
            nvme.start();
            assertEquals(0, nvme.admin(IDENTIFY, 0, ANSWER, 0, 1).status());
        }
    }

    @EveryKernel
    void aCompletionQueueThatIsNotMappedIsFatal(KernelUnderTest kernel) {
        try (NvmeUnderTest nvme = new NvmeUnderTest(kernel)) {
            nvme.start();
            assertEquals(0, nvme.createCompletionQueue(1, HOLE, ENTRIES, 3).status(), "nobody has looked yet");
            assertEquals(0, nvme.createSubmissionQueue(1, IOVA + 2 * PAGE, ENTRIES, 1 | 1 << 16).status());
            nvme.submit(1, 0, 1, 0, 0);
            nvme.await("fatal", () -> (nvme.read(CSTS, 4) & FATAL) != 0);
            nvme.startWithQueues();
            assertEquals(0, nvme.transfer(READ, 0, 1, DATA, 0));
        }
    }

    @EveryKernel
    void aCompletionQueueThatCannotBeWrittenIsFatal(KernelUnderTest kernel) {
        try (NvmeUnderTest nvme = new NvmeUnderTest(kernel)) {
            MemorySegment readOnly = nvme.memory(PAGE);
            ok(nvme.map(nvme.ioas, readOnly.address(), PAGE, HOLE, false));
            nvme.start();
            assertEquals(0, nvme.createCompletionQueue(1, HOLE, ENTRIES, 3).status());
            assertEquals(0, nvme.createSubmissionQueue(1, IOVA + 2 * PAGE, ENTRIES, 1 | 1 << 16).status());
            nvme.submit(1, 0, 1, 0, 0);
            nvme.await("fatal", () -> (nvme.read(CSTS, 4) & FATAL) != 0);
            assertEquals(0, readOnly.get(ValueLayout.JAVA_INT, 12));
        }
    }

    @EveryKernel
    void aListThatIsNotMappedIsAnError(KernelUnderTest kernel) {
        try (NvmeUnderTest nvme = new NvmeUnderTest(kernel)) {
            nvme.startWithQueues();
            data(nvme, DATA, 4 * PAGE).fill((byte) 0x5a);
            assertEquals(DATA_TRANSFER_ERROR, nvme.transfer(READ, 0, 32, DATA, HOLE));
            assertEquals(0x5a, data(nvme, DATA, 1).get(ValueLayout.JAVA_BYTE, 0), "nothing is moved");
            assertEquals(DATA_TRANSFER_ERROR, nvme.transfer(WRITE, 0, 32, DATA, HOLE));
            assertEquals(READY, nvme.read(CSTS, 4), "the controller goes on");
            assertEquals(0, nvme.transfer(READ, 0, 8, DATA, 0));
        }
    }

    @EveryKernel
    void aPageThatIsNotMappedGetsNothing(KernelUnderTest kernel) {
        try (NvmeUnderTest nvme = new NvmeUnderTest(kernel)) {
            nvme.startWithQueues();
            data(nvme, DATA, PAGE).fill((byte) 0x11);
            assertEquals(0, nvme.transfer(WRITE, 500, 8, DATA, 0));
            // QEMU's block layer does not say when the bus refuses; a controller that looks does.
            isError(nvme.transfer(READ, 500, 8, HOLE, 0));
            isError(nvme.transfer(READ, 500, 16, DATA + PAGE, HOLE));
            assertEquals(0x11, data(nvme, DATA + PAGE, 1).get(ValueLayout.JAVA_BYTE, 0), "what is mapped is written");
            assertEquals(READY, nvme.read(CSTS, 4));
            assertEquals(0, nvme.transfer(READ, 500, 8, DATA + 2 * PAGE, 0));
            assertEquals(-1, data(nvme, DATA, PAGE).mismatch(data(nvme, DATA + 2 * PAGE, PAGE)));
        }
    }

    private static void isError(int status) {
        assertEquals(0, status & ~DATA_TRANSFER_ERROR, "Data Transfer Error, or success");
    }

    @EveryKernel
    void aPageThatIsReadOnlyIsNotWritten(KernelUnderTest kernel) {
        try (NvmeUnderTest nvme = new NvmeUnderTest(kernel)) {
            MemorySegment readOnly = nvme.memory(PAGE);
            readOnly.fill((byte) 0x77);
            ok(nvme.map(nvme.ioas, readOnly.address(), PAGE, HOLE, false));
            nvme.startWithQueues();
            assertEquals(0, nvme.transfer(WRITE, 600, 8, HOLE, 0), "the device may read it");
            assertEquals(0, nvme.transfer(READ, 600, 8, DATA, 0));
            assertEquals(-1, readOnly.mismatch(data(nvme, DATA, PAGE)));
            data(nvme, DATA, PAGE).fill((byte) 0x33);
            assertEquals(0, nvme.transfer(WRITE, 608, 8, DATA, 0));
            isError(nvme.transfer(READ, 608, 8, HOLE, 0));
            assertEquals(0x77, readOnly.get(ValueLayout.JAVA_BYTE, 0));
            assertEquals(0x77, readOnly.get(ValueLayout.JAVA_BYTE, PAGE - 1));
        }
    }

    @EveryKernel
    void aPageThatWasUnmappedIsOutOfReach(KernelUnderTest kernel) {
        try (NvmeUnderTest nvme = new NvmeUnderTest(kernel)) {
            MemorySegment page = nvme.memory(PAGE);
            ok(nvme.map(nvme.ioas, page.address(), PAGE, HOLE, true));
            nvme.startWithQueues();
            data(nvme, DATA, PAGE).fill((byte) 0x44);
            assertEquals(0, nvme.transfer(WRITE, 700, 8, DATA, 0));
            assertEquals(0, nvme.transfer(READ, 700, 8, HOLE, 0));
            assertEquals(0x44, page.get(ValueLayout.JAVA_BYTE, 9));
            ok(nvme.unmap(nvme.ioas, HOLE, PAGE));
            page.fill((byte) 0);
            isError(nvme.transfer(READ, 700, 8, HOLE, 0));
            assertEquals(0, page.get(ValueLayout.JAVA_BYTE, 9), "though the device had its translation");
        }
    }

    @EveryKernel
    void aDeviceThatIsNoMasterIsFatal(KernelUnderTest kernel) {
        try (NvmeUnderTest nvme = new NvmeUnderTest(kernel)) {
            nvme.start();
            ok(nvme.write(VfioUnderTest.CONFIG + VfioUnderTest.COMMAND, 2, 2));
            nvme.submit(0, IDENTIFY, 0, ANSWER, 0, 1);
            nvme.await("fatal", () -> (nvme.read(CSTS, 4) & FATAL) != 0);
            nvme.enable();
            nvme.start();
            assertEquals(0, nvme.admin(IDENTIFY, 0, ANSWER, 0, 1).status());
        }
    }

    @EveryKernel
    void withoutAnIoasNothingIsMapped(KernelUnderTest kernel) {
        try (NvmeUnderTest nvme = new NvmeUnderTest(kernel)) {
            nvme.start();
            assertEquals(0, nvme.admin(IDENTIFY, 0, ANSWER, 0, 1).status());
            ok(nvme.ioctl(VfioUnderTest.DETACH, 8, 0));
            nvme.submit(0, IDENTIFY, 0, ANSWER, 0, 1);
            nvme.await("fatal", () -> (nvme.read(CSTS, 4) & FATAL) != 0);
            ok(nvme.ioctl(VfioUnderTest.ATTACH, 12, 0, nvme.ioas));
            nvme.start();
            assertEquals(0, nvme.admin(IDENTIFY, 0, ANSWER, 0, 1).status());
        }
    }

    @EveryKernel
    void eachQueueHasItsMessage(KernelUnderTest kernel) {
        try (NvmeUnderTest nvme = new NvmeUnderTest(kernel)) {
            int adminEvent = nvme.interrupt(MSIX, 0);
            int ioEvent = nvme.interrupt(MSIX, 7);
            nvme.start();
            assertEquals(0, nvme.admin(IDENTIFY, 0, ANSWER, 0, 1).status());
            nvme.awaitEvent(adminEvent);
            assertEquals(0, nvme.createCompletionQueue(1, IOVA + 3 * PAGE, ENTRIES, 3 | 7 << 16).status());
            nvme.awaitEvent(adminEvent);
            assertEquals(0, nvme.createSubmissionQueue(1, IOVA + 2 * PAGE, ENTRIES, 1 | 1 << 16).status());
            nvme.awaitEvent(adminEvent);
            fails(Errno.EAGAIN, count(nvme, ioEvent));
            assertEquals(0, nvme.transfer(READ, 0, 1, DATA, 0));
            nvme.awaitEvent(ioEvent);
            fails(Errno.EAGAIN, count(nvme, adminEvent));
            assertEquals(0x4108, nvme.createCompletionQueue(2, DATA, ENTRIES, 3 | 65 << 16).status());
            ok(nvme.sys.close(adminEvent));
            ok(nvme.sys.close(ioEvent));
        }
    }

    @EveryKernel
    void aQueueWithoutInterruptsIsQuiet(KernelUnderTest kernel) {
        try (NvmeUnderTest nvme = new NvmeUnderTest(kernel)) {
            int event = nvme.interrupt(MSIX, 7);
            nvme.start();
            assertEquals(0, nvme.createCompletionQueue(1, IOVA + 3 * PAGE, ENTRIES, 1 | 7 << 16).status());
            assertEquals(0, nvme.createSubmissionQueue(1, IOVA + 2 * PAGE, ENTRIES, 1 | 1 << 16).status());
            assertEquals(0, nvme.transfer(READ, 0, 1, DATA, 0));
            assertEquals(0, nvme.admin(IDENTIFY, 0, ANSWER, 0, 1).status());
            fails(Errno.EAGAIN, count(nvme, event));
            ok(nvme.sys.close(event));
        }
    }

    @EveryKernel
    void aMessageWithoutAnEventfdIsKept(KernelUnderTest kernel) {
        try (NvmeUnderTest nvme = new NvmeUnderTest(kernel)) {
            int other = nvme.interrupt(MSIX, 7);
            nvme.start();
            assertEquals(0, nvme.admin(IDENTIFY, 0, ANSWER, 0, 1).status());
            assertEquals(1, nvme.read(0x3000, 4), "the pending bit of vector 0");
            int event = nvme.interrupt(MSIX, 0);
            nvme.awaitEvent(event);
            assertEquals(0, nvme.read(0x3000, 4));
            ok(nvme.sys.close(event));
            ok(nvme.sys.close(other));
        }
    }

    @EveryKernel
    void thePinIsAssertedUntilTheHostHasTakenAll(KernelUnderTest kernel) {
        try (NvmeUnderTest nvme = new NvmeUnderTest(kernel)) {
            int event = nvme.interrupt(PIN, 0);
            nvme.start();
            nvme.submit(0, IDENTIFY, 0, ANSWER, 0, 1);
            nvme.awaitEvent(event);
            assertNotEquals(0, nvme.read(VfioUnderTest.CONFIG + 6, 2) & 8, "asserted");
            assertEquals(0, nvme.complete(0).status());
            assertEquals(0, nvme.read(VfioUnderTest.CONFIG + 6, 2) & 8, "all is taken");
            nvme.write(INTMS, 4, 1);
            assertEquals(0, nvme.admin(IDENTIFY, 0, ANSWER, 0, 1).status());
            nvme.submit(0, IDENTIFY, 0, ANSWER, 0, 1);
            nvme.await("completion", () -> nvme.completed(0));
            assertEquals(0, nvme.read(VfioUnderTest.CONFIG + 6, 2) & 8, "masked at the controller");
            fails(Errno.EAGAIN, count(nvme, event));
            ok(nvme.ioctl(VfioUnderTest.SET_IRQS, 20, 0x11, PIN, 0, 1));
            nvme.write(INTMC, 4, 1);
            nvme.awaitEvent(event);
            assertEquals(0, nvme.complete(0).status());
            ok(nvme.sys.close(event));
        }
    }

    @EveryKernel
    void messagesOutliveAReset(KernelUnderTest kernel) {
        try (NvmeUnderTest nvme = new NvmeUnderTest(kernel)) {
            int event = nvme.interrupt(MSIX, 0);
            nvme.start();
            assertEquals(0, nvme.admin(IDENTIFY, 0, ANSWER, 0, 1).status());
            nvme.awaitEvent(event);
            ok(nvme.ioctl(VfioUnderTest.RESET));
            nvme.enable();
            nvme.start();
            assertEquals(0, nvme.admin(IDENTIFY, 0, ANSWER, 0, 1).status());
            nvme.awaitEvent(event);
            ok(nvme.sys.close(event));
        }
    }

    private static long count(NvmeUnderTest nvme, int event) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment value = arena.allocate(8, 8);
            long answer = nvme.sys.read(event, value);
            return answer < 0 ? answer : value.get(ValueLayout.JAVA_LONG, 0);
        }
    }
}
