// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.kvm;

import dev.alcove.cpu.CpuState;

/**
 * KVM_TRANSLATE: a walk of the guest's page tables as a read by the system. It marks what it passes as accessed, as the
 * processor would.
 */
final class GuestWalk {
    /** No such address. */
    static final long NONE = -1;

    private static final long PG = 1L << 31;
    private static final long PSE = 1 << 4;
    private static final long PAE = 1 << 5;
    private static final long LMA = 1 << 10;
    private static final long NX = 1 << 11;
    private static final int PRESENT = 1;
    private static final int ACCESSED = 1 << 5;
    private static final int LARGE = 1 << 7;
    private static final long ADDRESS = (1L << MemoryRegion.PHYSICAL_BITS) - 4096;

    private final StageTwo memory;
    private final CpuState state;

    GuestWalk(StageTwo memory, CpuState state) {
        this.memory = memory;
        this.state = state;
    }

    /** The guest physical address behind a linear one, or {@link #NONE}. */
    long translate(long linear) {
        if ((state.cr0 & PG) == 0) {
            return linear;
        }
        if ((state.cr4 & PAE) == 0) {
            return twoLevels(linear);
        }
        if ((state.efer & LMA) != 0) {
            return walk(linear, state.cr3 & ADDRESS, 4);
        }
        long pointer = read((state.cr3 & 0xffffffe0L) + (linear >>> 30 & 3) * 8);
        boolean valid = pointer != NONE && (pointer & PRESENT) != 0;
        return valid ? walk(linear & 0xffffffffL, pointer & ADDRESS, 2) : NONE;
    }

    private long walk(long linear, long root, int levels) {
        long table = root;
        long reserved = ~ADDRESS & ~0xfffL & ~(0x7ffL << 52);
        if ((state.efer & NX) == 0) {
            reserved |= 1L << 63;
        }
        for (int level = levels; ; level--) {
            int shift = 12 + 9 * (level - 1);
            long at = table + (linear >>> shift & 511) * 8;
            long entry = read(at);
            boolean large = level == 1 || (level < 4 && (entry & LARGE) != 0);
            long offset = (1L << shift) - 1;
            long low = large && level > 1 ? offset & ~0x1fffL : level == 4 ? LARGE : 0;
            if (entry == NONE || (entry & PRESENT) == 0 || (entry & (reserved | low)) != 0) {
                return NONE;
            }
            accessed(at, entry, 8);
            if (large) {
                return (entry & ADDRESS & ~offset) | (linear & offset);
            }
            table = entry & ADDRESS;
        }
    }

    private long twoLevels(long linear) {
        long at = (state.cr3 & 0xfffff000L) + (linear >>> 22 & 1023) * 4;
        long directory = read4(at);
        if (directory == NONE || (directory & PRESENT) == 0) {
            return NONE;
        }
        accessed(at, directory, 4);
        if ((directory & LARGE) != 0 && (state.cr4 & PSE) != 0) {
            return (directory & 0xffc00000L) | (directory & 0x1fe000L) << 19 | (linear & 0x3fffffL);
        }
        at = (directory & 0xfffff000L) + (linear >>> 12 & 1023) * 4;
        long entry = read4(at);
        if (entry == NONE || (entry & PRESENT) == 0) {
            return NONE;
        }
        accessed(at, entry, 4);
        return (entry & 0xfffff000L) | (linear & 4095);
    }

    private long read(long gpa) {
        return memory.read(gpa);
    }

    private long read4(long gpa) {
        long both = memory.read(gpa & -8L);
        return both == NONE ? NONE : both >>> ((gpa & 4) * 8) & 0xffffffffL;
    }

    private void accessed(long gpa, long entry, int size) {
        if ((entry & ACCESSED) == 0) {
            memory.write(gpa, size, entry | ACCESSED);
        }
    }
}
