// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.mm;

import dev.alcove.sys.Errno;
import dev.alcove.sys.HostSyscalls;
import dev.alcove.sys.Linux;
import dev.alcove.sys.UserMappings;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

final class PageStoreTest {
    private static final int RW = Linux.PROT_READ | Linux.PROT_WRITE;
    private static final Referenced NOBODY = new Referenced() {
        @Override
        public void get() {}

        @Override
        public void put() {}
    };

    private final PhysicalMemory memory = new PhysicalMemory(new HostSyscalls(), 1L << 24);
    private final AddressSpace mm = new AddressSpace(memory, 1L << 24);

    @AfterEach
    void nothingIsLeft() {
        mm.exit();
        assertEquals(0, memory.totalPins());
        assertEquals(0, memory.framesInUse());
        memory.close();
    }

    private MemorySegment map(PageStore store, long first, long pages) {
        long address = mm.mapPages(0, pages << 12, RW, Linux.MAP_SHARED, NOBODY, store, first);
        assertTrue(address > 0, () -> Errno.name(address));
        return UserMappings.segment(address, pages << 12);
    }

    private long read(long pfn) {
        return memory.segment(pfn, 1).get(ValueLayout.JAVA_LONG, 0);
    }

    private void write(long pfn, long value) {
        memory.segment(pfn, 1).set(ValueLayout.JAVA_LONG, 0, value);
    }

    private static long read(MemorySegment user, long page) {
        return user.get(ValueLayout.JAVA_LONG, page << 12);
    }

    private static void write(MemorySegment user, long page, long value) {
        user.set(ValueLayout.JAVA_LONG, page << 12, value);
    }

    private void done(PageStore store) {
        mm.exit();
        store.close();
    }

    @Test
    void pagesComeOnUse() {
        PageStore store = new PageStore(memory, 100, true);
        assertEquals(-1, store.frameIfPresent(5));
        assertEquals(0, store.present());
        long frame = store.frame(5);
        assertEquals(frame, store.frameIfPresent(5));
        assertEquals(frame + 1, store.frame(6), "neighbours are neighbours");
        assertEquals(2, store.present());
        assertEquals(-Errno.EFAULT, store.frame(100));
        assertEquals(-Errno.EFAULT, store.frame(-1));
        done(store);
    }

    @Test
    void whatOnlyTheUserTouchedIsThereToo() {
        PageStore store = new PageStore(memory, 100, true);
        MemorySegment user = map(store, 0, 100);
        assertEquals(0, store.present());
        write(user, 40, 7);
        assertEquals(1, store.present());
        assertEquals(40, store.nextPresent(0, 100));
        assertEquals(7, read(store.frameIfPresent(40)));
        assertEquals(41, store.nextAbsent(40, 100));
        store.punch(0, 100);
        assertEquals(0, store.present());
        assertEquals(-1, store.frameIfPresent(40));
        assertEquals(0, read(user, 40));
        done(store);
    }

    @Test
    void aPinnedFrameIsLeftToThePin() {
        PageStore store = new PageStore(memory, 16, true);
        MemorySegment user = map(store, 0, 16);
        MemorySegment alias = map(store, 2, 4);
        write(user, 3, 11);
        long dma = store.pin(3);
        store.punch(0, 16);
        assertEquals(11, read(dma), "the device still has its frame");
        assertEquals(0, memory.references(dma));
        assertEquals(0, read(user, 3), "the process has a fresh page");
        write(dma, 12);
        assertEquals(0, read(user, 3), "which the device does not reach");
        write(user, 3, 13);
        assertEquals(13, read(alias, 1));
        long fresh = store.frame(3);
        assertNotEquals(dma, fresh);
        assertEquals(13, read(fresh));
        assertEquals(12, read(dma));

        memory.pin(fresh);
        store.punch(3, 1);
        assertEquals(13, read(fresh));
        assertEquals(0, read(user, 3));
        assertNotEquals(fresh, store.frame(3));
        memory.unpin(fresh);
        memory.unpin(dma);
        long other = memory.allocate(1);
        assertEquals(0, read(other));
        memory.put(other);
        write(user, 3, 14);
        assertEquals(14, read(store.frame(3)));
        done(store);
    }

    @Test
    void aPinOutlivesTheStore() {
        PageStore store = new PageStore(memory, 4, true);
        long frame = store.pin(1);
        write(frame, 5);
        done(store);
        assertEquals(1, memory.framesInUse());
        assertEquals(5, read(frame));
        memory.unpin(frame);
    }

    @Test
    void enormousStoresCostNothing() {
        PageStore store = new PageStore(memory, 1L << 50, true);
        long last = store.frame((1L << 50) - 1);
        long first = store.frame(0);
        assertTrue(first > 0 && last > 0);
        assertEquals(2, store.present());
        assertEquals((1L << 50) - 1, store.nextPresent(1, 1L << 50));
        store.punch(0, 1L << 50);
        assertEquals(0, store.present());
        done(store);
    }

    @Test
    void resizeShowsInMappings() {
        PageStore store = new PageStore(memory, 4, true);
        MemorySegment user = map(store, 0, 8);
        write(user, 3, 1);
        assertThrows(InternalError.class, () -> write(user, 4, 1));
        store.resize(8);
        write(user, 7, 2);
        assertEquals(2, read(store.frame(7)));
        store.resize(2);
        assertThrows(InternalError.class, () -> write(user, 3, 1));
        store.resize(1L << 20);
        assertEquals(0, read(user, 3));
        assertEquals(0, read(user, 7));
        assertTrue(store.frame((1L << 20) - 1) > 0);
        store.resize(0);
        assertThrows(InternalError.class, () -> write(user, 0, 1));
        done(store);
    }

    @Test
    void aPrivateStoreIsMappedButNotAccessible() {
        PageStore store = new PageStore(memory, 4, false);
        MemorySegment user = map(store, 0, 4);
        assertThrows(InternalError.class, () -> write(user, 0, 1));
        assertEquals(-Errno.EFAULT, mm.faultIn(user.address(), false));
        assertTrue(store.frame(0) > 0, "the kernel has the page all the same");
        assertThrows(InternalError.class, () -> write(user, 0, 1));
        done(store);
    }

    @Test
    void fragmentedMemoryServesSmallPieces() {
        try (PhysicalMemory small = new PhysicalMemory(new HostSyscalls(), 64)) {
            for (int i = 1; i < 64; i++) {
                assertEquals(i, small.allocate(1));
            }
            for (int i = 1; i < 64; i += 2) {
                small.put(i);
            }
            PageStore store = new PageStore(small, 64, true);
            int got = 0;
            for (int i = 0; i < 64; i++) {
                long frame = store.frame(i);
                if (frame > 0) {
                    assertEquals(1, frame % 2);
                    got++;
                } else {
                    assertEquals(-Errno.ENOMEM, frame);
                }
            }
            assertEquals(32, got);
            store.close();
            assertEquals(31, small.framesInUse());
        }
    }

    @Test
    void theFramesOfAHugePageAreContiguousAndAligned() {
        for (HugePages pool : memory.hugePools().all()) {
            long odd = memory.allocate(1);
            PageStore store = PageStore.huge(memory, pool, 2 * pool.frames());
            for (long page = 0; page < 2; page++) {
                long first = store.frame(page * pool.frames() + 5) - 5;
                assertEquals(0, first % pool.frames());
                assertEquals(first, store.frame(page * pool.frames()));
                assertEquals(first + pool.frames() - 1, store.frame((page + 1) * pool.frames() - 1));
            }
            assertEquals(2, store.presentUnits());
            store.close();
            memory.put(odd);
        }
    }
}
