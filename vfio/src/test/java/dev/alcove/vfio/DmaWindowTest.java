// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vfio;

import dev.alcove.discard.Hva;
import dev.alcove.discard.Iova;
import dev.alcove.discard.Outcome;
import dev.alcove.discard.PopulatedRanges;
import dev.alcove.discard.RamDiscardManager;
import dev.alcove.iommufd.Ioas;
import dev.alcove.iommufd.IommuFd;
import dev.alcove.kernel.EmulatedKernel;
import dev.alcove.kernel.EmulatedProcess;
import dev.alcove.kernel.KernelProfile;
import dev.alcove.kernel.iommu.IommuDevice;
import dev.alcove.kernel.iommufd.IommufdContext;
import dev.alcove.sys.FaultInjectingSyscalls;
import dev.alcove.sys.HostSyscalls;
import dev.alcove.sys.Linux;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicLong;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

/** Whether DMA to a page is ever blocked because its neighbour is converted. */
class DmaWindowTest {
    private static final long PAGE = 4096;
    private static final int PAGES = 16;
    private static final long BASE = 0x10_0000;

    /** A device that reads the last page; told before every system call of the mapper. */
    private final AtomicLong reads = new AtomicLong();

    private final AtomicLong blocked = new AtomicLong();
    private Runnable look = () -> {};

    private interface Work {
        void with(RamDiscardManager discards, PopulatedRanges state, IommuDevice device) throws Exception;
    }

    private void run(String strategy, Work work) throws Exception {
        EmulatedKernel kernel = new EmulatedKernel(KernelProfile.linux7_2(), new HostSyscalls());
        EmulatedProcess process = kernel.process();
        FaultInjectingSyscalls watched = new FaultInjectingSyscalls(process);
        watched.failNth(
                call -> {
                    look.run();
                    return false;
                },
                1,
                1);
        try (IommuFd iommu = IommuFd.open(watched)) {
            Ioas ioas = iommu.ioasAlloc();
            IommufdContext context = kernel.iommufd().contexts().getFirst();
            IommuDevice device = kernel.iommu().newGroup().addDevice(0x10);
            long id = context.bindDevice(device);
            MapStrategy chosen = strategy.equals("cut") ? CutStrategy.prepare(ioas) : new RemapStrategy(ioas);
            assertTrue(context.attach(id, 0, ioas.id()) > 0);
            long ram = process.mmap(
                    0, PAGES * PAGE, Linux.PROT_READ | Linux.PROT_WRITE, Linux.MAP_SHARED | Linux.MAP_ANONYMOUS, -1, 0);
            RamDiscardManager discards = new RamDiscardManager(PAGES * PAGE);
            PopulatedRanges state = new PopulatedRanges(PAGES * PAGE, PAGE, true);
            assertTrue(discards.addSource(state).isDone());
            try (VfioDmaMapper mapper = new VfioDmaMapper(chosen)) {
                assertTrue(mapper.add(discards, new Iova(BASE), new Hva(ram)).isDone());
                work.with(discards, state, device);
                look = () -> {};
            }
            context.detach(id, 0);
            context.unbind(id);
            process.munmap(ram, PAGES * PAGE);
            ioas.close();
        }
        process.close();
        assertEquals(List.of(), kernel.leaks());
        kernel.close();
    }

    private void read(IommuDevice device, MemorySegment into) {
        reads.incrementAndGet();
        if (!device.dma().read(BASE + (PAGES - 1) * PAGE, into)) {
            blocked.incrementAndGet();
        }
    }

    private static void convert(RamDiscardManager discards, PopulatedRanges state, int page) {
        Outcome gone = discards.notifyDiscard(state, page * PAGE, PAGE);
        assertTrue(gone.isDone(), gone.toString());
        state.discard(page * PAGE, PAGE);
        Outcome back = discards.notifyPopulate(state, page * PAGE, PAGE);
        assertTrue(back.isDone(), back.toString());
        state.populate(page * PAGE, PAGE);
    }

    /** The device reads between any two system calls of a conversion. */
    @ParameterizedTest
    @CsvSource({"cut, false", "remap, true"})
    void betweenTheCallsOfAConversion(String strategy, boolean blocks) throws Exception {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment into = arena.allocate(8);
            run(strategy, (discards, state, device) -> {
                look = () -> read(device, into);
                for (int page = 0; page < PAGES - 1; page++) {
                    convert(discards, state, page);
                }
            });
        }
        assertTrue(reads.get() >= 2 * (PAGES - 1), reads + " reads");
        assertEquals(blocks, blocked.get() > 0, blocked + " of " + reads + " reads were blocked");
    }

    /** The device reads all the time, from a thread of its own. */
    @Test
    void noReadIsBlockedWhileNeighboursAreCut() throws Exception {
        run("cut", (discards, state, device) -> {
            AtomicBoolean ended = new AtomicBoolean();
            CompletableFuture<Void> reader = CompletableFuture.runAsync(() -> {
                try (Arena arena = Arena.ofConfined()) {
                    MemorySegment into = arena.allocate(8);
                    do {
                        read(device, into);
                    } while (!ended.get());
                }
            });
            for (int round = 0; round < 200; round++) {
                for (int page = 0; page < PAGES - 1; page++) {
                    convert(discards, state, page);
                }
            }
            ended.set(true);
            reader.get();
        });
        assertTrue(reads.get() > 0);
        assertEquals(0, blocked.get(), blocked + " of " + reads + " reads were blocked");
    }
}
