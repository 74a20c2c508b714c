// SPDX-License-Identifier: Apache-2.0
package dev.alcove.cpu;

import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/**
 * Accesses to device registers and ports by the current instruction, and to memory by one that is emulated.
 *
 * <p>Only an instruction in a block of its own may do them. A read that nobody on the bus answers leaves
 * {@link Cpu#run}; the instruction is then executed again, and all reads it has already done are answered from
 * {@link #answers}. Writes that nobody takes are queued until the instruction is complete.
 */
final class Devices {
    private final Core core;
    private final long[] box = new long[1];

    private static final long PORT = -1;

    private long[] answers = new long[8];

    /** Where each answer came from: a guest address, or {@link #PORT}. */
    private long[] sources = new long[8];
    private int answered;
    private int replayed;

    private CpuExit[] writes = new CpuExit[8];
    private int written;
    private int delivered;

    /** Size in bytes of the read that waits for {@link #complete}; 0 for none. */
    private int awaited;

    private long awaitedFrom;

    /** Whether the current block may access devices. */
    boolean allowed;

    /** Interrupts and exceptions are delivered through memory only. */
    boolean delivery;

    Devices(Core core) {
        this.core = core;
    }

    /** To be called before an instruction is tried. */
    void begin(boolean solo) {
        allowed = solo;
        replayed = 0;
    }

    /** The instruction, or one round of a repeated one, is complete. */
    void done() {
        answered = 0;
        replayed = 0;
    }

    void complete(long value) {
        if (awaited != 0) {
            answer(awaitedFrom, awaited == 8 ? value : value & ((1L << (awaited * 8)) - 1));
            awaited = 0;
        }
    }

    /** Whether a read waits for {@link #complete}. */
    boolean awaiting() {
        return awaited != 0;
    }

    private void answer(long source, long value) {
        if (answered == answers.length) {
            answers = Arrays.copyOf(answers, answered * 2);
            sources = Arrays.copyOf(sources, answered * 2);
        }
        sources[answered] = source;
        answers[answered++] = value;
    }

    /** Whether the next read is of this address and has its answer, even if memory has come there meanwhile. */
    boolean hasAnswer(long gpa) {
        return replayed < answered && sources[replayed] == gpa;
    }

    /** The next write that the owner has to do, or null. */
    @Nullable CpuExit nextWrite() {
        if (delivered == written) {
            delivered = 0;
            written = 0;
            return null;
        }
        return writes[delivered++];
    }

    boolean hasWrites() {
        return delivered != written;
    }

    private void queue(CpuExit write) {
        if (written == writes.length) {
            writes = Arrays.copyOf(writes, written * 2);
        }
        writes[written++] = write;
    }

    /** Gives up an instruction that shares its block with others. */
    void require() {
        if (!allowed && !delivery) {
            throw core.leave(null);
        }
    }

    long read(long gpa, int size) {
        if (delivery) {
            throw core.leave(new CpuExit.DeliveryToDevice(gpa));
        }
        require();
        if (replayed < answered) {
            return answers[replayed++];
        }
        if (!core.bus.memoryRead(gpa, size, box) && !core.bus.mmioRead(gpa, size, box)) {
            awaited = size;
            awaitedFrom = gpa;
            throw core.leave(new CpuExit.Mmio(false, gpa, size, 0));
        }
        answer(gpa, size == 8 ? box[0] : box[0] & ((1L << (size * 8)) - 1));
        return answers[replayed++];
    }

    void write(long gpa, int size, long value) {
        if (delivery) {
            throw core.leave(new CpuExit.DeliveryToDevice(gpa));
        }
        require();
        long v = size == 8 ? value : value & ((1L << (size * 8)) - 1);
        if (core.bus.memoryWrite(gpa, size, v)) {
            core.codeChanged();
        } else if (!core.bus.mmioWrite(gpa, size, v)) {
            queue(new CpuExit.Mmio(true, gpa, size, v));
        }
    }

    long in(int port, int size) {
        require();
        if (replayed < answered) {
            return answers[replayed++];
        }
        if (!core.bus.portRead(port, size, box)) {
            awaited = size;
            awaitedFrom = PORT;
            throw core.leave(new CpuExit.Io(false, port, size, 0));
        }
        answer(PORT, box[0] & ((1L << (size * 8)) - 1));
        return answers[replayed++];
    }

    void out(int port, int size, long value) {
        require();
        long v = value & ((1L << (size * 8)) - 1);
        if (hasWrites() || !core.bus.portWrite(port, size, v)) {
            queue(new CpuExit.Io(true, port, size, v));
        }
    }

    /** Forgets half done accesses, because the state was changed from outside. */
    void reset() {
        answered = 0;
        replayed = 0;
        awaited = 0;
    }
}
