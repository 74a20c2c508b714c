// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract;

import dev.alcove.sys.Linux;
import dev.alcove.sys.Syscalls;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;
import java.util.Locale;
import java.util.function.BooleanSupplier;
import org.junit.jupiter.api.Assumptions;

import static dev.alcove.contract.Checks.fd;
import static dev.alcove.contract.Checks.ok;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assertions.fail;

/**
 * The NVMe controller of a kernel under test, wherever it is on the root bus: with QEMU it is {@code nvme,size=64M}. The
 * driver is the smallest one: admin queue, one pair of I/O queues, one command at a time, by polling.
 *
 * <p>Memory of the process is mapped at {@link #IOVA}, page by page: admin queues in pages 0 and 1, I/O queues in 2 and 3,
 * what admin commands answer in page 4, PRP lists in 5 to 7, and data from page 8.
 */
final class NvmeUnderTest extends VfioUnderTest {
    static final int CAP = 0x00;
    static final int VS = 0x08;
    static final int INTMS = 0x0c;
    static final int INTMC = 0x10;
    static final int CC = 0x14;
    static final int CSTS = 0x1c;
    static final int AQA = 0x24;
    static final int ASQ = 0x28;
    static final int ACQ = 0x30;
    static final int DOORBELLS = 0x1000;
    static final int ENABLE = 0x460001;
    static final int READY = 1;
    static final int FATAL = 2;

    static final int IDENTIFY = 6;
    static final int CREATE_CQ = 5;
    static final int CREATE_SQ = 1;
    static final int DELETE_CQ = 4;
    static final int DELETE_SQ = 0;
    static final int SET_FEATURES = 9;
    static final int GET_FEATURES = 10;
    static final int READ = 2;
    static final int WRITE = 1;

    static final long PAGE = Linux.PAGE_SIZE;
    static final long IOVA = 0x1000_0000L;
    static final int PAGES = 256;
    static final int ENTRIES = 16;
    static final long ANSWER = IOVA + 4 * PAGE;
    static final long LIST = IOVA + 5 * PAGE;
    static final long DATA = IOVA + 8 * PAGE;

    /** Nothing is mapped here. */
    static final long HOLE = 0x2000_0000L;

    private static final long PATIENCE_NANOS = 20_000_000_000L;

    final MemorySegment memory;
    int ioas;
    private final int[] tails = new int[2];
    private final int[] heads = new int[2];
    private int nextCommand = 1;

    /** A completion: its first word, the status without phase and More bit, whose command, of which queue. */
    record Completion(int result, int status, int command, int head, int queue) {}

    /** Opens and binds the device, with the memory mapped; skips the test where there is no controller. */
    NvmeUnderTest(KernelUnderTest kernel) {
        super(kernel, find(kernel));
        ok(bind());
        memory = memory(PAGES * PAGE);
        ioas = newIoas();
        ok(ioctl(ATTACH, 12, 0, ioas));
        ok(map(ioas, memory.address(), PAGES * PAGE, IOVA, true));
        enable();
    }

    /** The path of the controller's file; skips the test where there is none. */
    static String find(KernelUnderTest kernel) {
        for (int slot = 0; slot < 32; slot++) {
            String place = String.format(Locale.ROOT, "/sys/bus/pci/devices/0000:00:%02x.0", slot);
            if (text(kernel.sys(), place + "/class").startsWith("0x010802")) {
                for (int number = 0; number < 16; number++) {
                    if (!text(kernel.sys(), place + "/vfio-dev/vfio" + number + "/dev").isEmpty()) {
                        return "/dev/vfio/devices/vfio" + number;
                    }
                }
            }
        }
        return Assumptions.abort(kernel + " has no NVMe controller that is bound to vfio-pci");
    }

