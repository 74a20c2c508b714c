// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.mm;

import dev.alcove.sys.HostSyscalls;
import dev.alcove.sys.Linux;
import dev.alcove.sys.Syscalls;
import dev.alcove.sys.UserMappings;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Proxy;
import java.util.Random;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.LongSupplier;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

/** Punches of pages that somebody uses meanwhile. */
final class PunchTest {
    private static final int RW = Linux.PROT_READ | Linux.PROT_WRITE;
    private static final Referenced NOBODY = new Referenced() {
        @Override
        public void get() {}

        @Override
        public void put() {}
    };

    /** What runs in the middle of the next look for touched pages: gets the look itself. */
    private LookHook hook = look -> look.getAsLong();

    private final PhysicalMemory memory = new PhysicalMemory(hooked(new HostSyscalls()), 1L << 20);
    private final AddressSpace mm = new AddressSpace(memory, 1L << 20);
    private final PageStore store = new PageStore(memory, 1 << 14, true);
    private final MemorySegment user = map();

    private interface LookHook {
        long run(LongSupplier look);
    }

    private Syscalls hooked(Syscalls host) {
        return (Syscalls) Proxy.newProxyInstance(
                PunchTest.class.getClassLoader(), new Class<?>[] {Syscalls.class}, (proxy, method, arguments) -> {
                    LongSupplier call = () -> {
                        try {
                            return ((Number) method.invoke(host, arguments)).longValue();
                        } catch (IllegalAccessException | InvocationTargetException e) {
                            throw new LinkageError(e.getMessage(), e);
                        }
                    };
                    boolean looks = method.getName().equals("cachestat") || method.getName().equals("lseek");
                    long answer = looks ? hook.run(call) : call.getAsLong();
                    return method.getReturnType() == int.class ? (Object) (int) answer : (Object) answer;
                });
    }

    private MemorySegment map() {
        long address = mm.mapPages(0, store.pages() << 12, RW, Linux.MAP_SHARED, NOBODY, store, 0);
        assertTrue(address > 0);
        return UserMappings.segment(address, store.pages() << 12);
    }

    @AfterEach
    void nothingIsLeft() {
        mm.exit();
        store.close();
        assertEquals(0, memory.totalPins());
        assertEquals(0, memory.framesInUse());
        memory.close();
    }

    private long read(long page) {
        return user.get(ValueLayout.JAVA_LONG, page << 12);
    }

    private void write(long page, long value) {
        user.set(ValueLayout.JAVA_LONG, page << 12, value);
    }

    private void nextLook(LookHook next) {
        hook = look -> {
            hook = LongSupplier::getAsLong;
            return next.run(look);
        };
    }

    @Test
    void whatIsWrittenBeforeTheLookGoes() {
        nextLook(look -> {
            write(5, 7);
            return look.getAsLong();
        });
        store.punch(5, 1);
        assertEquals(0, read(5));
        store.punch(5, 1);
        assertEquals(-1, store.frameIfPresent(5), "what only was read goes too");
    }

    @Test
    void whatIsWrittenBehindTheLookStays() {
        nextLook(look -> {
            long answer = look.getAsLong();
            write(5, 7);
            return answer;
        });
        store.punch(5, 1);
        assertEquals(7, read(5));
        assertTrue(store.frameIfPresent(5) >= 0, "the store finds that out");
    }

    /** In the middle of a punch another thread pins, punches and looks elsewhere, and is through before it goes on. */
    @Test
    void aPunchKeepsNobodyWaitingInOtherRegions() {
        write(5, 7);
        write(600, 8);
        write(700, 9);
        nextLook(look -> {
            Thread other = Thread.ofPlatform().start(() -> {
                long frame = store.pin(601);
                memory.unpin(frame);
                store.punch(600, 1);
                assertTrue(store.frameIfPresent(700) >= 0);
            });
            try {
                other.join();
            } catch (InterruptedException e) {
                throw new AssertionError(e);
            }
            return look.getAsLong();
        });
        store.punch(5, 1);
        assertEquals(0, read(5));
        assertEquals(0, read(600));
        assertEquals(9, read(700));
    }

    @Test
    void consecutivePinsGoAcrossRegionsAndDepartedPages() {
        long departed = store.pin(511);
        store.punch(510, 4);
        long[] frames = new long[1030];
        assertEquals(1028, store.pinShown(2, 1028, frames, 1));
        for (int i = 0; i < 1028; i++) {
            assertEquals(frames[1 + i], store.frameIfPresent(2 + i));
            assertEquals(1, memory.pins(frames[1 + i]));
            memory.unpin(frames[1 + i]);
        }
        assertTrue(departed != frames[1 + 509]);
        assertEquals(1, memory.pins(departed));
        memory.unpin(departed);
    }

    /**
     * One thread punches a range over and over, another writes to a page of it, as a user or as a device that has it pinned:
     * what is written stays unless a punch was under way at some time since the write began; a punch that begins after the
     * write takes it away; and a device sees its own page whatever happens.
     */
    @ParameterizedTest
    @ValueSource(longs = {1, 2, 3})
    void everyWriteIsBeforeOrAfterEveryPunch(long seed) throws InterruptedException {
        AtomicLong begun = new AtomicLong();
        AtomicLong ended = new AtomicLong();
        AtomicLong wanted = new AtomicLong();
        int rounds = 1000;
        Random random = new Random(seed);
        Thread puncher = Thread.ofPlatform().start(() -> {
            Random lengths = new Random(~seed);
            while (wanted.get() >= 0) {
                // Sometimes of more than a region, which is done in another way.
                long count = lengths.nextInt(8) == 0 ? 600 : 1 + lengths.nextInt(16);
                begun.incrementAndGet();
                store.punch(3, Math.max(5, count));
                ended.incrementAndGet();
                while (wanted.get() == 0) {
                    Thread.onSpinWait();
                }
                if (lengths.nextInt(3) == 0) {
                    wanted.compareAndSet(1, 0);
                }
            }
        });
        try {
            for (int round = 1; round <= rounds; round++) {
                String where = "seed " + seed + ", round " + round;
                long page = 3L + random.nextInt(5);
                long endedBefore = ended.get();
                long pinned = random.nextInt(4) == 0 ? store.pin(page) : -1;
                if (pinned >= 0) {
                    memory.segment(pinned, 1).set(ValueLayout.JAVA_LONG, 0, round);
                } else {
                    write(page, round);
                }
                long begunAfter = begun.get();
                long seen = read(page);
                if (begun.get() == endedBefore) {
                    assertEquals(round, seen, where);
                } else {
                    assertTrue(seen == round || seen == 0, where + ": " + seen);
                }
                wanted.compareAndSet(0, 1);
                while (ended.get() <= begunAfter) {
                    wanted.compareAndSet(0, 1);
                    Thread.onSpinWait();
                }
                assertEquals(0, read(page), where);
                if (pinned >= 0) {
                    assertEquals(
                            round, memory.segment(pinned, 1).get(ValueLayout.JAVA_LONG, 0), where);
                    memory.unpin(pinned);
                }
            }
        } finally {
            wanted.set(-1);
            puncher.join();
        }
    }
}
