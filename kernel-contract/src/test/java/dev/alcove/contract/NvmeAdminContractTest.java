// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract;

import dev.alcove.contract.NvmeUnderTest.Completion;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;
import org.junit.jupiter.api.Timeout;

import static dev.alcove.contract.NvmeUnderTest.*;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;

/** Admin commands of an NVMe controller, and the status codes of those that are wrong. */
@Surface("NVMe")
@Timeout(60)
final class NvmeAdminContractTest {
    private static final int INVALID_OPCODE = 0x4001;
    private static final int INVALID_FIELD = 0x4002;
    private static final int INVALID_NAMESPACE = 0x400b;
    private static final int INVALID_PRP_OFFSET = 0x4013;
    private static final int INVALID_COMPLETION_QUEUE = 0x4100;
    private static final int INVALID_QUEUE = 0x4101;
    private static final int INVALID_QUEUE_SIZE = 0x4102;
    private static final int ABORT = 8;
    private static final int AWAIT_EVENT = 12;
    private static final int GET_LOG_PAGE = 2;
    private static final int ALL = -1;

    private static int answer(NvmeUnderTest nvme, long offset) {
        return nvme.memory.get(ValueLayout.JAVA_INT_UNALIGNED, nvme.at(ANSWER) + offset);
    }

    private static int octet(NvmeUnderTest nvme, long offset) {
        return nvme.memory.get(ValueLayout.JAVA_BYTE, nvme.at(ANSWER) + offset) & 0xff;
    }

    @EveryKernel
    void identifiesTheController(KernelUnderTest kernel) {
        try (NvmeUnderTest nvme = new NvmeUnderTest(kernel)) {
            nvme.start();
            Completion completion = nvme.admin(IDENTIFY, 0, ANSWER, 0, 1);
            assertEquals(0, completion.status());
            assertEquals(0, completion.result());
            assertEquals(1, completion.head());
            assertEquals(0, completion.queue());
            assertEquals(0x1af41b36, answer(nvme, 0));
            byte[] serial = nvme.memory.asSlice(nvme.at(ANSWER) + 4, 20).toArray(ValueLayout.JAVA_BYTE);
            assertEquals("alcove              ", new String(serial, StandardCharsets.US_ASCII));
            assertEquals(7, octet(nvme, 77), "512 KiB at a time");
            assertEquals(0x10400, answer(nvme, 80));
            assertEquals(1, octet(nvme, 111), "a controller for I/O");
            assertEquals(3, octet(nvme, 258));
            assertEquals(3, octet(nvme, 259));
            assertEquals(0x66, octet(nvme, 512));
            assertEquals(0x44, octet(nvme, 513));
            assertEquals(256, answer(nvme, 516));
            assertEquals(0xd, octet(nvme, 520) & 0xd, "Compare, Dataset Management, Write Zeroes");
            assertEquals(7, octet(nvme, 525));
        }
    }

    @EveryKernel
    void identifiesTheNamespace(KernelUnderTest kernel) {
        try (NvmeUnderTest nvme = new NvmeUnderTest(kernel)) {
            nvme.start();
            assertEquals(0, nvme.admin(IDENTIFY, 1, ANSWER, 0, 0).status());
            assertEquals(64 << 11, answer(nvme, 0));
            assertEquals(64 << 11, answer(nvme, 8));
            assertEquals(0, octet(nvme, 26), "the first format");
            assertEquals(9 << 16, answer(nvme, 128));
            assertEquals(0, nvme.admin(IDENTIFY, 2, ANSWER, 0, 0).status());
            assertEquals(0, answer(nvme, 0), "no such namespace: zeros");
            assertEquals(INVALID_NAMESPACE, nvme.admin(IDENTIFY, 0, ANSWER, 0, 0).status());
            assertEquals(INVALID_NAMESPACE, nvme.admin(IDENTIFY, 257, ANSWER, 0, 0).status());
            assertEquals(INVALID_NAMESPACE, nvme.admin(IDENTIFY, ALL, ANSWER, 0, 0).status());
        }
    }

