// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.pci.nvme;

import dev.alcove.kernel.iommu.DmaPort;
import dev.alcove.kernel.mm.MmioRegion;
import dev.alcove.kernel.pci.MsixTable;
import dev.alcove.kernel.pci.PciFunction;
import dev.alcove.kernel.pci.nvme.CompletionQueue.Completion;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayDeque;
import org.jspecify.annotations.Nullable;

import static dev.alcove.kernel.pci.nvme.NvmeRegisters.*;

/**
 * An NVMe controller as QEMU's {@code nvme} device, 1b36:0010: NVM Express 1.4, one namespace or none, 64 pairs of I/O
 * queues, PRP lists, MSI-X or the pin, function level reset.
 *
 * <p>One thread of the device, the engine, executes all commands; it starts when the controller is first enabled. What the
 * host writes to CC the engine carries out between two commands, so that the host waits for CSTS as the specification
 * has it. A queue whose memory cannot be reached is Controller Fatal Status, data that cannot be reached is a Data
 * Transfer Error.
 *
 * <p>Where it follows QEMU and not the specification: a reset keeps AQA, ASQ and ACQ, whose reserved bits can be read; log
 * pages and queues that are not there give the status codes that QEMU gives; events that were kept back are told once their log page
 * has been read.
 *
 * <p>Lock: {@code lock} guards registers, doorbells and which queues there are; it is taken before the function's
 * monitor, and no DMA is done with it.
 */
public final class NvmeController extends PciFunction {
    public static final int VENDOR = 0x1b36;
    public static final int DEVICE = 0x0010;
    static final int SUBSYSTEM_VENDOR = 0x1af4;
    static final int VECTORS = IO_QUEUES + 1;
    private static final int CLASS_NVME = 0x010802;
    private static final int REVISION = 2;
    private static final int FIRMWARE_ADDRESS = 0xfeb00000;
    private static final int FIRMWARE_LINE = 11;
    private static final int MSIX = 0x40;
    private static final int POWER = 0x60;
    private static final int EXPRESS = 0x80;
    private static final int NO_SOFT_RESET = 8;
    private static final int POWER_STATE = 3;
    private static final int MOST_UNSEEN_CONFIGURATIONS = 16;

    private final PrpTransfer memory;
    private final MsixTable vectors;
    private final @Nullable NvmeNamespace namespace;
    private final NvmeAdmin admin;
    private final NvmeIo io;
    private final NvmeQueues queues = new NvmeQueues();
    private final NvmeEvents events = new NvmeEvents();
    private final MemorySegment entry = MemorySegment.ofArray(new long[CompletionQueue.ENTRY_SIZE / Long.BYTES]);
    private final Object lock = new Object();

    /** What was written to CC and the engine has not carried out. */
    private final ArrayDeque<Integer> configurations = new ArrayDeque<>();

    /** What the engine has carried out of CC. */
    private int applied;

    private volatile int configuration;
    private volatile int status;
    private int masked;
    private int adminAttributes;
    private long adminSubmission;
    private long adminCompletion;
    private int lastServed;
    private boolean resetWanted;
    private boolean closed;
    private @Nullable Thread engine;

