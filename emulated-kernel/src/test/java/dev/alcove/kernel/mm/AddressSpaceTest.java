// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.mm;

import dev.alcove.sys.Errno;
import dev.alcove.sys.HostSyscalls;
import dev.alcove.sys.Linux;
import dev.alcove.sys.UserMappings;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

final class AddressSpaceTest {
    private static final long PAGE = Linux.PAGE_SIZE;
    private static final int READ = Linux.PROT_READ;
    private static final int RW = Linux.PROT_READ | Linux.PROT_WRITE;

    private final PhysicalMemory memory = new PhysicalMemory(new HostSyscalls(), 1L << 24);
    private final AddressSpace mm = new AddressSpace(memory, 1L << 24);

    @AfterEach
    void nothingIsLeft() {
        mm.exit();
        assertEquals(0, mm.mappings());
        assertEquals(0, memory.totalPins());
        assertEquals(0, memory.framesInUse());
        memory.close();
    }

    private long anonymous(long pages, int protection) {
        long address = mm.mapAnonymous(0, pages * PAGE, protection, Linux.MAP_PRIVATE);
        assertTrue(address > 0, () -> Errno.name(address));
        return address;
    }

    private static final class Counted implements Referenced {
        final AtomicInteger count = new AtomicInteger(1);

        @Override
        public void get() {
            count.incrementAndGet();
        }

        @Override
        public void put() {
            count.decrementAndGet();
        }
    }

    private record Registers(long size) implements MmioRegion {
        @Override
        public long read(long offset, int size) {
            return offset;
        }

        @Override
        public void write(long offset, int size, long value) {}
    }

    private static final class Log implements MmuNotifier {
        final List<String> lines = new ArrayList<>();
        final long base;

        Log(long base) {
            this.base = base;
        }

        @Override
        public void invalidateStart(long start, long end) {
            lines.add("start " + (start - base) / PAGE + " " + (end - base) / PAGE);
        }

        @Override
        public void invalidateEnd(long start, long end) {
            lines.add("end " + (start - base) / PAGE + " " + (end - base) / PAGE);
        }
    }

    /** A page that is pinned while another thread unmaps it is the page that was there, or it is not pinned. */
    @Test
    @Timeout(60)
    void aPinBesideAnUnmapIsOfThePageThatWasThere() throws InterruptedException {
        long address = anonymous(32, RW);
        long elsewhere = address + 16 * PAGE;
        mm.unmap(address, 32 * PAGE);
        AtomicBoolean over = new AtomicBoolean();
        Thread mapper = Thread.ofPlatform().start(() -> {
            for (int i = 0; i < 5_000; i++) {
                show(address, 1);
                // The frame goes to the next who asks, unless somebody holds it.
                show(elsewhere, 2);
            }
            over.set(true);
        });
        long[] frames = new long[1];
        long pinned = 0;
        while (!over.get()) {
            if (mm.pin(address, 1, true, frames, 0) == 1) {
                long found = memory.segment(frames[0], 1).get(ValueLayout.JAVA_LONG, 0);
                memory.unpin(frames[0]);
                assertTrue(found == 0 || found == 1, "pinned a page with " + found);
                pinned++;
            }
        }
        mapper.join();
        assertTrue(pinned > 0, "nothing was ever pinned");
    }

    /** Maps a page, writes a number to it, and unmaps it. */
    private void show(long address, long number) {
        assertEquals(address, mm.mapAnonymous(address, PAGE, RW, Linux.MAP_PRIVATE | Linux.MAP_FIXED));
        long frame = mm.faultIn(address, true);
        memory.segment(frame, 1).set(ValueLayout.JAVA_LONG, 0, number);
        assertEquals(0, mm.unmap(address, PAGE));
    }

