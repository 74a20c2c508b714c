// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vfio;

import dev.alcove.bindings.iommufd.iommufd;
import dev.alcove.bindings.vfio.vfio;
import dev.alcove.discard.Hva;
import dev.alcove.discard.Iova;
import dev.alcove.discard.Outcome;
import dev.alcove.discard.PopulatedRanges;
import dev.alcove.discard.RamDiscardManager;
import dev.alcove.discard.RangeSet;
import dev.alcove.iommufd.Ioas;
import dev.alcove.iommufd.IommuFd;
import dev.alcove.kernel.EmulatedKernel;
import dev.alcove.kernel.EmulatedProcess;
import dev.alcove.kernel.KernelProfile;
import dev.alcove.kernel.iommu.IommuDevice;
import dev.alcove.kernel.iommu.IovaExtent;
import dev.alcove.kernel.iommufd.IommufdContext;
import dev.alcove.sys.Errno;
import dev.alcove.sys.FaultInjectingSyscalls;
import dev.alcove.sys.HostSyscalls;
import dev.alcove.sys.InvariantException;
import dev.alcove.sys.Linux;
import dev.alcove.sys.UserMappings;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

/** A device of the emulated machine reaches what is populated, and nothing else. */
class VfioDmaMapperTest {
    private static final long PAGE = 4096;
    private static final int PAGES = 32;
    private static final long BASE = 0x10_0000;

    /** Which allocation of the kernel from now fails; below zero none does. */
    private int failIn = -1;

    private final EmulatedKernel kernel = new EmulatedKernel(
            KernelProfile.linux7_2(), new HostSyscalls(), EmulatedKernel.DEFAULT_FRAMES, what -> failIn-- != 0);
    private final EmulatedProcess process = kernel.process();
    private final FaultInjectingSyscalls faults = new FaultInjectingSyscalls(process);
    private final IommuFd iommu = IommuFd.open(faults);
    private final Ioas ioas = iommu.ioasAlloc();
    private final IommufdContext context = kernel.iommufd().contexts().getFirst();
    private final IommuDevice device = kernel.iommu().newGroup().addDevice(0x10);
    private final long deviceId = context.bindDevice(device);
    private final int memfd = process.memfdCreate("ram", Linux.MFD_CLOEXEC);
    private final MemorySegment ram = map();

    private final RamDiscardManager discards = new RamDiscardManager(PAGES * PAGE);
    private final PopulatedRanges state = new PopulatedRanges(PAGES * PAGE, PAGE, false);

    private MemorySegment map() {
        assertEquals(0, process.ftruncate(memfd, PAGES * PAGE));
        long address = process.mmap(
                0, PAGES * PAGE, Linux.PROT_READ | Linux.PROT_WRITE, Linux.MAP_SHARED, memfd, 0);
        assertFalse(Linux.isError(address), "mmap answers " + address);
        return UserMappings.segment(address, PAGES * PAGE);
    }

    private VfioDmaMapper mapper(String strategy) {
        MapStrategy chosen = switch (strategy) {
            case "cut" -> CutStrategy.prepare(ioas);
            case "page" -> new PageStrategy(ioas);
            default -> new RemapStrategy(ioas);
        };
        assertTrue(context.attach(deviceId, 0, ioas.id()) > 0);
        return new VfioDmaMapper(chosen);
    }

    private Outcome add(VfioDmaMapper mapper) {
        return mapper.add(discards, new Iova(BASE), new Hva(ram.address()));
    }

    private Outcome change(boolean populate, int page, int pages) {
        Outcome outcome = populate
                ? discards.notifyPopulate(state, page * PAGE, pages * PAGE)
                : discards.notifyDiscard(state, page * PAGE, pages * PAGE);
        if (outcome.isDone() && populate) {
            state.populate(page * PAGE, pages * PAGE);
        } else if (outcome.isDone()) {
            state.discard(page * PAGE, pages * PAGE);
        }
        return outcome;
    }

    /** The IOMMU's own page table, against the state and the books. */
    private void assertReachable(VfioDmaMapper mapper, String where) {
        RangeSet expected = new RangeSet();
        discards.replayPopulated(0, PAGES * PAGE, (offset, size) -> expected.add(BASE + offset, size));
        RangeSet reachable = new RangeSet();
        context.domains(ioas.id()).forEach(domain -> {
            for (IovaExtent extent : domain.extents()) {
                reachable.add(extent.iova(), extent.pages() * PAGE);
            }
        });
        assertEquals(expected, reachable, where);
        assertEquals(expected, mapper.mapped(), where);
        assertEquals(expected.bytes(), mapper.counters().mappedBytes(), where);
        assertEquals(expected.bytes() / PAGE, kernel.memory().totalPins(), where);
    }

    @AfterEach
    void nothingIsLeft() {
        failIn = -1;
        context.detach(deviceId, 0);
        context.unbind(deviceId);
        ioas.close();
        iommu.close();
        process.munmap(ram.address(), ram.byteSize());
        process.close(memfd);
        process.close();
        assertEquals(List.of(), kernel.leaks());
        kernel.close();
    }