    @EveryKernel
    void listsTheNamespaces(KernelUnderTest kernel) {
        try (NvmeUnderTest nvme = new NvmeUnderTest(kernel)) {
            nvme.start();
            assertEquals(0, nvme.admin(IDENTIFY, 0, ANSWER, 0, 2).status());
            assertEquals(1, answer(nvme, 0));
            assertEquals(0, answer(nvme, 4));
            assertEquals(0, nvme.admin(IDENTIFY, 1, ANSWER, 0, 2).status());
            assertEquals(0, answer(nvme, 0));
            assertEquals(INVALID_NAMESPACE, nvme.admin(IDENTIFY, -2, ANSWER, 0, 2).status());
            assertEquals(0, nvme.admin(IDENTIFY, 1, ANSWER, 0, 3).status());
            assertEquals(INVALID_FIELD, nvme.admin(IDENTIFY, 2, ANSWER, 0, 3).status());
            assertEquals(INVALID_FIELD, nvme.admin(IDENTIFY, 1, ANSWER, 0, 0x77).status());
        }
    }

    @EveryKernel
    void anAnswerMayCrossPages(KernelUnderTest kernel) {
        try (NvmeUnderTest nvme = new NvmeUnderTest(kernel)) {
            nvme.start();
            assertEquals(0, nvme.admin(IDENTIFY, 0, DATA + 0x800, DATA + 4 * PAGE, 1).status());
            assertEquals(0x1af41b36, nvme.memory.get(ValueLayout.JAVA_INT, nvme.at(DATA) + 0x800));
            assertEquals(
                    "nqn.", new String(nvme.memory.asSlice(nvme.at(DATA) + 0x800 + 768, 4).toArray(ValueLayout.JAVA_BYTE),
                            StandardCharsets.US_ASCII));
            assertEquals(0x9c4, nvme.memory.get(ValueLayout.JAVA_SHORT, nvme.at(DATA + 4 * PAGE)));
            assertEquals(INVALID_PRP_OFFSET, nvme.admin(IDENTIFY, 0, DATA + 0x800, DATA + 4 * PAGE + 8, 1).status());
        }
    }

    @EveryKernel
    void commandsThatThereAreNot(KernelUnderTest kernel) {
        try (NvmeUnderTest nvme = new NvmeUnderTest(kernel)) {
            nvme.start();
            for (int opcode : new int[] {0x03, 0x07, 0x0b, 0x7f, 0xc0, 0xff}) {
                assertEquals(INVALID_OPCODE, nvme.admin(opcode, 0, 0, 0).status(), "opcode " + opcode);
            }
            assertEquals(INVALID_FIELD, nvme.admin(IDENTIFY | 0x4000, 0, ANSWER, 0, 1).status(), "an SGL");
        }
    }

    @EveryKernel
    void thereAreAsManyQueuesAsThereAre(KernelUnderTest kernel) {
        try (NvmeUnderTest nvme = new NvmeUnderTest(kernel)) {
            nvme.start();
            Completion set = nvme.admin(SET_FEATURES, 0, 0, 0, 7, 0x0003_0003);
            assertEquals(0, set.status());
            assertEquals(0x003f_003f, set.result());
            assertEquals(0x003f_003f, nvme.admin(GET_FEATURES, 0, 0, 0, 7).result());
            assertEquals(INVALID_FIELD, nvme.admin(SET_FEATURES, 0, 0, 0, 7, 0xffff).status());
            assertEquals(0, nvme.createCompletionQueue(1, IOVA + 3 * PAGE, ENTRIES, 3).status());
            assertEquals(0x400c, nvme.admin(SET_FEATURES, 0, 0, 0, 7, 3).status(), "too late");
        }
    }

    @EveryKernel
    void features(KernelUnderTest kernel) {
        try (NvmeUnderTest nvme = new NvmeUnderTest(kernel)) {
            nvme.start();
            assertEquals(INVALID_FIELD, nvme.admin(GET_FEATURES, 0, 0, 0, 0).status());
            assertEquals(INVALID_FIELD, nvme.admin(GET_FEATURES, 0, 0, 0, 0x7f).status());
            assertEquals(INVALID_FIELD, nvme.admin(SET_FEATURES, 0, 0, 0, 0x7f).status());
            assertEquals(0x410d, nvme.admin(SET_FEATURES, 0, 0, 0, 6 | 1 << 31, 1).status(), "cannot be saved");
            assertEquals(0x410e, nvme.admin(SET_FEATURES, 0, 0, 0, 1, 1).status(), "cannot be changed");
            assertEquals(0x410f, nvme.admin(SET_FEATURES, 1, 0, 0, 6, 1).status(), "is not a namespace's");
            assertEquals(7, nvme.admin(GET_FEATURES, 0, 0, 0, 1).result(), "arbitration");
            assertEquals(1, nvme.admin(GET_FEATURES, 0, 0, 0, 6).result(), "the cache is on");
            assertEquals(0, nvme.admin(SET_FEATURES, 0, 0, 0, 6, 0).status());
            assertEquals(0, nvme.admin(GET_FEATURES, 0, 0, 0, 6).result());
            assertEquals(0, nvme.admin(SET_FEATURES, 0, 0, 0, 6, 1).status());
            assertEquals(0x10000, nvme.admin(GET_FEATURES, 0, 0, 0, 9, 0).result());
            assertEquals(5, nvme.admin(GET_FEATURES, 0, 0, 0, 9, 5).result());
            assertEquals(INVALID_FIELD, nvme.admin(GET_FEATURES, 0, 0, 0, 9, 65).status());
            assertEquals(0x157, nvme.admin(GET_FEATURES, 0, 0, 0, 4).result(), "of too high a temperature");
            assertEquals(4, nvme.admin(GET_FEATURES, 0, 0, 0, 4 | 3 << 8).result(), "can be changed");
            assertEquals(INVALID_NAMESPACE, nvme.admin(GET_FEATURES, 0, 0, 0, 5).status());
            assertEquals(0, nvme.admin(GET_FEATURES, 1, 0, 0, 5).status());
        }
    }

