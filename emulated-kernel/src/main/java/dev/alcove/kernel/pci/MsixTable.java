// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.pci;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.BitSet;

/**
 * The vectors of a function with MSI-X, as they lie in a BAR: the table of 16 bytes each (address, data, mask), and the
 * pending bits. A message is a write of the function's: where the machine takes interrupts it is one, elsewhere it goes
 * through the IOMMU to memory like all DMA.
 *
 * <p>Lock: the function's monitor.
 */
public final class MsixTable {
    /** Bytes of a vector in the table. */
    public static final int ENTRY_SIZE = 16;

    private static final int DATA = 8;
    private static final int CONTROL = 12;
    private static final int MASKED = 1;
    private static final long INTERRUPT_WINDOW = 0xfee0_0000L;
    private static final long INTERRUPT_WINDOW_MASK = ~0xf_ffffL;

    /** How the function writes to memory. */
    public interface MemoryWrite {
        /** Writes four bytes. */
        void write(long address, int data);
    }

    private final PciFunction function;
    private final MemoryWrite memory;
    private final int vectors;
    private final MemorySegment table;
    private final BitSet pending = new BitSet();
    private boolean enabled;
    private boolean allMasked;

    /** A table whose vectors are all masked. */
    public MsixTable(PciFunction function, int vectors, MemoryWrite memory) {
        this.function = function;
        this.vectors = vectors;
        this.memory = memory;
        this.table = MemorySegment.ofArray(new long[vectors * ENTRY_SIZE / Long.BYTES]);
        for (int vector = 0; vector < vectors; vector++) {
            table.set(ValueLayout.JAVA_INT, (long) vector * ENTRY_SIZE + CONTROL, MASKED);
        }
    }

    public int vectors() {
        return vectors;
    }

    /** Bytes of the table. */
    public int size() {
        return vectors * ENTRY_SIZE;
    }

    /** Reads 1, 2, 4 or 8 bytes of the table. */
    public long read(long offset, int size) {
        synchronized (function) {
            long value = 0;
            for (int i = 0; i < size && offset + i < table.byteSize(); i++) {
                value |= (table.get(ValueLayout.JAVA_BYTE, offset + i) & 0xffL) << (8 * i);
            }
            return value;
        }
    }

    /** Writes 1, 2, 4 or 8 bytes of the table. */
    public void write(long offset, int size, long value) {
        synchronized (function) {
            for (int i = 0; i < size && offset + i < table.byteSize(); i++) {
                table.set(ValueLayout.JAVA_BYTE, offset + i, (byte) (value >>> (8 * i)));
            }
            if (offset < table.byteSize()) {
                sendPending((int) (offset / ENTRY_SIZE));
            }
        }
    }

    /** Reads 1, 2, 4 or 8 bytes of the pending bits. */
    public long readPending(long offset, int size) {
        synchronized (function) {
            long value = 0;
            for (int bit = 0; bit < 8 * size; bit++) {
                value |= pending.get((int) (8 * offset) + bit) ? 1L << bit : 0;
            }
            return value;
        }
    }

    /** What a kernel does with a vector: says where its message goes, and masks or unmasks it. */
    public void program(int vector, long address, int data, boolean masked) {
        synchronized (function) {
            long entry = (long) vector * ENTRY_SIZE;
            table.set(ValueLayout.JAVA_LONG, entry, address);
            table.set(ValueLayout.JAVA_INT, entry + DATA, data);
            table.set(ValueLayout.JAVA_INT, entry + CONTROL, masked ? MASKED : 0);
            sendPending(vector);
        }
    }

    /** The function sends a vector's message, or keeps it as pending while it is masked. */
    public void send(int vector) {
        synchronized (function) {
            if (!enabled) {
                return;
            }
            long entry = (long) vector * ENTRY_SIZE;
            if (allMasked || (table.get(ValueLayout.JAVA_INT, entry + CONTROL) & MASKED) != 0) {
                pending.set(vector);
                return;
            }
            long address = table.get(ValueLayout.JAVA_LONG, entry);
            if ((address & INTERRUPT_WINDOW_MASK) == INTERRUPT_WINDOW) {
                function.deliver(vector);
            } else {
                memory.write(address, table.get(ValueLayout.JAVA_INT, entry + DATA));
            }
        }
    }

    /** What the capability's control word says. The caller holds the function's monitor. */
    void setControl(boolean enable, boolean maskAll) {
        enabled = enable;
        allMasked = maskAll;
        if (enable && !maskAll) {
            for (int vector = pending.nextSetBit(0); vector >= 0; vector = pending.nextSetBit(vector + 1)) {
                sendPending(vector);
            }
        }
    }

    void clearPending() {
        pending.clear();
    }

    private void sendPending(int vector) {
        boolean masked = (table.get(ValueLayout.JAVA_INT, (long) vector * ENTRY_SIZE + CONTROL) & MASKED) != 0;
        if (enabled && !allMasked && !masked && pending.get(vector)) {
            pending.clear(vector);
            send(vector);
        }
    }
}
