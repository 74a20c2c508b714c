// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommu;

import dev.alcove.kernel.iommu.IommuFault.Reason;
import dev.alcove.kernel.mm.PhysicalMemory;
import dev.alcove.sys.HostSyscalls;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.atomic.AtomicBoolean;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

/** Devices reach exactly what their domain maps. */
final class DmaPortTest {
    private static final int PAGE = 4096;
    private static final int READ_WRITE = IommuDomain.READ | IommuDomain.WRITE;

    private PhysicalMemory memory;
    private Iommu iommu;
    private IommuGroup group;
    private IommuDevice device;

    @BeforeEach
    void start() {
        memory = new PhysicalMemory(new HostSyscalls(), 1 << 16);
        iommu = new Iommu(memory, what -> true);
        group = iommu.newGroup();
        device = group.addDevice(0x0100);
    }

    @AfterEach
    void stop() {
        memory.close();
    }

    private static MemorySegment bytes(int length, int value) {
        byte[] array = new byte[length];
        Arrays.fill(array, (byte) value);
        return MemorySegment.ofArray(array);
    }

    private byte at(long pfn, long offset) {
        return memory.view().get(ValueLayout.JAVA_BYTE, (pfn << 12) + offset);
    }

    private long lastFaultIova() {
        return iommu.faults().newest().getLast().iova();
    }

    private Reason lastFaultReason() {
        return iommu.faults().newest().getLast().reason();
    }

    @Test
    void aTransferGoesPageByPageThroughTheTable() {
        long low = memory.allocate(1);
        long high = memory.allocate(1);
        IommuDomain domain = iommu.newDomain();
        assertEquals(0, domain.map(0x10000, high << 12, PAGE, READ_WRITE, true));
        assertEquals(0, domain.map(0x11000, low << 12, PAGE, READ_WRITE, true));
        group.setDomain(domain);
        assertTrue(device.dma().write(0x10ff0, bytes(0x20, 0x5a)));
        assertEquals(0x5a, at(high, 0xfff));
        assertEquals(0x5a, at(low, 0xf));
        assertEquals(0, at(low, 0x10));
        byte[] back = new byte[0x22];
        assertTrue(device.dma().read(0x10fef, MemorySegment.ofArray(back)));
        assertEquals(0, back[0]);
        assertEquals(0x5a, back[1]);
        assertEquals(0x5a, back[0x20]);
        assertEquals(0, back[0x21]);
        assertEquals(2, iommu.counters().completed());
        assertEquals(0, iommu.counters().blocked());
        assertEquals(0x22, iommu.counters().bytesRead());
        assertEquals(0x20, iommu.counters().bytesWritten());
        memory.put(low);
        memory.put(high);
    }

    @Test
    void whatIsRefusedReadsAsOnesAndIsRecorded() {
        long pfn = memory.allocate(1);
        assertFalse(device.dma().write(0x1000, bytes(4, 1)));
        assertEquals(Reason.NO_DOMAIN, lastFaultReason());

        IommuDomain domain = iommu.newDomain();
        assertEquals(0, domain.map(0x1000, pfn << 12, PAGE, IommuDomain.READ, true));
        group.setDomain(domain);
        assertFalse(device.dma().write(0x1ffe, bytes(4, 7)));
        assertEquals(3, iommu.faults().count());
        assertEquals(
                new IommuFault(1, 0x0100, 0x1ffe, true, Reason.NOT_WRITABLE),
                iommu.faults().newest().get(1));
        assertEquals(
                new IommuFault(2, 0x0100, 0x2000, true, Reason.NOT_PRESENT),
                iommu.faults().newest().get(2));
        assertFalse(iommu.faults().overflowed());
        assertEquals(
                "[DMA Write NO_PASID] Request device [0000:01:00.0] fault addr 0x1000 [fault reason 0x05] PTE Write access is"
                        + " not set",
                iommu.faults().newest().get(1).line());
        assertEquals(0, at(pfn, 0xffe));

        byte[] back = new byte[4];
        assertFalse(device.dma().read(0x1ffe, MemorySegment.ofArray(back)));
        assertArrayEquals(new byte[] {0, 0, 0, 0}, back);
        assertEquals(0x2000, lastFaultIova());
        assertFalse(device.dma().read(1L << 48, MemorySegment.ofArray(back)));
        assertEquals(Reason.BEYOND_APERTURE, lastFaultReason());
        assertFalse(device.dma().read(-2, MemorySegment.ofArray(back)));
        assertEquals(0, iommu.counters().completed());
        assertEquals(5, iommu.counters().blocked());

        assertEquals(0, domain.map(0x3000, pfn << 12, PAGE, IommuDomain.WRITE, true));
        assertFalse(device.dma().read(0x3000, MemorySegment.ofArray(back)));
        assertEquals(Reason.NOT_READABLE, lastFaultReason());
        assertTrue(device.dma().write(0x3000, bytes(4, 3)));
        memory.put(pfn);
    }