    @EveryKernel
    void completionQueuesThatAreWrong(KernelUnderTest kernel) {
        try (NvmeUnderTest nvme = new NvmeUnderTest(kernel)) {
            nvme.start();
            long address = IOVA + 3 * PAGE;
            assertEquals(INVALID_QUEUE, nvme.createCompletionQueue(0, address, ENTRIES, 3).status());
            assertEquals(INVALID_QUEUE, nvme.createCompletionQueue(65, address, ENTRIES, 3).status());
            assertEquals(INVALID_QUEUE_SIZE, nvme.createCompletionQueue(1, address, 1, 3).status());
            assertEquals(INVALID_QUEUE_SIZE, nvme.createCompletionQueue(1, address, 2049, 3).status());
            assertEquals(INVALID_PRP_OFFSET, nvme.createCompletionQueue(1, address + 16, ENTRIES, 3).status());
            assertEquals(INVALID_FIELD, nvme.createCompletionQueue(1, address, ENTRIES, 2).status());
            assertEquals(0x4108, nvme.createCompletionQueue(1, address, ENTRIES, 3 | 1 << 16).status(), "a vector of none");
            assertEquals(0, nvme.createCompletionQueue(1, address, ENTRIES, 3).status());
            assertEquals(INVALID_QUEUE, nvme.createCompletionQueue(1, address, ENTRIES, 3).status());
            assertEquals(INVALID_COMPLETION_QUEUE, nvme.admin(DELETE_CQ, 0, 0, 0, 2).status());
            assertEquals(INVALID_COMPLETION_QUEUE, nvme.admin(DELETE_CQ, 0, 0, 0, 0).status());
            assertEquals(0, nvme.admin(DELETE_CQ, 0, 0, 0, 1).status());
            assertEquals(INVALID_COMPLETION_QUEUE, nvme.admin(DELETE_CQ, 0, 0, 0, 1).status());
        }
    }

    @EveryKernel
    void submissionQueuesThatAreWrong(KernelUnderTest kernel) {
        try (NvmeUnderTest nvme = new NvmeUnderTest(kernel)) {
            nvme.start();
            long address = IOVA + 2 * PAGE;
            assertEquals(INVALID_COMPLETION_QUEUE, nvme.createSubmissionQueue(1, address, ENTRIES, 1 | 1 << 16).status());
            assertEquals(0, nvme.createCompletionQueue(1, IOVA + 3 * PAGE, ENTRIES, 3).status());
            assertEquals(INVALID_COMPLETION_QUEUE, nvme.createSubmissionQueue(1, address, ENTRIES, 1).status());
            assertEquals(INVALID_QUEUE, nvme.createSubmissionQueue(0, address, ENTRIES, 1 | 1 << 16).status());
            assertEquals(INVALID_QUEUE, nvme.createSubmissionQueue(65, address, ENTRIES, 1 | 1 << 16).status());
            assertEquals(INVALID_QUEUE_SIZE, nvme.createSubmissionQueue(1, address, 1, 1 | 1 << 16).status());
            assertEquals(INVALID_QUEUE_SIZE, nvme.createSubmissionQueue(1, address, 2049, 1 | 1 << 16).status());
            assertEquals(INVALID_PRP_OFFSET, nvme.createSubmissionQueue(1, address + 64, ENTRIES, 1 | 1 << 16).status());
            assertEquals(INVALID_FIELD, nvme.createSubmissionQueue(1, address, ENTRIES, 1 << 16).status());
            assertEquals(0, nvme.createSubmissionQueue(1, address, ENTRIES, 1 | 1 << 16).status());
            assertEquals(0x10c, nvme.admin(DELETE_CQ, 0, 0, 0, 1).status(), "it is in use");
            assertEquals(INVALID_QUEUE, nvme.admin(DELETE_SQ, 0, 0, 0, 0).status());
            assertEquals(INVALID_QUEUE, nvme.admin(DELETE_SQ, 0, 0, 0, 2).status());
            assertEquals(0, nvme.admin(DELETE_SQ, 0, 0, 0, 1).status());
            assertEquals(0, nvme.admin(DELETE_CQ, 0, 0, 0, 1).status());
        }
    }

