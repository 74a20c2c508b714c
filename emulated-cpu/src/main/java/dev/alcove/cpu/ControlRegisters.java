// SPDX-License-Identifier: Apache-2.0
package dev.alcove.cpu;

/** Control, debug and descriptor table registers (Intel SDM volume 3, 2.5). */
final class ControlRegisters {
    private static final long CR0_VALID = Core.CR0_PE
            | Core.CR0_MP
            | Core.CR0_EM
            | Core.CR0_TS
            | Core.CR0_ET
            | Core.CR0_NE
            | Core.CR0_WP
            | Core.CR0_AM
            | Core.CR0_NW
            | Core.CR0_CD
            | Core.CR0_PG;

    /** All but 5-level paging, VMX, SMX, protection keys and CET. PCID is accepted, translations are not tagged. */
    private static final long CR4_VALID = 0x370fffL;

    private final Core core;
    private final CpuState state;

    ControlRegisters(Core core) {
        this.core = core;
        state = core.state;
    }

    long read(int n) {
        return switch (n) {
            case 0 -> state.cr0;
            case 2 -> state.cr2;
            case 3 -> state.cr3;
            case 4 -> state.cr4;
            case 8 -> state.cr8;
            default -> throw core.undefined();
        };
    }

    void write(int n, long v) {
        switch (n) {
            case 0 -> write0(v);
            case 2 -> state.cr2 = v;
            case 3 -> {
                long value = (state.cr4 & 1 << 17) != 0 ? v & Long.MAX_VALUE : v;
                if (core.isLong() && value >>> 52 != 0) {
                    throw core.gp(0);
                }
                state.cr3 = value;
                core.mmu.flush();
            }
            case 4 -> write4(v);
            case 8 -> {
                if ((v & ~15) != 0) {
                    throw core.gp(0);
                }
                state.cr8 = v;
            }
            default -> throw core.undefined();
        }
    }

    private void write0(long v) {
        boolean paging = (v & Core.CR0_PG) != 0;
        boolean wasPaging = (state.cr0 & Core.CR0_PG) != 0;
        if (v >>> 32 != 0
                || (paging && (v & Core.CR0_PE) == 0)
                || ((v & Core.CR0_NW) != 0 && (v & Core.CR0_CD) == 0)) {
            throw core.gp(0);
        }
        if (paging && !wasPaging && (state.efer & Core.EFER_LME) != 0) {
            if ((state.cr4 & Core.CR4_PAE) == 0 || state.cs().l) {
                throw core.gp(0);
            }
            state.efer |= Core.EFER_LMA;
        } else if (!paging && wasPaging) {
            if (core.is64()) {
                throw core.gp(0);
            }
            state.efer &= ~Core.EFER_LMA;
        }
        state.cr0 = (v & CR0_VALID) | Core.CR0_ET;
        core.mmu.flush();
        core.updateMode();
    }

    private void write4(long v) {
        boolean needsPae = core.isLong() && (v & Core.CR4_PAE) == 0;
        if ((v & ~CR4_VALID) != 0 || needsPae) {
            throw core.gp(0);
        }
        state.cr4 = v;
        core.mmu.flush();
    }

    void debug(boolean write, int n, int register) {
        int index = n;
        if (n == 4 || n == 5) {
            if ((state.cr4 & 8) != 0) {
                throw core.undefined();
            }
            index = n + 2;
        }
        if (n > 7) {
            throw core.undefined();
        }
        if (!write) {
            core.r[register] = state.dr[index];
            return;
        }
        long v = core.r[register];
        if (!core.is64()) {
            v &= 0xffffffffL;
        }
        if (index >= 6 && v >>> 32 != 0) {
            throw core.gp(0);
        }
        state.dr[index] = switch (index) {
            case 6 -> (v & 0x1e00f) | 0xfffe0ff0L;
            case 7 -> (v & 0xffff2bffL) | 0x400;
            default -> v;
        };
    }

    /** lgdt, lidt: {@code size} is the operand size, 2 for a base of 24 bits. */
    void loadTable(boolean interrupts, long address, int size) {
        core.privileged();
        int limit = (int) core.mmu.load(address, 2);
        long base = core.is64() ? core.mmu.load64(address + 2) : core.mmu.load32(address + 2);
        if (core.is64() && base << 16 >> 16 != base) {
            throw core.gp(0);
        }
        if (size == 2) {
            base &= 0xffffff;
        }
        if (interrupts) {
            state.idtBase = base;
            state.idtLimit = limit;
        } else {
            state.gdtBase = base;
            state.gdtLimit = limit;
        }
    }

    void storeTable(boolean interrupts, long address) {
        core.mmu.probe(address, 2);
        core.mmu.probe(address + 2, core.is64() ? 8 : 4);
        core.mmu.store(address, 2, interrupts ? state.idtLimit : state.gdtLimit);
        core.mmu.store(address + 2, core.is64() ? 8 : 4, interrupts ? state.idtBase : state.gdtBase);
    }
}
