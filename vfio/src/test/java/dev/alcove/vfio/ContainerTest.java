// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vfio;

import dev.alcove.bindings.vfio.vfio;
import dev.alcove.discard.Hva;
import dev.alcove.discard.Iova;
import dev.alcove.discard.Outcome;
import dev.alcove.discard.PopulatedRanges;
import dev.alcove.discard.RamDiscardManager;
import dev.alcove.iommufd.Hwpt;
import dev.alcove.iommufd.Ioas;
import dev.alcove.iommufd.IommuFd;
import dev.alcove.kernel.EmulatedKernel;
import dev.alcove.kernel.EmulatedProcess;
import dev.alcove.kernel.KernelProfile;
import dev.alcove.sys.Errno;
import dev.alcove.sys.HostSyscalls;
import dev.alcove.sys.Linux;
import dev.alcove.sys.MissingFeatureException;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

/** The mapper on the older interface: groups, a container of VFIO's own, and iommufd in its place. */
class ContainerTest {
    private static final PciAddress ADDRESS = PciAddress.parse("0000:00:04.0");
    private static final long PAGE = 4096;
    private static final long GIB = 1 << 30;

    private final EmulatedKernel kernel = new EmulatedKernel(KernelProfile.linux7_2(), new HostSyscalls());
    private final EmulatedProcess process = kernel.process();

    ContainerTest() {
        kernel.vfioPci().addEdu(new dev.alcove.kernel.pci.PciAddress(0, 0, 4, 0), 28);
    }

    @AfterEach
    void nothingIsLeft() {
        process.close();
        assertEquals(List.of(), kernel.leaks());
        kernel.close();
    }

    private Hva ram(long bytes) {
        long address = process.mmap(
                0, bytes, Linux.PROT_READ | Linux.PROT_WRITE, Linux.MAP_SHARED | Linux.MAP_ANONYMOUS, -1, 0);
        assertFalse(Linux.isError(address), "mmap answers " + address);
        return new Hva(address);
    }

    private interface Use {
        void with(VfioContainer container, VfioDevice device);
    }

    private void open(String path, Use use) {
        try (VfioContainer container = VfioContainer.open(process, path);
                VfioGroup group = VfioGroup.open(process, ADDRESS)) {
            assertTrue(group.isViable());
            assertFalse(group.hasContainer());
            group.join(container);
            assertTrue(group.hasContainer());
            container.setIommu();
            try (VfioDevice device = group.device(ADDRESS)) {
                assertTrue(device.info().pci());
                use.with(container, device);
            }
            group.leave();
        }
    }

    private static Outcome change(RamDiscardManager discards, PopulatedRanges state, boolean share, long page, long pages) {
        Outcome outcome = share
                ? discards.notifyPopulate(state, page * PAGE, pages * PAGE)
                : discards.notifyDiscard(state, page * PAGE, pages * PAGE);
        if (outcome.isDone() && share) {
            state.populate(page * PAGE, pages * PAGE);
        } else if (outcome.isDone()) {
            state.discard(page * PAGE, pages * PAGE);
        }
        return outcome;
    }

    @Test
    void vfiosOwnContainerTakesPages() {
        open(VfioContainer.PATH, (container, device) -> {
            assertFalse(container.isIommufd());
            assertFalse(container.cuts());
            assertEquals("page", MapStrategy.choose(container).name());
            followsConversions(container, 16);
        });
    }

    @Test
    void iommufdInItsPlaceIsCut() {
        open(IommuFd.PATH, (container, device) -> {
            assertTrue(container.isIommufd());
            assertTrue(container.cuts());
            assertEquals("cut", MapStrategy.choose(container).name());
            followsConversions(container, 1);
        });
    }

    private void followsConversions(VfioContainer container, int mapIoctls) {
        Hva hva = ram(16 * PAGE);
        RamDiscardManager discards = new RamDiscardManager(16 * PAGE);
        PopulatedRanges state = new PopulatedRanges(16 * PAGE, PAGE, true);
        assertTrue(discards.addSource(state).isDone());
        try (VfioDmaMapper mapper = new VfioDmaMapper(MapStrategy.choose(container), 16 * PAGE)) {
            assertEquals(Outcome.done(), mapper.add(discards, new Iova(0), hva));
            assertEquals(mapIoctls, mapper.counters().mapIoctls());
            assertEquals(16, kernel.memory().totalPins());
            assertTrue(change(discards, state, false, 5, 3).isDone());
            assertEquals(13, kernel.memory().totalPins());
            assertTrue(change(discards, state, true, 6, 1).isDone());
            assertEquals(14, kernel.memory().totalPins());
            assertEquals(14 * PAGE, mapper.mapped().bytes());
        }
        assertEquals(0, kernel.memory().totalPins());
    }