    /**
     * @param dma the function's way to memory
     * @param storage the blocks of namespace 1, which the controller closes; null for none
     * @param serial its serial number, up to 20 characters
     */
    public NvmeController(DmaPort dma, @Nullable NvmeStorage storage, String serial) {
        super(VENDOR, DEVICE, CLASS_NVME, REVISION, true);
        this.memory = new PrpTransfer(dma, this::busMaster);
        this.namespace = storage == null ? null : new NvmeNamespace(storage);
        this.admin = new NvmeAdmin(this, memory, namespace, serial);
        this.io = new NvmeIo(memory, namespace);
        this.vectors = new MsixTable(this, VECTORS, (address, data) -> {
            MemorySegment word = MemorySegment.ofArray(new int[] {data});
            memory.write(address, word);
        });
        addCapability(CAPABILITY_POWER, POWER, 3, NO_SOFT_RESET, 0);
        allow(POWER + 4, POWER_STATE);
        // An endpoint that is part of the root complex, version 2, that can be reset alone; the link is a formality.
        addCapability(
                CAPABILITY_EXPRESS, EXPRESS, 0x92, 0x8000, 0x1000, 0, 0, 0x411, 0, 0, 0x11, 0, 0, 0, 0, 0, 0, 0, 0, 0x30, 0,
                0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
        allow(EXPRESS + 40, 0x8000);
        addMsix(MSIX, vectors, 0, MSIX_TABLE, MSIX_PENDING);
        addBar(0, new Registers(), BAR_64BIT);
        configWrite(BAR0, 4, FIRMWARE_ADDRESS);
        configWrite(INTERRUPT_LINE, 1, FIRMWARE_LINE);
        configWrite(COMMAND, 2, COMMAND_IO | COMMAND_MEMORY | COMMAND_SERR);
    }

    private final class Registers implements MmioRegion {
        @Override
        public long size() {
            return BAR_SIZE;
        }

        @Override
        public long read(long offset, int size) {
            if (!memoryEnabled()) {
                return size == Long.BYTES ? -1L : (1L << (8 * size)) - 1;
            }
            if (offset >= MSIX_TABLE) {
                return offset < MSIX_PENDING
                        ? vectors.read(offset - MSIX_TABLE, size)
                        : vectors.readPending(offset - MSIX_PENDING, size);
            }
            long value = 0;
            for (int i = 0; i < size; i++) {
                long at = offset + i;
                value |= ((register((int) at & -4) >>> (8 * (at & 3))) & 0xff) << (8 * i);
            }
            return value;
        }

        /** The bus takes eight bytes as twice four, and fewer than four as a whole register. */
        @Override
        public void write(long offset, int size, long value) {
            if (!memoryEnabled()) {
                return;
            }
            if (offset >= MSIX_TABLE) {
                if (offset < MSIX_PENDING) {
                    vectors.write(offset - MSIX_TABLE, size, value);
                }
                return;
            }
            for (int i = 0; i < size; i += Integer.BYTES) {
                writeRegister((int) offset + i, (int) (value >>> (8 * i)));
            }
        }
    }

    private long register(int offset) {
        synchronized (lock) {
            return Integer.toUnsignedLong(
                    switch (offset) {
                        case CAP -> (int) CAP_VALUE;
                        case CAP + 4 -> (int) (CAP_VALUE >>> 32);
                        case VS -> VS_VALUE;
                        case INTMS, INTMC -> masked;
                        case CC -> configuration;
                        case CSTS -> status;
                        case AQA -> adminAttributes;
                        case ASQ -> (int) adminSubmission;
                        case ASQ + 4 -> (int) (adminSubmission >>> 32);
                        case ACQ -> (int) adminCompletion;
                        case ACQ + 4 -> (int) (adminCompletion >>> 32);
                        default -> 0;
                    });
        }
    }

    private void writeRegister(int offset, int value) {
        synchronized (lock) {
            switch (offset) {
                case INTMS -> mask(masked | value);
                case INTMC -> mask(masked & ~value);
                case CC -> configure(value);
                case AQA -> adminAttributes = value;
                case ASQ -> adminSubmission = low(adminSubmission, value);
                case ASQ + 4 -> adminSubmission = high(adminSubmission, value);
                case ACQ -> adminCompletion = low(adminCompletion, value);
                case ACQ + 4 -> adminCompletion = high(adminCompletion, value);
                default -> {
                    if (offset >= DOORBELLS && (offset & 3) == 0) {
                        ringDoorbell((offset - DOORBELLS) / 8, (offset & 4) != 0, value & 0xffff);
                    }
                }
            }
        }
    }

    private static long low(long register, int value) {
        return (register & 0xffffffff_00000000L) | Integer.toUnsignedLong(value);
    }

    private static long high(long register, int value) {
        return (register & 0xffffffffL) | (long) value << 32;
    }

    private void mask(int bits) {
        masked = bits;
        showPin();
    }

    /** Of what a host writes without waiting, only the last sixteen count. */
    private void configure(int value) {
        if ((configuration & CC_ENABLE) != 0 && (value & CC_ENABLE) == 0 && (status & CSTS_READY) == 0) {
            // A host that disables a failed controller has nothing to wait for.
            status = 0;
        }
        configuration = value;
        if (configurations.size() == MOST_UNSEEN_CONFIGURATIONS) {
            configurations.removeLast();
        }
        configurations.add(value);
        if (engine == null && !closed) {
            Thread started = new Thread(this::run, "nvme-engine");
            started.setDaemon(true);
            started.start();
            engine = started;
        }
        lock.notifyAll();
    }

    private void ringDoorbell(int id, boolean completion, int value) {
        CompletionQueue completions = completion ? queues.completion(id) : null;
        SubmissionQueue submissions = completion ? null : queues.submission(id);
        int size = completions != null ? completions.size : submissions != null ? submissions.size : 0;
        if (value >= size) {
            if (events.anybodyWaits()) {
                int what = size == 0 ? NvmeEvents.INVALID_DOORBELL : NvmeEvents.INVALID_DOORBELL_VALUE;
                events.add(NvmeEvents.ERROR, what, NvmeLogs.ERRORS);
                lock.notifyAll();
            }
            return;
        }
        if (completions != null) {
            completions.head = value;
            completions.stalled = false;
            showPin();
        } else if (submissions != null) {
            submissions.tail = value;
            submissions.stalled = false;
        }
        lock.notifyAll();
    }

    /** The pin follows the queues whose entries the host has not all taken, unless there are messages. */
    private void showPin() {
        if (!messagesEnabled()) {
            setPin((queues.pendingVectors() & ~masked) != 0);
        }
    }

    private void run() {
        try {
            while (true) {
                SubmissionQueue work;
                synchronized (lock) {
                    if (!awaitWork()) {
                        return;
                    }
                    carryOut();
                    work = queues.nextReady(lastServed);
                }
                if (work != null) {
                    serve(work);
                }
                tellEvents();
                post();
            }
        } catch (InterruptedException stop) {
            Thread.currentThread().interrupt();
        }
    }

    /** Waits for something to do; false when the device is closed. The caller holds the lock. */
    private boolean awaitWork() throws InterruptedException {
        while (!closed
                && !resetWanted
                && configurations.isEmpty()
                && queues.nextReady(0) == null
                && queues.nextWaiting() == null
                && !events.canTell()) {
            lock.wait();
        }
        return !closed;
    }

    /** Does what was written to CC, and resets. The caller holds the lock. */
    private void carryOut() {
        if (resetWanted) {
            configurations.clear();
            stop();
            resetWanted = false;
            lock.notifyAll();
        }
        while (!configurations.isEmpty()) {
            int before = applied;
            int now = configurations.remove();
            applied = now;
            int csts = status;
            if (shutdown(now) != 0 && shutdown(before) == 0) {
                flush();
                csts = (csts & ~CSTS_SHUTDOWN) | CSTS_SHUTDOWN_COMPLETE;
            } else if (shutdown(now) == 0 && shutdown(before) != 0) {
                csts &= ~CSTS_SHUTDOWN;
            }
            if ((now & CC_ENABLE) != 0 && (before & CC_ENABLE) == 0) {
                csts = start(now) ? CSTS_READY : CSTS_FATAL;
            } else if ((now & CC_ENABLE) == 0 && (before & CC_ENABLE) != 0) {
                stop();
                csts = 0;
            }
            status = csts;
        }
    }

    private void flush() {
        try {
            if (namespace != null) {
                namespace.flush();
            }
        } catch (IOException e) {
            // The host is told by Flush; a shutdown has no way to.
            return;
        }
    }

    private boolean start(int value) {
        int submissions = (adminAttributes & 0xfff) + 1;
        int completions = ((adminAttributes >>> 16) & 0xfff) + 1;
        if (!supports(value) || submissions < 2 || completions < 2) {
            return false;
        }
        int page = pageSize(value);
        if (((adminSubmission | adminCompletion) & (page - 1)) != 0) {
            return false;
        }
        memory.setPageSize(page);
        CompletionQueue completion = new CompletionQueue(0, adminCompletion, completions, 0, true);
        queues.add(completion);
        queues.add(new SubmissionQueue(0, adminSubmission, submissions, completion));
        return true;
    }

    private void stop() {
        queues.clear();
        events.reset();
        masked = 0;
        applied = 0;
        status = 0;
        if (configurations.isEmpty()) {
            configuration = 0;
        }
        showPin();
    }

    /** Executes what a queue has now; what comes meanwhile waits until other queues have had their turn. */
    private void serve(SubmissionQueue queue) {
        lastServed = queue.id;
        for (int i = 0; i < queue.size; i++) {
            synchronized (lock) {
                if (!queue.ready() || resetWanted || !configurations.isEmpty() || queues.submission(queue.id) != queue) {
                    return;
                }
            }
            MemorySegment bytes = MemorySegment.ofArray(new long[NvmeCommand.SIZE / Long.BYTES]);
            if (!memory.read(queue.next(), bytes)) {
                fail();
                synchronized (lock) {
                    queue.stalled = true;
                }
                return;
            }
            queue.fetched();
            NvmeCommand command = new NvmeCommand(bytes);
            int done = queue.id == 0 ? admin.execute(command) : io.execute(command);
            if (done != NvmeStatus.PENDING) {
                int result = queue.id == 0 ? admin.result() : 0;
                queue.completions.waiting.add(new Completion(queue, command.identifier(), result, done));
            }
        }
    }

    private void fail() {
        synchronized (lock) {
            status = CSTS_FATAL;
        }
    }

    private void tellEvents() {
        synchronized (lock) {
            SubmissionQueue queue = queues.submission(0);
            if (queue != null) {
                events.tell().forEach(told -> queue.completions.waiting.add(
                        new Completion(queue, told.command(), told.result(), NvmeStatus.SUCCESS)));
            }
        }
    }

    /** Writes the completions for which there is room, and then interrupts. */
    private void post() {
        while (true) {
            CompletionQueue queue;
            synchronized (lock) {
                queue = queues.nextWaiting();
            }
            if (queue == null) {
                return;
            }
            boolean posted = false;
            while (postOne(queue)) {
                posted = true;
            }
            synchronized (lock) {
                // Also where the host, which polls, has taken the entries by now.
                if (queue.interrupts && posted) {
                    if (messagesEnabled()) {
                        vectors.send(queue.vector);
                    } else {
                        showPin();
                    }
                }
            }
        }
    }

    private boolean postOne(CompletionQueue queue) {
        synchronized (lock) {
            if (!queue.ready()) {
                return false;
            }
        }
        Completion over = queue.waiting.element();
        entry.set(ValueLayout.JAVA_INT, 0, over.result());
        entry.set(ValueLayout.JAVA_INT, 4, 0);
        entry.set(ValueLayout.JAVA_INT, 8, over.queue().head | over.queue().id << 16);
        entry.set(ValueLayout.JAVA_INT, 12, over.command() | (over.status() << 1 | queue.phase()) << 16);
        if (!memory.write(queue.next(), entry)) {
            fail();
            synchronized (lock) {
                queue.stalled = true;
            }
            return false;
        }
        queue.waiting.remove();
        over.queue().outstanding--;
        synchronized (lock) {
            queue.advance();
        }
        return true;
    }

    int configuration() {
        return configuration;
    }

    /** For the engine. */
    NvmeQueues queues() {
        return queues;
    }

    void add(CompletionQueue queue) {
        synchronized (lock) {
            queues.add(queue);
        }
    }

    void add(SubmissionQueue queue) {
        synchronized (lock) {
            queues.add(queue);
        }
    }

    void remove(SubmissionQueue queue) {
        synchronized (lock) {
            queues.remove(queue);
        }
    }

    void remove(CompletionQueue queue) {
        synchronized (lock) {
            queues.remove(queue);
            showPin();
        }
    }

    boolean awaitEvent(int command) {
        synchronized (lock) {
            return events.await(command);
        }
    }

    void tell(int type, int information, int logPage) {
        synchronized (lock) {
            events.add(type, information, logPage);
        }
    }

    void acknowledge(int type) {
        synchronized (lock) {
            events.clear(type);
        }
    }

    /** Ends a command that waits for an event; false when there is none such. */
    boolean abortEvent(int command) {
        synchronized (lock) {
            SubmissionQueue queue = queues.submission(0);
            if (queue == null || !events.abort(command)) {
                return false;
            }
            queue.completions.waiting.add(new Completion(queue, command, 0, NvmeStatus.ABORT_REQUESTED));
            return true;
        }
    }

    @Override
    public boolean resettable() {
        return true;
    }

    @Override
    protected void resetDevice() {
        synchronized (lock) {
            if (engine == null || closed) {
                stop();
                return;
            }
            resetWanted = true;
            lock.notifyAll();
            boolean interrupted = false;
            while (resetWanted && !closed) {
                try {
                    lock.wait();
                } catch (InterruptedException e) {
                    interrupted = true;
                }
            }
            if (interrupted) {
                Thread.currentThread().interrupt();
            }
        }
    }

    @Override
    public void close() {
        Thread running;
        synchronized (lock) {
            closed = true;
            running = engine;
            lock.notifyAll();
        }
        try {
            if (running != null) {
                running.join();
            }
            if (namespace != null) {
                namespace.close();
            }
        } catch (InterruptedException interrupted) {
            Thread.currentThread().interrupt();
        } catch (IOException e) {
            throw new java.io.UncheckedIOException(e);
        }
    }
}
