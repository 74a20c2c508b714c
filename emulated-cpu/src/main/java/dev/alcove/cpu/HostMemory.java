// SPDX-License-Identifier: Apache-2.0
package dev.alcove.cpu;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.VarHandle;
import java.nio.ByteOrder;

/**
 * Raw host memory by absolute address: the only class of the processor that touches it. The addresses come from
 * {@link GuestBus#page}, whose owner keeps the memory mapped; nothing here can check them.
 *
 * <p>Memory ordering. Guests expect x86-TSO: loads stay in order, stores stay in order, a store stays behind earlier
 * loads. Guest accesses may be unaligned, for which the access modes of a {@link VarHandle} other than plain ones do
 * not exist, so each plain load is followed by an acquire fence and each plain store preceded by a release fence.
 * On x86 both are only barriers to the compiler. An aligned plain access of up to 8 bytes is one machine access, hence
 * single-copy atomic. Locked operations are compare-and-set loops on the aligned word around the operand; an operand
 * that crosses an 8-byte word falls back to {@link #SPLIT_LOCK}, which excludes other such operations only.
 */
@SuppressWarnings("restricted") // guest memory is reached by absolute address, through one constant segment
final class HostMemory {
    private static final MemorySegment ALL = MemorySegment.NULL.reinterpret(Long.MAX_VALUE);
    private static final ValueLayout.OfShort SHORT =
            ValueLayout.JAVA_SHORT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    private static final ValueLayout.OfInt INT = ValueLayout.JAVA_INT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    private static final ValueLayout.OfLong LONG = ValueLayout.JAVA_LONG_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    private static final VarHandle ATOMIC_LONG =
            ValueLayout.JAVA_LONG.withOrder(ByteOrder.LITTLE_ENDIAN).varHandle();
    private static final VarHandle ATOMIC_INT =
            ValueLayout.JAVA_INT.withOrder(ByteOrder.LITTLE_ENDIAN).varHandle();

    /** Held by locked operations that no single compare-and-set can do; shared by all processors of the JVM. */
    static final Object SPLIT_LOCK = new Object();

    private HostMemory() {}

    static int load8(long address) {
        int v = ALL.get(ValueLayout.JAVA_BYTE, address) & 0xff;
        VarHandle.acquireFence();
        return v;
    }

    static int load16(long address) {
        int v = ALL.get(SHORT, address) & 0xffff;
        VarHandle.acquireFence();
        return v;
    }

    static long load32(long address) {
        long v = ALL.get(INT, address) & 0xffffffffL;
        VarHandle.acquireFence();
        return v;
    }

    static long load64(long address) {
        long v = ALL.get(LONG, address);
        VarHandle.acquireFence();
        return v;
    }

    static void store8(long address, long value) {
        VarHandle.releaseFence();
        ALL.set(ValueLayout.JAVA_BYTE, address, (byte) value);
    }

    static void store16(long address, long value) {
        VarHandle.releaseFence();
        ALL.set(SHORT, address, (short) value);
    }

    static void store32(long address, long value) {
        VarHandle.releaseFence();
        ALL.set(INT, address, (int) value);
    }

    static void store64(long address, long value) {
        VarHandle.releaseFence();
        ALL.set(LONG, address, value);
    }

    /** Loads 1, 2, 4 or 8 bytes, zero-extended. */
    static long load(long address, int size) {
        return switch (size) {
            case 1 -> load8(address);
            case 2 -> load16(address);
            case 4 -> load32(address);
            default -> load64(address);
        };
    }

    /** Stores the low 1, 2, 4 or 8 bytes. */
    static void store(long address, int size, long value) {
        switch (size) {
            case 1 -> store8(address, value);
            case 2 -> store16(address, value);
            case 4 -> store32(address, value);
            default -> store64(address, value);
        }
    }

    /** Copies without regard to overlap. */
    static void copy(long from, long to, long bytes) {
        VarHandle.releaseFence();
        MemorySegment.copy(ALL, from, ALL, to, bytes);
        VarHandle.acquireFence();
    }

    static void fill(long address, long bytes, byte value) {
        VarHandle.releaseFence();
        ALL.asSlice(address, bytes).fill(value);
    }

    static void read(long address, byte[] into, int at, int bytes) {
        MemorySegment.copy(ALL, ValueLayout.JAVA_BYTE, address, into, at, bytes);
    }

    static boolean equal(long address, byte[] bytes, int at, int count) {
        for (int i = 0; i < count; i++) {
            if (ALL.get(ValueLayout.JAVA_BYTE, address + i) != bytes[at + i]) {
                return false;
            }
        }
        return true;
    }

    /** Whether {@link #compareAndSet} is one atomic access for such an operand. */
    static boolean atomic(long address, int size) {
        return (address & 7) + size <= 8;
    }

    /**
     * Replaces {@code expected} by {@code value} if that is what memory holds, as one atomic access with full fence.
     * The operand must lie within an aligned 8-byte word.
     */
    static boolean compareAndSet(long address, int size, long expected, long value) {
        if (size == 8) {
            return ATOMIC_LONG.compareAndSet(ALL, address, expected, value);
        }
        if (size == 4 && (address & 3) == 0) {
            return ATOMIC_INT.compareAndSet(ALL, address, (int) expected, (int) value);
        }
        long word = address & -8;
        int shift = (int) (address & 7) * 8;
        long mask = ((1L << (size * 8)) - 1) << shift;
        for (;;) {
            long old = (long) ATOMIC_LONG.getVolatile(ALL, word);
            if (((old ^ (expected << shift)) & mask) != 0) {
                return false;
            }
            if (ATOMIC_LONG.compareAndSet(ALL, word, old, (old & ~mask) | ((value << shift) & mask))) {
                return true;
            }
        }
    }
}