    /** The kernel takes 65535 mappings: 256 MiB less a page. */
    @Test
    void theLimitOfMappingsIsForetoldAndNamed() {
        open(VfioContainer.PATH, (container, device) -> {
            assertEquals(65535, container.info().mappingsLeft());
            Hva hva = ram(GIB);
            RamDiscardManager discards = new RamDiscardManager(GIB);
            PopulatedRanges state = new PopulatedRanges(GIB, PAGE, false);
            assertTrue(discards.addSource(state).isDone());
            try (VfioDmaMapper mapper = new VfioDmaMapper(new PageStrategy(container), GIB)) {
                assertTrue(mapper.add(discards, new Iova(0), hva).isDone());
                String exact = "vfio_iommu_type1.dma_entry_limit=262144";
                assertTrue(mapper.forecast().orElseThrow().contains(exact), mapper.forecast().toString());
                assertTrue(change(discards, state, true, 0, 100).isDone());
                long before = mapper.counters().mapIoctls();
                Outcome.Refused refused =
                        assertInstanceOf(Outcome.Refused.class, change(discards, state, true, 100, 65436));
                assertEquals(Errno.ENOSPC, refused.errno());
                assertTrue(refused.reason().contains(exact), refused.reason());
                assertEquals(before, mapper.counters().mapIoctls(), "it asked the kernel first");
                assertEquals(100 * PAGE, mapper.mapped().bytes());
            }
        });
    }

    /** Nothing to foretell: of memory without a private side each block is one mapping, and iommufd counts none. */
    @Test
    void noLimitIsForetoldWhereThereIsNone() {
        open(VfioContainer.PATH, (container, device) -> {
            try (VfioDmaMapper mapper = new VfioDmaMapper(new PageStrategy(container), GIB)) {
                assertTrue(mapper.add(new RamDiscardManager(GIB), new Iova(0), ram(GIB)).isDone());
                assertTrue(mapper.forecast().isEmpty(), mapper.forecast().toString());
            }
        });
        open(IommuFd.PATH, (container, device) -> {
            assertEquals(DmaSpace.UNLIMITED, container.mappingsLeft());
            RamDiscardManager discards = new RamDiscardManager(GIB);
            assertTrue(discards.addSource(new PopulatedRanges(GIB, PAGE, false)).isDone());
            try (VfioDmaMapper mapper = new VfioDmaMapper(new PageStrategy(container), GIB)) {
                assertTrue(mapper.add(discards, new Iova(0), ram(GIB)).isDone());
                assertTrue(mapper.forecast().isEmpty(), mapper.forecast().toString());
            }
        });
    }

    @Test
    void memoryWhereTheIommuReservesAddressesIsRefused() {
        open(VfioContainer.PATH, (container, device) -> {
            long iova = 0xfee0_0000L - 4 * PAGE;
            try (VfioDmaMapper mapper = new VfioDmaMapper(new PageStrategy(container))) {
                Outcome.Refused refused = assertInstanceOf(
                        Outcome.Refused.class,
                        mapper.add(new RamDiscardManager(16 * PAGE), new Iova(iova), ram(16 * PAGE)));
                assertEquals(Errno.EINVAL, refused.errno());
                assertTrue(refused.reason().contains("0xfee00000"), refused.reason());
            }
        });
    }

    @Test
    void aContainerTellsWhatIsMappedAsDirty() {
        open(VfioContainer.PATH, (container, device) -> {
            container.map(DmaSource.of(ram(8 * PAGE)), 0, 0, 8 * PAGE);
            DirtyTracking tracking = DirtyTracking.of(container);
            tracking.start();
            assertEquals(8 * PAGE, tracking.collect(0, 8 * PAGE).bytes());
            tracking.stop();
            assertEquals(8 * PAGE, container.unmapAll());
        });
    }

    @Test
    void whatCannotTrackSaysSo() {
        open(IommuFd.PATH, (container, device) ->
                assertThrows(MissingFeatureException.class, () -> DirtyTracking.of(container)));
    }

    @Test
    void anIommuTellsWhatADeviceWrote() {
        try (IommuFd iommu = IommuFd.open(process);
                Ioas ioas = iommu.ioasAlloc();
                VfioDevice device = VfioDevice.open(process, ADDRESS)) {
            int id = device.bind(iommu);
            Hwpt table;
            try {
                table = DirtyTracking.tableFor(id, ioas);
            } catch (MissingFeatureException refused) {
                assertTrue(String.valueOf(refused.getMessage()).contains("does not support"), refused.getMessage());
                return;
            }
            try (table) {
                device.attach(table.id());
                ioas.map(ram(8 * PAGE).value(), 0, 8 * PAGE, Ioas.READ | Ioas.WRITE);
                DirtyTracking tracking = DirtyTracking.of(table);
                tracking.start();
                assertTrue(tracking.collect(0, 8 * PAGE).isEmpty());
                tracking.stop();
                device.detach();
            }
        }
    }

    @Test
    void theTypeOfAContainerIsSetOnce() {
        open(VfioContainer.PATH, (container, device) -> {
            assertTrue(container.extension(vfio.VFIO_TYPE1v2_IOMMU()));
            assertThrows(RuntimeException.class, container::setIommu);
        });
    }
}
