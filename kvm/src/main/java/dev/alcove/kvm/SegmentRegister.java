// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kvm;

import dev.alcove.bindings.kvm.kvm_segment;
import java.lang.foreign.MemorySegment;

/**
 * A segment register with its hidden part ({@code struct kvm_segment}); bits as in a descriptor (Intel SDM 3, 3.4.5).
 *
 * @param limit last valid offset, in bytes whatever {@code granularity} says
 * @param type the four type bits
 * @param code true for code and data (the S bit), false for a system segment
 * @param big the D/B bit: 32-bit default size
 * @param longMode the L bit: 64-bit code
 * @param granularity the G bit
 */
public record SegmentRegister(
        int selector,
        long base,
        int limit,
        int type,
        boolean present,
        int dpl,
        boolean code,
        boolean big,
        boolean longMode,
        boolean granularity) {
    private static final int EXECUTE_READ_ACCESSED = 11;
    private static final int READ_WRITE_ACCESSED = 3;
    private static final int BUSY_TSS_32 = 11;

    /** A real mode segment: base is the selector times 16, limit 64 KiB. */
    public static SegmentRegister realMode(int selector, boolean code) {
        int type = code ? EXECUTE_READ_ACCESSED : READ_WRITE_ACCESSED;
        return new SegmentRegister(
                selector, (long) selector << 4, 0xffff, type, true, 0, true, false, false, false);
    }

    /** A flat 32-bit code segment: base 0, limit 4 GiB. */
    public static SegmentRegister flatCode32(int selector) {
        return new SegmentRegister(selector, 0, -1, EXECUTE_READ_ACCESSED, true, 0, true, true, false, true);
    }

    /** A flat 32-bit data segment: base 0, limit 4 GiB. */
    public static SegmentRegister flatData32(int selector) {
        return new SegmentRegister(selector, 0, -1, READ_WRITE_ACCESSED, true, 0, true, true, false, true);
    }

    /** A 64-bit code segment. */
    public static SegmentRegister code64(int selector) {
        return new SegmentRegister(selector, 0, -1, EXECUTE_READ_ACCESSED, true, 0, true, false, true, true);
    }

    /** A busy 32-bit task state segment, which VM entry wants in TR. */
    public static SegmentRegister busyTss(int selector, long base, int limit) {
        return new SegmentRegister(selector, base, limit, BUSY_TSS_32, true, 0, false, false, false, false);
    }

    static SegmentRegister read(MemorySegment raw) {
        return new SegmentRegister(
                Short.toUnsignedInt(kvm_segment.selector(raw)),
                kvm_segment.base(raw),
                kvm_segment.limit(raw),
                kvm_segment.type(raw),
                kvm_segment.present(raw) != 0,
                kvm_segment.dpl(raw),
                kvm_segment.s(raw) != 0,
                kvm_segment.db(raw) != 0,
                kvm_segment.l(raw) != 0,
                kvm_segment.g(raw) != 0);
    }

    void write(MemorySegment raw) {
        kvm_segment.selector(raw, (short) selector);
        kvm_segment.base(raw, base);
        kvm_segment.limit(raw, limit);
        kvm_segment.type(raw, (byte) type);
        kvm_segment.present(raw, bit(present));
        kvm_segment.dpl(raw, (byte) dpl);
        kvm_segment.s(raw, bit(code));
        kvm_segment.db(raw, bit(big));
        kvm_segment.l(raw, bit(longMode));
        kvm_segment.g(raw, bit(granularity));
        kvm_segment.unusable(raw, bit(!present));
    }

    private static byte bit(boolean value) {
        return (byte) (value ? 1 : 0);
    }
}
