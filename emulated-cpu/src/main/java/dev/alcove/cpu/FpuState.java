// SPDX-License-Identifier: Apache-2.0
package dev.alcove.cpu;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.util.Arrays;

/**
 * The registers of the x87 FPU and of SSE. The processor works on this very object: it is exact between two runs, and
 * changes by the owner need no announcement.
 *
 * <p>{@link #save} and {@link #load} use the 512 bytes of {@code fxsave64} (Intel SDM volume 1, 10.5.1), which is also
 * the legacy region of an XSAVE area and holds all fields of {@code struct kvm_fpu}. As on AMD processors that have the
 * feature, the pointers to the last x87 instruction are not recorded: they keep what was loaded.
 */
public final class FpuState {
    /** Size of the image of {@link #save} in bytes. */
    public static final int IMAGE_SIZE = 512;

    /** Bits of MXCSR that exist. */
    public static final int MXCSR_MASK = 0xffff;

    /** XCR0 bits: the x87 FPU, and SSE. */
    public static final int X87 = 1;

    public static final int SSE = 2;

    private static final int CONTROL_INIT = 0x37f;
    private static final int MXCSR_INIT = 0x1f80;
    private static final int STACK_AT = 32;
    private static final int XMM_AT = 160;
    private static final ValueLayout.OfShort SHORT =
            ValueLayout.JAVA_SHORT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    private static final ValueLayout.OfInt INT = ValueLayout.JAVA_INT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    private static final ValueLayout.OfLong LONG = ValueLayout.JAVA_LONG_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

    /** FCW. */
    public int control;

    /** FSW; its bits 11 to 13 are the top of the stack. */
    public int status;

    /** A bit for each physical register R0 to R7: 1 when it is not empty (the abridged tag word). */
    public int tags;

    /** FOP, FIP and FDP. */
    public int lastOpcode;

    public long lastInstruction;
    public long lastData;

    /** The significands of R0 to R7; they are the MMX registers too. */
    public final long[] significand = new long[8];

    /** Sign and exponent of R0 to R7, 16 bits. */
    public final int[] exponent = new int[8];

    public int mxcsr;

    /** XMM0 to XMM15: low half, high half. */
    public final long[] xmm = new long[32];

    /** XCR0. */
    public long xcr0 = X87;

    FpuState() {
        reset();
    }

    /** As a new vCPU of KVM has it; XCR0 is the FPU alone. */
    public void reset() {
        initialize();
        Arrays.fill(significand, 0);
        Arrays.fill(exponent, 0);
        resetSse();
        mxcsr = MXCSR_INIT;
        xcr0 = X87;
    }

    /** {@code fninit}: the registers keep their contents. */
    void initialize() {
        control = CONTROL_INIT;
        status = 0;
        tags = 0;
        lastOpcode = 0;
        lastInstruction = 0;
        lastData = 0;
    }

    /** The initial configuration of the state component x87. */
    void resetX87() {
        initialize();
        Arrays.fill(significand, 0);
        Arrays.fill(exponent, 0);
    }

    /** The initial configuration of the state component SSE, to which MXCSR does not belong. */
    void resetSse() {
        Arrays.fill(xmm, 0);
    }

    /** The components that are not in their initial configuration: {@link #X87}, {@link #SSE}. */
    public int inUse() {
        boolean x87 = control != CONTROL_INIT
                || status != 0
                || tags != 0
                || lastOpcode != 0
                || lastInstruction != 0
                || lastData != 0
                || !zero(significand);
        for (int e : exponent) {
            x87 |= e != 0;
        }
        return (x87 ? X87 : 0) | (zero(xmm) ? 0 : SSE);
    }

    private static boolean zero(long[] words) {
        for (long w : words) {
            if (w != 0) {
                return false;
            }
        }
        return true;
    }

    /** Number of the physical register that is ST(i). */
    int physical(int i) {
        return ((status >> 11) + i) & 7;
    }

    /** Writes the image of {@code fxsave64}; bytes 416 to 511 are left alone. */
    public void save(MemorySegment image) {
        saveX87(image);
        image.set(INT, 24, mxcsr);
        image.set(INT, 28, MXCSR_MASK);
        for (int i = 0; i < xmm.length; i++) {
            image.set(LONG, XMM_AT + i * 8L, xmm[i]);
        }
    }

    private void saveX87(MemorySegment image) {
        image.set(SHORT, 0, (short) control);
        image.set(SHORT, 2, (short) status);
        image.set(SHORT, 4, (short) (tags & 0xff));
        image.set(SHORT, 6, (short) lastOpcode);
        image.set(LONG, 8, lastInstruction);
        image.set(LONG, 16, lastData);
        for (int i = 0; i < 8; i++) {
            int p = physical(i);
            image.set(LONG, STACK_AT + i * 16L, significand[p]);
            image.set(LONG, STACK_AT + i * 16L + 8, exponent[p] & 0xffffL);
        }
    }

    /** Loads all registers from an image of {@link #save}. Bits of MXCSR that do not exist are ignored. */
    public void load(MemorySegment image) {
        loadX87(image);
        mxcsr = image.get(INT, 24) & MXCSR_MASK;
        loadSse(image);
    }

    void loadX87(MemorySegment image) {
        control = (image.get(SHORT, 0) & 0x1f7f) | 0x40;
        status = image.get(SHORT, 2) & 0xffff;
        tags = image.get(SHORT, 4) & 0xff;
        lastOpcode = image.get(SHORT, 6) & 0x7ff;
        lastInstruction = image.get(LONG, 8);
        lastData = image.get(LONG, 16);
        for (int i = 0; i < 8; i++) {
            int p = physical(i);
            significand[p] = image.get(LONG, STACK_AT + i * 16L);
            exponent[p] = image.get(SHORT, STACK_AT + i * 16L + 8) & 0xffff;
        }
        summarize();
    }

    void loadSse(MemorySegment image) {
        for (int i = 0; i < xmm.length; i++) {
            xmm[i] = image.get(LONG, XMM_AT + i * 8L);
        }
    }

    /** Sets the summary bits of the status word: whether an exception that is not masked waits. */
    void summarize() {
        boolean pending = (status & ~control & 0x3f) != 0;
        status = pending ? status | 0x8080 : status & ~0x8080;
    }
}
