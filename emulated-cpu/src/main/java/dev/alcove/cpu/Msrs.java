// SPDX-License-Identifier: Apache-2.0
package dev.alcove.cpu;

/** The model specific registers that the processor holds itself; the bus knows the others. */
final class Msrs {
    private final Core core;
    private final CpuState s;
    private final long[] box = new long[1];

    Msrs(Core core) {
        this.core = core;
        s = core.state;
    }

    long read(int index) {
        return switch (index) {
            case 0x10 -> core.bus.tsc() + s.tscOffset;
            case 0x174 -> s.sysenterCs;
            case 0x175 -> s.sysenterEsp;
            case 0x176 -> s.sysenterEip;
            case 0x277 -> s.pat;
            case 0xc0000080 -> s.efer;
            case 0xc0000081 -> s.star;
            case 0xc0000082 -> s.lstar;
            case 0xc0000083 -> s.cstar;
            case 0xc0000084 -> s.fmask;
            case 0xc0000100 -> s.segment[CpuState.FS].base;
            case 0xc0000101 -> s.segment[CpuState.GS].base;
            case 0xc0000102 -> s.kernelGsBase;
            case 0xc0000103 -> s.tscAux;
            default -> {
                if (!core.bus.msrRead(index, box)) {
                    throw core.gp(0);
                }
                yield box[0];
            }
        };
    }

    private long canonical(long v) {
        if (v << 16 >> 16 != v) {
            throw core.gp(0);
        }
        return v;
    }

    void write(int index, long v) {
        switch (index) {
            case 0x10 -> s.tscOffset = v - core.bus.tsc();
            case 0x174 -> s.sysenterCs = v & 0xffffffffL;
            case 0x175 -> s.sysenterEsp = canonical(v);
            case 0x176 -> s.sysenterEip = canonical(v);
            case 0x277 -> writePat(v);
            case 0xc0000080 -> writeEfer(v);
            case 0xc0000081 -> s.star = v;
            case 0xc0000082 -> s.lstar = canonical(v);
            case 0xc0000083 -> s.cstar = canonical(v);
            case 0xc0000084 -> s.fmask = v & 0xffffffffL;
            case 0xc0000100 -> s.segment[CpuState.FS].base = canonical(v);
            case 0xc0000101 -> s.segment[CpuState.GS].base = canonical(v);
            case 0xc0000102 -> s.kernelGsBase = canonical(v);
            case 0xc0000103 -> s.tscAux = v & 0xffffffffL;
            default -> {
                if (!core.bus.msrWrite(index, v)) {
                    throw core.gp(0);
                }
            }
        }
    }

    private void writePat(long v) {
        for (int i = 0; i < 64; i += 8) {
            long type = v >>> i & 255;
            if (type > 7 || type == 2 || type == 3) {
                throw core.gp(0);
            }
        }
        s.pat = v;
    }

    private void writeEfer(long v) {
        long valid = Core.EFER_SCE | Core.EFER_LME | Core.EFER_LMA | Core.EFER_NXE;
        boolean toggles = ((v ^ s.efer) & Core.EFER_LME) != 0;
        if ((v & ~valid) != 0 || (toggles && (s.cr0 & Core.CR0_PG) != 0)) {
            throw core.gp(0);
        }
        s.efer = (v & ~Core.EFER_LMA) | (s.efer & Core.EFER_LMA);
        core.mmu.flush();
        core.updateMode();
    }
}