    @EveryKernel
    void moreCommandsThanTheQueuesHaveEntries(KernelUnderTest kernel) {
        try (NvmeUnderTest nvme = new NvmeUnderTest(kernel)) {
            nvme.start();
            for (int i = 0; i < 3 * ENTRIES; i++) {
                Completion completion = nvme.admin(IDENTIFY, 0, ANSWER, 0, 1);
                assertEquals(0, completion.status());
                assertEquals((i + 1) % ENTRIES, completion.head());
            }
        }
    }

    @EveryKernel
    void aFullCompletionQueueWaitsForTheHost(KernelUnderTest kernel) {
        try (NvmeUnderTest nvme = new NvmeUnderTest(kernel)) {
            nvme.stop();
            nvme.write(AQA, 4, ENTRIES - 1 | (ENTRIES - 1) << 16);
            nvme.startWithQueues();
            for (int i = 0; i < ENTRIES - 1; i++) {
                nvme.submit(1, 0, 1, 0, 0);
            }
            nvme.await("all but one of the entries", () -> entry(nvme, ENTRIES - 2) != 0);
            for (int i = 0; i < 4; i++) {
                nvme.submit(1, 0, 1, 0, 0);
            }
            assertEquals(0, nvme.admin(IDENTIFY, 0, ANSWER, 0, 1).status(), "other queues go on");
            assertEquals(0, entry(nvme, ENTRIES - 1), "a full queue has an entry that is free");
            for (int i = 0; i < ENTRIES + 3; i++) {
                assertEquals(0, nvme.complete(1).status());
            }
            assertFalse(nvme.completed(1));
        }
    }

    private static int entry(NvmeUnderTest nvme, int index) {
        return nvme.memory.get(ValueLayout.JAVA_INT, 3 * PAGE + index * 16L + 12);
    }

    @EveryKernel
    void eventsAreTold(KernelUnderTest kernel) {
        try (NvmeUnderTest nvme = new NvmeUnderTest(kernel)) {
            nvme.start();
            int waiting = nvme.submit(0, AWAIT_EVENT, 0, 0, 0);
            assertEquals(0, nvme.admin(IDENTIFY, 0, ANSWER, 0, 1).status(), "by now it waits");
            nvme.write(DOORBELLS + 8 * 5, 4, 1);
            Completion event = nvme.complete(0);
            assertEquals(waiting, event.command());
            assertEquals(0, event.status());
            assertEquals(0x010000, event.result(), "an error: a doorbell of no queue, log page 1");
            int second = nvme.submit(0, AWAIT_EVENT, 0, 0, 0);
            assertEquals(0, nvme.admin(IDENTIFY, 0, ANSWER, 0, 1).status());
            nvme.write(DOORBELLS, 4, 1000);
            assertEquals(0, nvme.admin(IDENTIFY, 0, ANSWER, 0, 1).status(), "no other before the log page is read");
            int log = nvme.submit(0, GET_LOG_PAGE, ALL, ANSWER, 0, 1 | 15 << 16);
            Completion one = nvme.complete(0);
            Completion other = nvme.complete(0);
            Completion value = one.command() == log ? other : one;
            assertEquals(second, value.command());
            assertEquals(0x010100, value.result(), "a value beyond the queue");
        }
    }