    /** What is in a small file; empty when there is none. */
    private static String text(Syscalls sys, String path) {
        int file = sys.open(path, Linux.O_RDONLY | Linux.O_CLOEXEC, 0);
        if (file < 0) {
            return "";
        }
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment buffer = arena.allocate(64);
            long length = ok(sys.read(file, buffer));
            return new String(buffer.asSlice(0, length).toArray(ValueLayout.JAVA_BYTE), StandardCharsets.US_ASCII);
        } finally {
            sys.close(file);
        }
    }

    long at(long iova) {
        return iova - IOVA;
    }

    void await(String what, BooleanSupplier condition) {
        long deadline = System.nanoTime() + PATIENCE_NANOS;
        while (!condition.getAsBoolean()) {
            if (System.nanoTime() > deadline) {
                fail("waited in vain: " + what + ", CSTS " + Long.toHexString(read(CSTS, 4)));
            }
            Thread.onSpinWait();
        }
    }

    /** Disables the controller, and gives it the admin queues' place. */
    void stop() {
        write(CC, 4, 0);
        await("not ready", () -> (read(CSTS, 4) & READY) == 0);
        memory.asSlice(0, 4 * PAGE).fill((byte) 0);
        tails[0] = heads[0] = tails[1] = heads[1] = 0;
        write(AQA, 4, ENTRIES - 1 | (ENTRIES - 1) << 16);
        write(ASQ, 8, IOVA);
        write(ACQ, 8, IOVA + PAGE);
    }

    /** Enables the controller anew. */
    void start() {
        stop();
        write(CC, 4, ENABLE);
        await("ready", () -> (read(CSTS, 4) & (READY | FATAL)) != 0);
        assertEquals(READY, read(CSTS, 4));
    }

    /** Enables the controller, with a pair of I/O queues of number 1. */
    void startWithQueues() {
        start();
        assertEquals(0, createCompletionQueue(1, IOVA + 3 * PAGE, ENTRIES, 3).status());
        assertEquals(0, createSubmissionQueue(1, IOVA + 2 * PAGE, ENTRIES, 1 | 1 << 16).status());
    }

    Completion createCompletionQueue(int id, long address, int entries, int flagsAndVector) {
        return admin(CREATE_CQ, 0, address, 0, id | (entries - 1) << 16, flagsAndVector);
    }

    Completion createSubmissionQueue(int id, long address, int entries, int flagsAndQueue) {
        return admin(CREATE_SQ, 0, address, 0, id | (entries - 1) << 16, flagsAndQueue);
    }

    /** Puts a command into queue 0 or 1 and rings; its identifier. */
    int submit(int queue, int opcode, int namespace, long prp1, long prp2, int... dwords) {
        MemorySegment entry = memory.asSlice(queue * 2L * PAGE + tails[queue] * 64L, 64);
        entry.fill((byte) 0);
        int id = nextCommand++;
        entry.set(ValueLayout.JAVA_INT, 0, opcode | id << 16);
        entry.set(ValueLayout.JAVA_INT, 4, namespace);
        entry.set(ValueLayout.JAVA_LONG, 24, prp1);
        entry.set(ValueLayout.JAVA_LONG, 32, prp2);
        for (int i = 0; i < dwords.length; i++) {
            entry.set(ValueLayout.JAVA_INT, 40 + 4L * i, dwords[i]);
        }
        tails[queue] = (tails[queue] + 1) % ENTRIES;
        write(DOORBELLS + 8 * queue, 4, tails[queue]);
        return id;
    }

    private MemorySegment next(int queue) {
        return memory.asSlice(queue * 2L * PAGE + PAGE + heads[queue] % ENTRIES * 16L, 16);
    }

    /** Whether the next completion is there. */
    boolean completed(int queue) {
        int phase = (heads[queue] / ENTRIES + 1) & 1;
        return (next(queue).get(ValueLayout.JAVA_INT, 12) >>> 16 & 1) == phase;
    }

    /** Waits for the next completion and takes it. */
    Completion complete(int queue) {
        await("completion", () -> completed(queue));
        MemorySegment entry = next(queue);
        int last = entry.get(ValueLayout.JAVA_INT, 12);
        int source = entry.get(ValueLayout.JAVA_INT, 8);
        Completion completion = new Completion(
                entry.get(ValueLayout.JAVA_INT, 0), last >>> 17 & 0x7fff, last & 0xffff, source & 0xffff, source >>> 16);
        heads[queue]++;
        write(DOORBELLS + 8 * queue + 4, 4, heads[queue] % ENTRIES);
        return completion;
    }

    Completion admin(int opcode, int namespace, long prp1, long prp2, int... dwords) {
        int id = submit(0, opcode, namespace, prp1, prp2, dwords);
        Completion completion = complete(0);
        assertEquals(id, completion.command());
        return completion;
    }

    Completion io(int opcode, int namespace, long prp1, long prp2, int... dwords) {
        int id = submit(1, opcode, namespace, prp1, prp2, dwords);
        Completion completion = complete(1);
        assertEquals(id, completion.command());
        assertEquals(1, completion.queue());
        return completion;
    }

    /** Reads or writes blocks of namespace 1; a status. */
    int transfer(int opcode, long block, int blocks, long prp1, long prp2) {
        return io(opcode, 1, prp1, prp2, (int) block, (int) (block >>> 32), blocks - 1).status();
    }

    /** An eventfd for one message of MSI-X, or for the pin with index 0. */
    int interrupt(int index, int vector) {
        int event = fd(sys.eventfd(0, Linux.EFD_NONBLOCK));
        ok(ioctl(SET_IRQS, 24, 0x24, index, vector, 1, event));
        return event;
    }

    void awaitEvent(int event) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment poll = arena.allocate(8, 8);
            poll.set(ValueLayout.JAVA_INT, 0, event);
            poll.set(ValueLayout.JAVA_SHORT, 4, (short) Linux.POLLIN);
            assertEquals(1, sys.poll(poll, 10_000), "the eventfd is signalled");
            assertTrue(sys.read(event, arena.allocate(8, 8)) == 8);
        }
    }
}