    @ParameterizedTest
    @ValueSource(strings = {"cut", "page", "remap"})
    void aDeviceReachesWhatIsPopulated(String strategy) {
        assertTrue(discards.addSource(state).isDone());
        try (VfioDmaMapper mapper = mapper(strategy);
                Arena arena = Arena.ofConfined()) {
            assertTrue(add(mapper).isDone());
            MemorySegment word = arena.allocate(8);
            assertFalse(device.dma().write(BASE + 3 * PAGE, word));
            assertTrue(change(true, 2, 4).isDone());
            word.set(ValueLayout.JAVA_LONG, 0, 0x1122334455667788L);
            assertTrue(device.dma().write(BASE + 3 * PAGE + 16, word));
            assertEquals(0x1122334455667788L, ram.get(ValueLayout.JAVA_LONG, 3 * PAGE + 16));
            assertTrue(change(false, 3, 1).isDone());
            word.set(ValueLayout.JAVA_LONG, 0, -1);
            assertFalse(device.dma().write(BASE + 3 * PAGE + 16, word));
            assertEquals(0x1122334455667788L, ram.get(ValueLayout.JAVA_LONG, 3 * PAGE + 16));
            assertTrue(device.dma().write(BASE + 4 * PAGE, word));
            assertReachable(mapper, strategy);
            assertEquals(strategy.equals("page") ? 4 : strategy.equals("cut") ? 1 : 3, mapper.counters().mapIoctls());
            assertEquals(1, mapper.counters().unmapIoctls());
        }
        assertEquals(0, kernel.memory().totalPins());
    }

    @ParameterizedTest
    @ValueSource(strings = {"cut", "page", "remap"})
    void aBlockWithoutSourcesIsMappedOnce(String strategy) {
        try (VfioDmaMapper mapper = mapper(strategy)) {
            assertTrue(add(mapper).isDone());
            assertEquals(1, mapper.counters().mapIoctls());
            assertReachable(mapper, strategy);
        }
        assertEquals(0, kernel.memory().totalPins());
    }

    @Test
    void aBlockThatIsMappedAlreadyIsRefused() {
        try (VfioDmaMapper mapper = mapper("cut");
                VfioDmaMapper second = new VfioDmaMapper(new PageStrategy(ioas))) {
            assertTrue(add(mapper).isDone());
            Outcome.Refused refused = assertInstanceOf(Outcome.Refused.class, add(second));
            assertTrue(refused.reason().contains("EEXIST"), refused.reason());
            assertReachable(mapper, "both");
            assertEquals(0, second.counters().mappedBytes());
        }
    }

    /** Every unmap fails: what cannot be unmapped goes with the address space, and nobody follows the memory then. */
    @ParameterizedTest
    @ValueSource(strings = {"cut", "page", "remap"})
    void whatCannotBeUnmappedGoesWithTheAddressSpace(String strategy) {
        assertTrue(discards.addSource(state).isDone());
        VfioDmaMapper mapper = mapper(strategy);
        assertTrue(add(mapper).isDone());
        assertTrue(change(true, 2, 4).isDone());
        for (int nth = 1; nth <= 100; nth++) {
            faults.failNth(
                    FaultInjectingSyscalls.Call.ioctl(iommufd.IOMMU_IOAS_UNMAP())
                            .or(FaultInjectingSyscalls.Call.ioctl(vfio.VFIO_IOMMU_UNMAP_DMA())),
                    nth,
                    Errno.ENOMEM);
        }
        assertThrows(InvariantException.class, mapper::close);
        assertReachable(mapper, "refused, and there as before");
        assertInstanceOf(Outcome.Refused.class, change(false, 3, 1), "it still is followed");
        assertReachable(mapper, "refused");
        mapper.closeWith(() -> {
            context.detach(deviceId, 0);
            assertTrue(mapper.mapped().containsAll(BASE + 2 * PAGE, 4 * PAGE), "until the end");
            ioas.close();
        });
        assertEquals(0, mapper.counters().mappedBytes());
        assertTrue(mapper.mapped().isEmpty());
        assertEquals(0, kernel.memory().totalPins());
        assertTrue(change(false, 2, 4).isDone(), "nobody minds any more");
        mapper.close();
    }

    @ParameterizedTest
    @CsvSource({"cut, 1", "cut, 2", "cut, 3", "page, 4", "page, 5", "page, 6", "remap, 7", "remap, 8"})
    void randomChangesWithAllocationsThatFail(String strategy, long seed) {
        Random random = new Random(seed);
        boolean[] populated = new boolean[PAGES];
        assertTrue(discards.addSource(state).isDone());
        int refused = 0;
        try (VfioDmaMapper mapper = mapper(strategy)) {
            assertTrue(add(mapper).isDone());
            for (int step = 0; step < 600; step++) {
                int from = random.nextInt(PAGES);
                int to = from + 1;
                while (to < PAGES && populated[to] == populated[from] && random.nextInt(8) > 0) {
                    to++;
                }
                String where = "seed " + seed + " step " + step + " pages " + from + " to " + to;
                failIn = random.nextInt(3) == 0 ? random.nextInt(12) : -1;
                Outcome outcome = change(!populated[from], from, to - from);
                failIn = -1;
                assertFalse(outcome instanceof Outcome.Unsafe, where + " " + outcome);
                boolean now = outcome.isDone() != populated[from];
                for (int page = from; page < to; page++) {
                    populated[page] = now;
                }
                refused += outcome.isDone() ? 0 : 1;
                assertReachable(mapper, where);
            }
        }
        assertTrue(refused > 0, "no allocation failed in seed " + seed);
    }
}