    @EveryKernel
    void aTemperatureIsAnEvent(KernelUnderTest kernel) {
        try (NvmeUnderTest nvme = new NvmeUnderTest(kernel)) {
            nvme.start();
            nvme.submit(0, AWAIT_EVENT, 0, 0, 0);
            assertEquals(0, nvme.admin(SET_FEATURES, 0, 0, 0, 4, 0x100).status());
            assertEquals(0, nvme.admin(SET_FEATURES, 0, 0, 0, 11, 2).status(), "temperatures are told");
            nvme.submit(0, SET_FEATURES, 0, 0, 0, 4, 0x100);
            int[] results = {nvme.complete(0).result(), nvme.complete(0).result()};
            assertEquals(0x020101, results[0] | results[1]);
            assertEquals(0, nvme.admin(GET_LOG_PAGE, ALL, ANSWER, 0, 2 | 127 << 16).status());
            assertEquals(2, octet(nvme, 0) & 2, "the warning");
            assertEquals(0, nvme.admin(SET_FEATURES, 0, 0, 0, 4, 0x157).status());
            assertEquals(0, nvme.admin(SET_FEATURES, 0, 0, 0, 11, 0).status());
        }
    }

    @EveryKernel
    void fourCommandsMayWaitForEvents(KernelUnderTest kernel) {
        try (NvmeUnderTest nvme = new NvmeUnderTest(kernel)) {
            nvme.start();
            int first = nvme.submit(0, AWAIT_EVENT, 0, 0, 0);
            for (int i = 1; i < 4; i++) {
                nvme.submit(0, AWAIT_EVENT, 0, 0, 0);
            }
            assertEquals(0x105, nvme.admin(AWAIT_EVENT, 0, 0, 0).status());
            int abort = nvme.submit(0, ABORT, 0, 0, 0, first << 16);
            Completion completion = nvme.complete(0);
            if (completion.command() != abort) {
                // Whether it aborts anything is the controller's affair; then it says so.
                assertEquals(first, completion.command());
                assertEquals(7, completion.status() & 0x7ff);
                completion = nvme.complete(0);
                assertEquals(0, completion.result());
            }
            assertEquals(abort, completion.command());
            assertEquals(0, completion.status());
            assertEquals(1, nvme.admin(ABORT, 0, 0, 0, 0x7777 << 16).result(), "no such command");
            assertEquals(INVALID_FIELD, nvme.admin(ABORT, 0, 0, 0, 9).status(), "no such queue");
        }
    }

    @EveryKernel
    void logPages(KernelUnderTest kernel) {
        try (NvmeUnderTest nvme = new NvmeUnderTest(kernel)) {
            nvme.start();
            MemorySegment page = nvme.memory.asSlice(nvme.at(ANSWER), PAGE);
            assertEquals(0, nvme.admin(GET_LOG_PAGE, ALL, ANSWER, 0, 2 | 127 << 16).status());
            assertEquals(0x143, page.get(ValueLayout.JAVA_SHORT_UNALIGNED, 1), "the temperature");
            assertEquals(INVALID_NAMESPACE, nvme.admin(GET_LOG_PAGE, 2, ANSWER, 0, 2 | 127 << 16).status());
            assertEquals(0, nvme.admin(GET_LOG_PAGE, ALL, ANSWER, 0, 3 | 127 << 16).status());
            assertEquals(1, page.get(ValueLayout.JAVA_BYTE, 0), "the slot of the firmware");
            assertEquals(0, nvme.admin(GET_LOG_PAGE, ALL, ANSWER, 0, 5 | 1023 << 16).status());
            assertEquals(1, page.get(ValueLayout.JAVA_INT, 4 * IDENTIFY));
            assertEquals(0, page.get(ValueLayout.JAVA_INT, 4 * 0xff));
            assertEquals(3, page.get(ValueLayout.JAVA_INT, 1024 + 4 * WRITE), "changes blocks");
            page.fill((byte) 0x55);
            assertEquals(0, nvme.admin(GET_LOG_PAGE, ALL, ANSWER, 0, 5 | 15 << 16, 0, 1024).status());
            assertEquals(3, page.get(ValueLayout.JAVA_INT, 4 * WRITE), "from an offset");
            assertEquals(0x55, page.get(ValueLayout.JAVA_BYTE, 64), "no more than was asked for");
            assertEquals(INVALID_FIELD, nvme.admin(GET_LOG_PAGE, ALL, ANSWER, 0, 5, 0, 4096).status());
            assertEquals(INVALID_FIELD, nvme.admin(GET_LOG_PAGE, ALL, ANSWER, 0, 5, 0, 2).status());
            assertEquals(INVALID_FIELD, nvme.admin(GET_LOG_PAGE, ALL, ANSWER, 0, 0x7f).status());
        }
    }
}
