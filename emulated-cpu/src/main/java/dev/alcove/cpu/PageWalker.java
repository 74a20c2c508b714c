// SPDX-License-Identifier: Apache-2.0
package dev.alcove.cpu;

import java.util.Arrays;

/**
 * Page tables: 2-level with 4 MiB pages, PAE, and 4-level with 2 MiB and 1 GiB pages (Intel SDM volume 3, chapter 4).
 *
 * <p>It also remembers which host page backs a guest physical one, so that neither a walk nor a TLB miss has to ask the
 * bus each time.
 */
final class PageWalker {
    private static final int PRESENT = 1;
    private static final int WRITABLE = 2;
    private static final int USER = 4;
    private static final int ACCESSED = 0x20;
    private static final int DIRTY = 0x40;
    private static final int LARGE = 0x80;
    private static final long NX = 1L << 63;
    private static final long FRAME = 0x000ffffffffff000L;

    private static final int ERROR_PRESENT = 1;
    private static final int ERROR_WRITE = 2;
    private static final int ERROR_USER = 4;
    private static final int ERROR_RESERVED = 8;
    private static final int ERROR_FETCH = 16;

    private static final int SIZE = 512;

    private final Core core;
    private final long[] entryAddress = new long[4];
    private final long[] entryValue = new long[4];
    private final long[][] frame = {new long[SIZE], new long[SIZE]};
    private final long[][] host = {new long[SIZE], new long[SIZE]};

    PageWalker(Core core) {
        this.core = core;
        flush();
    }

    void flush() {
        Arrays.fill(frame[0], -1);
        Arrays.fill(frame[1], -1);
    }

    /** As {@link GuestBus#page}, with a memory for pages that are there. */
    long page(long gpa, boolean write) {
        int w = write ? 1 : 0;
        int i = (int) (gpa >>> 12) & SIZE - 1;
        long f = gpa & -4096;
        if (frame[w][i] == f) {
            return host[w][i];
        }
        long page = core.bus.page(gpa, write);
        if (page > 0) {
            frame[w][i] = f;
            host[w][i] = page;
        }
        return page;
    }

    /**
     * Translates a linear address and sets the accessed and dirty bits.
     *
     * @param access {@link Mmu#READ}, {@link Mmu#WRITE} or {@link Mmu#FETCH}
     */
    long translate(long a, int access, boolean user) {
        CpuState s = core.state;
        if ((s.cr0 & Core.CR0_PG) == 0) {
            return a & 0xffffffffL;
        }
        if ((s.efer & Core.EFER_LMA) != 0) {
            if (a << 16 >> 16 != a) {
                throw core.gp(0);
            }
            return walk(a, s.cr3 & FRAME, 39, 9, access, user);
        }
        if ((s.cr4 & Core.CR4_PAE) != 0) {
            return walk(a & 0xffffffffL, s.cr3 & 0xffffffe0L, 30, 9, access, user);
        }
        return walk(a & 0xffffffffL, s.cr3 & 0xfffff000L, 22, 10, access, user);
    }