    @Test
    void theFaultLogIsBounded() {
        for (int i = 0; i < FaultLog.CAPACITY + 10; i++) {
            device.dma().write(0x1000L * i, bytes(1, 1));
        }
        assertEquals(FaultLog.CAPACITY + 10, iommu.faults().count());
        assertTrue(iommu.faults().overflowed());
        assertEquals(FaultLog.CAPACITY, iommu.faults().newest().size());
        assertEquals(10, iommu.faults().newest().getFirst().sequence());
    }

    @Test
    void anUnmapLeavesNoTranslationInTheIotlb() {
        long pfn = memory.allocate(1);
        IommuDomain domain = iommu.newDomain();
        assertEquals(0, domain.map(0x1000, pfn << 12, PAGE, READ_WRITE, true));
        group.setDomain(domain);
        assertTrue(device.dma().write(0x1000, bytes(8, 1)));
        assertEquals(PAGE, domain.unmap(0x1000, PAGE, null));
        assertFalse(device.dma().write(0x1000, bytes(8, 2)));
        assertEquals(1, at(pfn, 0));
        memory.put(pfn);
    }

    @Test
    void withoutInvalidationAStaleTranslationHitsTheNextOwner() {
        long pfn = memory.allocate(1);
        IommuDomain domain = iommu.newDomain();
        assertEquals(0, domain.map(0x1000, pfn << 12, PAGE, READ_WRITE, true));
        group.setDomain(domain);
        assertTrue(device.dma().write(0x1000, bytes(8, 1)));
        iommu.setInvalidating(false);
        assertEquals(PAGE, domain.unmap(0x1000, PAGE, null));
        assertTrue(device.dma().write(0x1000, bytes(8, 2)), "the stale entry is used");
        assertEquals(2, at(pfn, 0));
        assertEquals(1, iommu.iotlbCounters().stale());
        group.setDomain(iommu.newDomain());
        assertFalse(device.dma().write(0x1000, bytes(8, 3)), "another domain does not see it");
        memory.put(pfn);
    }

    @Test
    void aForgottenFlushIsCountedByWhatItHits() {
        long pfn = memory.allocate(1);
        memory.pin(pfn);
        IommuDomain domain = iommu.newDomain();
        assertEquals(0, domain.map(0x1000, pfn << 12, PAGE, READ_WRITE, true));
        group.setDomain(domain);
        assertTrue(device.dma().write(0x1000, bytes(8, 1)));
        assertTrue(device.dma().write(0x1000, bytes(8, 1)));
        assertEquals(1, iommu.iotlbCounters().misses());
        assertEquals(1, iommu.iotlbCounters().hits());
        assertEquals(2, iommu.counters().pages(FrameState.SHARED));
        iommu.setInvalidating(false);
        assertEquals(PAGE, domain.unmap(0x1000, PAGE, null));
        assertEquals(0, iommu.iotlbCounters().invalidations());
        memory.unpin(pfn);
        memory.put(pfn);
        assertTrue(device.dma().write(0x1000, bytes(8, 2)), "the frame is nobody's");
        assertEquals(1, iommu.counters().pages(FrameState.FREED));
        iommu.observePrivateFrames(frame -> frame == pfn);
        assertTrue(device.dma().write(0x1000, bytes(8, 3)), "it is a guest's now");
        assertEquals(1, iommu.counters().pages(FrameState.PRIVATE));
        assertEquals(2, iommu.iotlbCounters().stale());
        memory.view().asSlice(pfn << 12, PAGE).fill((byte) 0);
    }

