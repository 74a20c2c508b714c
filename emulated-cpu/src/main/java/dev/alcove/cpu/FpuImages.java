// SPDX-License-Identifier: Apache-2.0
package dev.alcove.cpu;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;

/**
 * fxsave, fxrstor, xsave, xsaveopt, xrstor in the standard format, ldmxcsr, stmxcsr, xgetbv and xsetbv (Intel SDM
 * volume 1, chapter 13). Where a part of the memory operand cannot be accessed, nothing has changed.
 */
final class FpuImages {
    static final int XSAVE_SIZE = 576;

    private static final int XRSTOR = 5;
    private static final int WIDE_CODE = 512;
    private static final int HEADER = 512;
    private static final ValueLayout.OfInt INT = ValueLayout.JAVA_INT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    private static final ValueLayout.OfLong LONG = ValueLayout.JAVA_LONG_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

    private final Core core;
    private final CpuState state;
    private final FpuState fpu;
    private final MemorySegment image = MemorySegment.ofArray(new byte[XSAVE_SIZE]);

    FpuImages(Core core) {
        this.core = core;
        state = core.state;
        fpu = state.fpu;
    }

    /** Executes an instruction of group 15: bits 0 to 2 of {@code hi} are its number, bit 9 says 64-bit mode. */
    void execute(int hi, long address) {
        int kind = hi & 7;
        switch (kind) {
            case 2, 3 -> {
                VectorOps.available(core);
                if (kind == 3) {
                    core.mmu.store32(address, fpu.mxcsr);
                } else {
                    int v = (int) core.mmu.load32(address);
                    fpu.mxcsr = checkedMxcsr(v);
                }
            }
            case 0, 1 -> {
                if ((state.cr0 & (Core.CR0_TS | Core.CR0_EM)) != 0) {
                    throw core.fault(Fault.NM, -1);
                }
                align(address, 16);
                if (kind == 0) {
                    fxsave(address, (hi & WIDE_CODE) != 0);
                } else {
                    fxrstor(address, (hi & WIDE_CODE) != 0);
                }
            }
            default -> {
                if ((state.cr4 & Core.CR4_OSXSAVE) == 0) {
                    throw core.undefined();
                }
                if ((state.cr0 & Core.CR0_TS) != 0) {
                    throw core.fault(Fault.NM, -1);
                }
                align(address, 64);
                int wanted = (int) (core.r[0] & fpu.xcr0);
                if (kind == XRSTOR) {
                    xrstor(address, wanted, (hi & WIDE_CODE) != 0);
                } else {
                    xsave(address, wanted, (hi & WIDE_CODE) != 0);
                }
            }
        }
    }

    private void align(long address, int to) {
        if ((address & (to - 1)) != 0) {
            throw core.gp(0);
        }
    }

    private int checkedMxcsr(int v) {
        if ((v & ~FpuState.MXCSR_MASK) != 0) {
            throw core.gp(0);
        }
        return v;
    }

    private static int xmmEnd(boolean wide) {
        return wide ? 416 : 288;
    }

    private void store(long address, int from, int to) {
        for (int i = from; i < to; i += 8) {
            core.mmu.store64(address + i, image.get(LONG, i));
        }
    }

    private void load(long address, int to) {
        for (int i = 0; i < to; i += 8) {
            image.set(LONG, i, core.mmu.load64(address + i));
        }
    }

    private void fxsave(long address, boolean wide) {
        core.mmu.probe(address, FpuState.IMAGE_SIZE);
        fpu.save(image);
        store(address, 0, xmmEnd(wide));
    }

    private void fxrstor(long address, boolean wide) {
        load(address, FpuState.IMAGE_SIZE);
        int mxcsr = checkedMxcsr(image.get(INT, 24));
        fpu.loadX87(image);
        fpu.mxcsr = mxcsr;
        loadXmm(wide);
    }

    private void loadXmm(boolean wide) {
        int count = wide ? 32 : 16;
        for (int i = 0; i < count; i++) {
            fpu.xmm[i] = image.get(LONG, 160 + i * 8L);
        }
    }

    private void xsave(long address, int wanted, boolean wide) {
        core.mmu.probe(address, XSAVE_SIZE);
        long before = core.mmu.load64(address + HEADER);
        fpu.save(image);
        if ((wanted & FpuState.X87) != 0) {
            store(address, 0, 24);
            store(address, 32, 160);
        }
        if ((wanted & FpuState.SSE) != 0) {
            store(address, 24, 32);
            store(address, 160, xmmEnd(wide));
        }
        core.mmu.store64(address + HEADER, (before & ~(long) wanted) | (fpu.inUse() & wanted));
    }

    private void xrstor(long address, int wanted, boolean wide) {
        load(address, XSAVE_SIZE);
        long present = image.get(LONG, HEADER);
        if ((present & ~fpu.xcr0) != 0 || image.get(LONG, HEADER + 8) != 0 || image.get(LONG, HEADER + 16) != 0) {
            throw core.gp(0);
        }
        if ((wanted & FpuState.SSE) != 0) {
            fpu.mxcsr = checkedMxcsr(image.get(INT, 24));
            if ((present & FpuState.SSE) != 0) {
                loadXmm(wide);
            } else {
                java.util.Arrays.fill(fpu.xmm, 0, wide ? 32 : 16, 0);
            }
        }
        if ((wanted & FpuState.X87) != 0) {
            if ((present & FpuState.X87) != 0) {
                fpu.loadX87(image);
            } else {
                fpu.resetX87();
            }
        }
    }

    /** xgetbv and xsetbv: only XCR0 is there. */
    void extendedControl(boolean write) {
        if ((state.cr4 & Core.CR4_OSXSAVE) == 0) {
            throw core.undefined();
        }
        long[] r = core.r;
        if (write) {
            core.privileged();
            long v = (r[2] & 0xffffffffL) << 32 | (r[0] & 0xffffffffL);
            if ((int) r[1] != 0 || (v & FpuState.X87) == 0 || (v & ~(long) (FpuState.X87 | FpuState.SSE)) != 0) {
                throw core.gp(0);
            }
            fpu.xcr0 = v;
        } else {
            if ((int) r[1] != 0) {
                throw core.gp(0);
            }
            r[0] = fpu.xcr0 & 0xffffffffL;
            r[2] = fpu.xcr0 >>> 32;
        }
    }
}