    @Test
    void faultsHonourRightsAndHoles() {
        long writable = anonymous(2, RW);
        long readable = anonymous(1, READ);
        long none = anonymous(1, Linux.PROT_NONE);
        assertTrue(mm.faultIn(writable + PAGE + 5, true) > 0);
        assertTrue(mm.faultIn(readable, false) > 0);
        assertEquals(-Errno.EFAULT, mm.faultIn(readable, true));
        assertEquals(-Errno.EFAULT, mm.faultIn(none, false));
        assertEquals(-Errno.EFAULT, mm.faultIn(0, false));
        assertEquals(-Errno.EFAULT, mm.faultIn(-1, true));
        assertEquals(-Errno.EFAULT, mm.faultIn(Long.MIN_VALUE, true));
        mm.unmap(writable, PAGE);
        assertEquals(-Errno.EFAULT, mm.faultIn(writable, false));
        assertTrue(mm.faultIn(writable + PAGE, true) > 0);
    }

    @Test
    void theKernelAndTheUserSeeTheSameBytes() {
        long address = anonymous(3, RW);
        MemorySegment user = UserMappings.segment(address, 3 * PAGE);
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment kernel = arena.allocate(2 * PAGE).fill((byte) 9);
            assertEquals(0, mm.copyOut(address + 100, kernel));
            assertEquals(0, user.get(ValueLayout.JAVA_BYTE, 99));
            assertEquals(9, user.get(ValueLayout.JAVA_BYTE, 100));
            assertEquals(9, user.get(ValueLayout.JAVA_BYTE, 2 * PAGE + 99));
            user.set(ValueLayout.JAVA_LONG, PAGE, 77);
            assertEquals(0, mm.copyIn(address + PAGE, kernel));
            assertEquals(77, kernel.get(ValueLayout.JAVA_LONG, 0));
            assertEquals(-Errno.EFAULT, mm.copyOut(address + 2 * PAGE, kernel));
            assertEquals(-Errno.EFAULT, mm.copyIn(0x1000, kernel));
            assertEquals(-Errno.EFAULT, mm.copyIn(-100, kernel));
        }
    }

    @Test
    void pinsAreLongTerm() {
        long address = anonymous(4, RW);
        MemorySegment user = UserMappings.segment(address, 4 * PAGE);
        user.set(ValueLayout.JAVA_LONG, PAGE, 5);
        mm.unmap(address + 3 * PAGE, PAGE);
        long[] frames = new long[8];
        assertEquals(2, mm.pin(address + PAGE, 4, true, frames, 3), "as many as there are");
        assertEquals(-Errno.EFAULT, mm.pin(address + 3 * PAGE, 1, false, frames, 0));
        assertEquals(1, memory.pins(frames[3]));
        assertEquals(5, memory.segment(frames[3], 1).get(ValueLayout.JAVA_LONG, 0));
        mm.unmap(address, 4 * PAGE);
        assertEquals(5, memory.segment(frames[3], 1).get(ValueLayout.JAVA_LONG, 0), "DMA goes on");
        assertEquals(2, memory.framesInUse());
        mm.unpin(frames[3], 1);
        mm.unpin(frames[4], 1);
        assertEquals(0, memory.framesInUse());
    }

    @Test
    void pinnedMemoryThatIsThrownAwayIsReplaced() {
        long address = anonymous(1, RW);
        MemorySegment user = UserMappings.segment(address, PAGE);
        user.set(ValueLayout.JAVA_LONG, 0, 5);
        long[] frames = new long[1];
        assertEquals(1, mm.pin(address, 1, true, frames, 0));
        assertEquals(0, mm.advise(address, PAGE, Linux.MADV_DONTNEED, (owner, offset, length) -> 0));
        assertEquals(0, user.get(ValueLayout.JAVA_LONG, 0));
        user.set(ValueLayout.JAVA_LONG, 0, 6);
        assertEquals(5, memory.segment(frames[0], 1).get(ValueLayout.JAVA_LONG, 0));
        mm.unpin(frames[0], 1);
        assertEquals(6, user.get(ValueLayout.JAVA_LONG, 0));
    }

    @Test
    void devicesAreReachedByTheKernelOnly() {
        Counted file = new Counted();
        long address = mm.mapDevice(0, 4 * PAGE, RW, Linux.MAP_SHARED, file, new Registers(8 * PAGE), PAGE);
        assertEquals(-Errno.EFAULT, mm.faultIn(address, false));
        DevicePage page = mm.deviceAt(address + PAGE + 12);
        assertNotNull(page);
        assertEquals(2 * PAGE + 12, page.offset());
        MemorySegment user = UserMappings.segment(address, 4 * PAGE);
        assertThrows(InternalError.class, () -> user.set(ValueLayout.JAVA_INT, 0, 1));
        mm.unmap(address + PAGE, PAGE);
        assertEquals(2, file.count.get(), "each part holds the file");
        assertNull(mm.deviceAt(address + PAGE));
        page = mm.deviceAt(address + 2 * PAGE);
        assertNotNull(page);
        assertEquals(3 * PAGE, page.offset());
        assertEquals(-Errno.EINVAL, mm.advise(address, PAGE, Linux.MADV_DONTNEED, (owner, offset, length) -> 0));
        mm.unmap(address, 4 * PAGE);
        assertEquals(0, file.count.get());
    }

    @Test
    void notifiersHearOfAllThatGoes() {
        PageStore store = new PageStore(memory, 8, true);
        Counted file = new Counted();
        long address = mm.mapPages(0, 6 * PAGE, RW, Linux.MAP_SHARED, file, store, 2);
        Log log = new Log(address);
        mm.register(log);
        store.punch(0, 4);
        assertEquals(List.of("start 0 2", "end 0 2"), log.lines);
        log.lines.clear();
        store.punch(0, 2);
        assertEquals(List.of(), log.lines, "pages that are not mapped here");
        mm.unmap(address + 2 * PAGE, PAGE);
        assertEquals(List.of("start 2 3", "end 2 3"), log.lines);
        log.lines.clear();
        store.punch(0, 8);
        assertEquals(List.of("start 0 2", "start 3 6", "end 0 2", "end 3 6"), log.lines);
        log.lines.clear();
        store.resize(5);
        assertEquals(List.of("start 3 6", "end 3 6"), log.lines);
        log.lines.clear();
        mm.unregister(log);
        mm.unmap(address, 6 * PAGE);
        assertEquals(List.of(), log.lines);
        assertEquals(0, file.count.get());
        store.close();
    }

    @Test
    void whatIsUnmappedRaisesSigbus() {
        long address = anonymous(2, RW);
        MemorySegment user = UserMappings.segment(address, 2 * PAGE);
        user.set(ValueLayout.JAVA_INT, PAGE, 1);
        mm.unmap(address, 2 * PAGE);
        assertThrows(InternalError.class, () -> user.set(ValueLayout.JAVA_INT, PAGE, 1));
    }

    @Test
    void chargesStopAtTheLimit() {
        assertEquals(0, mm.chargePinned(10, 10));
        assertEquals(-Errno.ENOMEM, mm.chargePinned(1, 10));
        assertEquals(-Errno.ENOMEM, mm.chargePinned(Long.MAX_VALUE, 1L << 40));
        assertEquals(0, mm.chargePinned(1, -1));
        assertEquals(11, mm.pinnedPages());
        mm.unchargePinned(11);
        assertEquals(0, mm.pinnedPages());
    }

    @Test
    void aDeadProcessHasNoMemory() {
        long address = anonymous(2, RW);
        mm.exit();
        assertTrue(mm.gone());
        assertEquals(-Errno.EFAULT, mm.faultIn(address, false));
        assertEquals(-Errno.ENOMEM, mm.mapAnonymous(0, PAGE, RW, Linux.MAP_PRIVATE));
    }

    @Test
    void randomMappingsAgreeWithAModel() {
        long seed = 0x5eed_0003;
        Random random = new Random(seed);
        int pages = 64;
        long base = anonymous(pages, RW);
        mm.unmap(base, pages * PAGE);
        // -1: nothing there; otherwise what the page must hold.
        long[] model = new long[pages];
        Arrays.fill(model, -1);
        long next = 1;
        for (int step = 0; step < 3000; step++) {
            int first = random.nextInt(pages);
            int count = 1 + random.nextInt(Math.min(12, pages - first));
            long address = base + first * PAGE;
            long length = count * PAGE;
            String where = "seed " + seed + ", step " + step;
            switch (random.nextInt(4)) {
                case 0 -> {
                    int flags = Linux.MAP_PRIVATE | Linux.MAP_FIXED;
                    assertEquals(address, mm.mapAnonymous(address, length, RW, flags), where);
                    Arrays.fill(model, first, first + count, 0);
                }
                case 1 -> {
                    assertEquals(0, mm.unmap(address, length), where);
                    Arrays.fill(model, first, first + count, -1);
                }
                case 2 -> {
                    boolean whole = true;
                    for (int i = first; i < first + count; i++) {
                        whole &= model[i] >= 0;
                        model[i] = Math.min(model[i], 0);
                    }
                    int answer = mm.advise(address, length, Linux.MADV_DONTNEED, (owner, offset, bytes) -> 0);
                    assertEquals(whole ? 0 : -Errno.ENOMEM, answer, where);
                }
                default -> {
                    for (int i = first; i < first + count; i++) {
                        if (model[i] >= 0) {
                            model[i] = next++;
                            UserMappings.segment(base + i * PAGE, PAGE).set(ValueLayout.JAVA_LONG, 16, model[i]);
                        }
                    }
                }
            }
            for (int i = 0; i < pages; i++) {
                long frame = mm.faultIn(base + i * PAGE, true);
                long found = frame < 0 ? -1 : memory.segment(frame, 1).get(ValueLayout.JAVA_LONG, 16);
                assertEquals(model[i], found, where + ", page " + i);
            }
        }
        mm.unmap(base, pages * PAGE);
        assertEquals(0, mm.mappings());
        assertEquals(0, memory.framesInUse());
    }

    /** One thread punches a file while others fault it in and hold the answer only as a notifier lets them. */
    @Test
    @Timeout(60)
    void noStaleFrameIsEverUsed() throws InterruptedException {
        long seed = 0x5eed_0004;
        int pages = 16;
        PageStore store = new PageStore(memory, pages, true);
        Counted file = new Counted();
        long address = mm.mapPages(0, pages * PAGE, RW, Linux.MAP_SHARED, file, store, 0);
        AtomicInteger invalidating = new AtomicInteger();
        AtomicLong sequence = new AtomicLong();
        MmuNotifier view = new MmuNotifier() {
            @Override
            public void invalidateStart(long start, long end) {
                invalidating.incrementAndGet();
            }

            @Override
            public void invalidateEnd(long start, long end) {
                sequence.incrementAndGet();
                invalidating.decrementAndGet();
            }
        };
        mm.register(view);
        AtomicBoolean stop = new AtomicBoolean();
        AtomicInteger wrong = new AtomicInteger();
        List<Thread> threads = new ArrayList<>();
        for (int thread = 0; thread < 2; thread++) {
            Random random = new Random(seed + thread);
            threads.add(new Thread(() -> {
                while (!stop.get()) {
                    long before = sequence.get();
                    int page = random.nextInt(pages);
                    long frame = mm.faultIn(address + page * PAGE, true);
                    boolean valid = frame == store.frameIfPresent(page);
                    if (invalidating.get() == 0 && sequence.get() == before && !valid) {
                        wrong.incrementAndGet();
                    }
                }
            }));
        }
        threads.forEach(Thread::start);
        Random random = new Random(seed);
        long[] frames = new long[1];
        for (int step = 0; step < 3000; step++) {
            int page = random.nextInt(pages);
            boolean pinned = random.nextInt(4) == 0 && mm.pin(address + page * PAGE, 1, true, frames, 0) == 1;
            store.punch(page, 1 + random.nextInt(pages - page));
            if (pinned) {
                mm.unpin(frames[0], 1);
            }
        }
        stop.set(true);
        for (Thread thread : threads) {
            thread.join();
        }
        assertEquals(0, wrong.get(), "seed " + seed);
        mm.unregister(view);
        mm.unmap(address, pages * PAGE);
        store.close();
    }
}
