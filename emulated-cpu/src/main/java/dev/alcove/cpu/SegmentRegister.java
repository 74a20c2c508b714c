// SPDX-License-Identifier: Apache-2.0
package dev.alcove.cpu;

/**
 * A segment register with its hidden part. The fields are those of {@code struct kvm_segment}
 * (arch/x86/include/uapi/asm/kvm.h).
 */
public final class SegmentRegister {
    /** Linear address of byte 0. */
    public long base;

    /** Last valid offset in bytes, unsigned, granularity already applied. */
    public int limit;

    /** What {@code mov} reads, 16 bits. */
    public int selector;

    /** Type of the descriptor, 4 bits. */
    public int type;

    /** 1 for code and data, 0 for system descriptors. */
    public int s;

    /** Descriptor privilege level, 0 to 3. */
    public int dpl;

    /** Whether the segment is present. */
    public boolean present;

    /** The bit that is free for the operating system. */
    public boolean avl;

    /** 64-bit code. */
    public boolean l;

    /** 32-bit code, or 32-bit stack. */
    public boolean db;

    /** Whether the limit came in units of 4 KiB. */
    public boolean g;

    /** Loaded with the null selector: every use through it outside 64-bit mode is #GP. */
    public boolean unusable;

    /** Copies all fields. */
    public void set(SegmentRegister other) {
        base = other.base;
        limit = other.limit;
        selector = other.selector;
        type = other.type;
        s = other.s;
        dpl = other.dpl;
        present = other.present;
        avl = other.avl;
        l = other.l;
        db = other.db;
        g = other.g;
        unusable = other.unusable;
    }

    /** Sets selector, base and limit, and the access byte and flag nibble as bits 8 to 15 and 20 to 23 of {@code attributes}. */
    public void set(int newSelector, long newBase, int newLimit, int attributes) {
        selector = newSelector;
        base = newBase;
        limit = newLimit;
        type = attributes >>> 8 & 15;
        s = attributes >>> 12 & 1;
        dpl = attributes >>> 13 & 3;
        present = (attributes >>> 15 & 1) != 0;
        avl = (attributes >>> 20 & 1) != 0;
        l = (attributes >>> 21 & 1) != 0;
        db = (attributes >>> 22 & 1) != 0;
        g = (attributes >>> 23 & 1) != 0;
        unusable = false;
    }

    /** Loads the null selector: base and limit stay behind, as on Intel processors they read as zero. */
    void clear(int newSelector) {
        set(newSelector, 0, 0, 0);
        unusable = true;
    }

    boolean isCode() {
        return s == 1 && (type & 8) != 0;
    }

    /** Whether data may be written through this segment. */
    boolean isWritable() {
        return s == 1 && (type & 10) == 2;
    }

    /** Whether data may be read through this segment. */
    boolean isReadable() {
        return s == 1 && (type & 10) != 8;
    }

    /** Whether valid offsets lie above the limit. */
    boolean isExpandDown() {
        return s == 1 && (type & 12) == 4;
    }

    /** Whether any 32-bit offset works, in both directions, and is the linear address. */
    boolean isFlat() {
        return base == 0 && limit == -1 && isWritable() && !isExpandDown() && !unusable && present;
    }
}