    private long walk(long a, long root, int topShift, int bits, int access, boolean user) {
        int width = bits == 9 ? 8 : 4;
        long table = root;
        long rights = WRITABLE | USER;
        long noExecute = 0;
        int levels = 0;
        int shift = topShift;
        long entry;
        long offsetMask;
        for (; ; shift -= bits) {
            long at = table + (a >>> shift & ((1 << bits) - 1)) * width;
            entry = load(at, width);
            entryAddress[levels] = at;
            entryValue[levels++] = entry;
            if ((entry & PRESENT) == 0) {
                throw pageFault(a, access, user, 0);
            }
            boolean pdpte = topShift == 30 && shift == 30;
            if (!pdpte) {
                rights &= entry;
                noExecute |= width == 8 ? entry & NX : 0;
            }
            boolean large = shift != 12 && (entry & LARGE) != 0 && (width == 8 || (core.state.cr4 & Core.CR4_PSE) != 0);
            boolean reserved = width == 8 && !pdpte && (entry & NX) != 0 && (core.state.efer & Core.EFER_NXE) == 0;
            if (large && (shift == 39 || pdpte)) {
                reserved = true;
            } else if (large && width == 8) {
                reserved |= (entry & ((1L << shift) - 1) & ~0x1fffL) != 0;
            }
            if (reserved) {
                throw pageFault(a, access, user, ERROR_PRESENT | ERROR_RESERVED);
            }
            if (large || shift == 12) {
                offsetMask = (1L << shift) - 1;
                break;
            }
            table = width == 8 ? entry & FRAME : entry & 0xfffff000L;
        }
        check(a, access, user, rights, noExecute);
        for (int i = 0; i < levels; i++) {
            boolean leaf = i == levels - 1;
            int need = leaf && access == Mmu.WRITE ? ACCESSED | DIRTY : ACCESSED;
            boolean pdpte = topShift == 30 && i == 0;
            if (!pdpte && (entryValue[i] & need) != need) {
                mark(entryAddress[i], width, entryValue[i], need);
            }
        }
        if (width == 4 && shift == 22) {
            long high = (entry >>> 13 & 0xff) << 32; // PSE-36
            return high | (entry & 0xffc00000L) | (a & offsetMask);
        }
        return ((width == 8 ? entry & FRAME : entry & 0xfffff000L) & ~offsetMask) | (a & offsetMask);
    }

    private void check(long a, int access, boolean user, long rights, long noExecute) {
        CpuState s = core.state;
        boolean userPage = (rights & USER) != 0;
        boolean allowed;
        if (user) {
            allowed = userPage && (access != Mmu.WRITE || (rights & WRITABLE) != 0);
        } else {
            allowed = access != Mmu.WRITE || (rights & WRITABLE) != 0 || (s.cr0 & Core.CR0_WP) == 0;
            if (userPage && access == Mmu.FETCH && (s.cr4 & Core.CR4_SMEP) != 0) {
                allowed = false;
            }
            if (userPage
                    && access != Mmu.FETCH
                    && (s.cr4 & Core.CR4_SMAP) != 0
                    && ((core.flags.system & Flags.AC) == 0 || core.cpl == 3)) {
                allowed = false;
            }
        }
        if (access == Mmu.FETCH && noExecute != 0) {
            allowed = false;
        }
        if (!allowed) {
            throw pageFault(a, access, user, ERROR_PRESENT);
        }
    }

    private Fault pageFault(long a, int access, boolean user, int bits) {
        int error = bits;
        if (access == Mmu.WRITE) {
            error |= ERROR_WRITE;
        }
        if (user) {
            error |= ERROR_USER;
        }
        boolean fetchBit = (core.state.efer & Core.EFER_NXE) != 0 || (core.state.cr4 & Core.CR4_SMEP) != 0;
        if (access == Mmu.FETCH && fetchBit) {
            error |= ERROR_FETCH;
        }
        core.state.cr2 = a;
        return core.fault(Fault.PF, error);
    }

    private long load(long gpa, int width) {
        long page = page(gpa, false);
        if (page == GuestBus.BLOCKED) {
            throw core.leave(new CpuExit.MemoryFault(gpa, false, false));
        }
        if (page <= 0) {
            return width == 8 ? -1 : 0xffffffffL;
        }
        return HostMemory.load(page + (gpa & 4095), width);
    }

    /** Sets bits in an entry, unless it was changed meanwhile: then this walk was simply the earlier one. */
    private void mark(long gpa, int width, long seen, int bits) {
        long page = page(gpa, true);
        if (page == GuestBus.BLOCKED) {
            throw core.leave(new CpuExit.MemoryFault(gpa, true, false));
        }
        if (page <= 0) {
            return;
        }
        long at = page + (gpa & 4095);
        long now = seen;
        while (((now ^ seen) & ~(long) (ACCESSED | DIRTY)) == 0
                && !HostMemory.compareAndSet(at, width, now, now | bits)) {
            now = HostMemory.load(at, width);
        }
    }
}