    @Test
    void whatTheIotlbCannotHoldIsLookedUpAgain() {
        long frames = memory.allocate(512);
        IommuDomain domain = iommu.newDomain();
        assertEquals(0, domain.map(0, frames << 12, 512L * PAGE, READ_WRITE, true));
        group.setDomain(domain);
        for (int round = 0; round < 2; round++) {
            for (int page = 0; page < 512; page++) {
                assertTrue(device.dma().write((long) page * PAGE, bytes(1, 1)));
            }
        }
        assertEquals(1024, iommu.iotlbCounters().misses(), "each comes back after it was displaced");
        assertEquals(512L * PAGE, domain.unmap(0, 512L * PAGE, null));
        assertEquals(1, iommu.iotlbCounters().invalidations());
        assertFalse(device.dma().write(511L * PAGE, bytes(1, 1)));
        assertEquals(0, iommu.iotlbCounters().stale());
        memory.put(frames, 512);
    }

    @Test
    void allDevicesOfAGroupMoveAtOnce() {
        IommuDevice other = group.addDevice(0x0101);
        long pfn = memory.allocate(1);
        IommuDomain domain = iommu.newDomain();
        assertEquals(0, domain.map(0, pfn << 12, PAGE, READ_WRITE, true));
        group.setDomain(domain);
        assertTrue(device.dma().write(0, bytes(1, 1)));
        assertTrue(other.dma().write(0, bytes(1, 2)));
        group.setDomain(null);
        assertFalse(device.dma().write(0, bytes(1, 3)));
        assertFalse(other.dma().write(0, bytes(1, 3)));
        assertEquals(2, at(pfn, 0));
        memory.put(pfn);
    }

    @Test
    void noFrameIsTouchedAfterTheUnmapReturned() throws InterruptedException {
        int rounds = 400;
        IommuDomain domain = iommu.newDomain();
        group.setDomain(domain);
        AtomicBoolean stop = new AtomicBoolean();
        List<Thread> engines = List.of(
                Thread.ofPlatform().start(() -> hammer(stop, 0x55)), Thread.ofPlatform().start(() -> hammer(stop, 0x66)));
        int hits = 0;
        long[] frames = {memory.allocate(1), memory.allocate(1)};
        try {
            for (int round = 0; round < rounds; round++) {
                long pfn = frames[round & 1];
                assertEquals(0, domain.map(0x7000, pfn << 12, PAGE, READ_WRITE, true));
                for (int spins = 0; at(pfn, 0) == 0 && spins < 20_000; spins++) {
                    Thread.onSpinWait();
                }
                assertEquals(PAGE, domain.unmap(0x7000, PAGE, null));
                if (at(pfn, 0) != 0) {
                    hits++;
                }
                // The frame has another owner from here on.
                memory.view().asSlice(pfn << 12, PAGE).fill((byte) 0);
                for (int offset = 0; offset < PAGE; offset += 512) {
                    assertEquals(0, at(pfn, offset), "round " + round + ": DMA after the unmap");
                }
                long previous = frames[1 - (round & 1)];
                assertEquals(0, at(previous, 0), "round " + round + ": DMA long after the unmap");
            }
        } finally {
            stop.set(true);
            for (Thread engine : engines) {
                engine.join();
            }
        }
        assertTrue(hits > 0, "the engines never reached the frame, so the test shows nothing");
        memory.put(frames[0]);
        memory.put(frames[1]);
    }

    private void hammer(AtomicBoolean stop, int value) {
        MemorySegment page = bytes(PAGE, value);
        while (!stop.get()) {
            device.dma().write(0x7000, page);
        }
    }
}
