// SPDX-License-Identifier: Apache-2.0
package dev.alcove.cpu;

/** The opcodes behind 0x0f, 0x0f 0x38 and 0x0f 0x3a (Intel SDM volume 2, appendix A, tables ). */
final class TwoByteMap {
    private static final int T0 = Core.T0;
    private static final int T1 = Core.T1;
    private static final int ZERO = Core.ZERO;

    private final Decoder x;
    private final VectorMap vectors;

    TwoByteMap(Decoder decoder) {
        x = decoder;
        vectors = new VectorMap(decoder);
    }

    void decode() {
        int opcode = x.fetch8();
        switch (opcode >> 4) {
            case 0 -> decode00(opcode);
            case 1 -> decode10(opcode);
            case 2 -> decode20(opcode);
            case 3 -> decode30(opcode);
            case 4 -> {
                x.modRm();
                int s = x.readRm(x.operandSize, T0);
                int op = x.operandSize == 8 ? Op.CMOV64 : x.operandSize == 4 ? Op.CMOV32 : Op.CMOV16;
                x.emit(op, x.reg, s, opcode & 15, 0);
            }
            case 8 -> x.jumpIf(opcode & 15, x.immediate(x.stackSize()));
            case 9 -> {
                x.modRm();
                if (x.isMemory()) {
                    x.emit(Op.SETCC, T0, 0, opcode & 15, 0);
                    x.store(T0, 1);
                } else if (x.source(x.rm, 1, T0) == T0) {
                    x.emit(Op.SETCC, T0, 0, opcode & 15, 0);
                    x.emit(Op.SET_HIGH, x.rm - 4, T0, 0, 0);
                } else {
                    x.emit(Op.SETCC, x.rm, 0, opcode & 15, 0);
                }
            }
            case 10 -> decodeA0(opcode);
            case 11 -> decodeB0(opcode);
            case 12 -> decodeC0(opcode);
            default -> vector(opcode);
        }
    }

    private void vector(int opcode) {
        if (opcode == 0x77 && x.repeat == 0 && !x.operandPrefix) {
            x.emit(Op.FPU, 0, 0, 3, 0);
        } else {
            vectors.decode(0, opcode);
        }
    }

    private void synchronize() {
        x.ends = true;
        x.sync = true;
    }

    private void decode00(int opcode) {
        switch (opcode) {
            case 0x00 -> group6();
            case 0x01 -> group7();
            case 0x02, 0x03 -> {
                x.modRm();
                int s = x.readRm(2, T0);
                x.emit(opcode == 2 ? Op.LAR : Op.LSL, x.reg, s, x.operandSize, 0);
            }
            case 0x05 -> end(Op.SYSCALL);
            case 0x06 -> {
                x.emit(Op.CLTS, 0, 0, 0, 0);
                synchronize();
            }
            case 0x07 -> end(Op.SYSRET);
            case 0x08, 0x09 -> {
                x.emit(Op.WBINVD, 0, 0, 0, 0);
                synchronize();
            }
            case 0x0d -> x.modRm(); // prefetch
            default -> throw x.undefined();
        }
    }

    private void end(int op) {
        x.emit(op, 0, 0, x.operandSize, x.next());
        x.ends = true;
    }

    private void group6() {
        x.modRm();
        switch (x.reg & 7) {
            case 0, 1 -> {
                x.emit(Op.UMIP, 0, 0, 1, 0);
                x.emit(Op.SEG_READ, T0, 0, (x.reg & 7) + 6, 0);
                x.writeRm(x.isMemory() ? 2 : x.operandSize, T0);
            }
            case 2, 3 -> {
                int s = x.readRm(2, T0);
                x.emit((x.reg & 7) == 2 ? Op.LLDT : Op.LTR, 0, s, 0, 0);
            }
            case 4, 5 -> {
                int s = x.readRm(2, T0);
                x.emit(Op.VERR, 0, s, x.reg & 1, 0);
            }
            default -> throw x.undefined();
        }
    }

    private void group7() {
        x.modRm();
        int kind = x.reg & 7;
        if (x.isMemory()) {
            int width = x.code64 ? 8 : x.operandSize;
            switch (kind) {
                case 0 -> x.emitMemory(Op.SGDT, 0, 0, width, 10, true);
                case 1 -> x.emitMemory(Op.SIDT, 0, 0, width, 10, true);
                case 2 -> x.emitMemory(Op.LGDT, 0, 0, width, 10, false);
                case 3 -> x.emitMemory(Op.LIDT, 0, 0, width, 10, false);
                case 7 -> {
                    x.emitInvalidate();
                    synchronize();
                }
                default -> machineStatus(kind);
            }
            return;
        }
        switch (kind << 3 | (x.rm & 7)) {
            case 1, 3 << 3 | 1 -> { // vmcall, vmmcall
                x.emit(Op.VMCALL, 0, 0, 0, x.next());
                synchronize();
            }
            case 1 << 3 | 2, 1 << 3 | 3 -> {
                x.emit(Op.AC, 0, 0, x.rm & 1, 0);
                synchronize();
            }
            case 2 << 3, 2 << 3 | 1 -> { // xgetbv, xsetbv
                if (x.operandPrefix || x.repeat != 0) {
                    throw x.undefined();
                }
                x.emit(Op.XCR, 0, 0, x.rm & 1, 0);
            }
            case 7 << 3 -> {
                if (!x.code64) {
                    throw x.undefined();
                }
                x.emit(Op.SWAPGS, 0, 0, 0, 0);
            }
            case 7 << 3 | 1 -> x.emit(Op.RDTSCP, 0, 0, 0, 0);
            default -> machineStatus(kind);
        }
    }

    private void machineStatus(int kind) {
        if (kind == 4) {
            x.emit(Op.UMIP, 0, 0, 1, 0);
            x.emit(Op.SMSW, T0, 0, x.operandSize, 0);
            x.writeRm(x.isMemory() ? 2 : x.operandSize, T0);
        } else if (kind == 6) {
            x.emit(Op.LMSW, 0, x.readRm(2, T0), 0, 0);
            synchronize();
        } else {
            throw x.undefined();
        }
    }

    private void decode10(int opcode) {
        switch (opcode) {
            case 0x18, 0x19, 0x1a, 0x1b, 0x1c, 0x1d, 0x1f -> x.modRm(); // hint nop, prefetch
            case 0x1e -> x.modRm(); // endbr64, rdsspq: nop without shadow stacks
            default -> vector(opcode);
        }
    }

    private void decode20(int opcode) {
        if (opcode > 0x23) {
            vector(opcode);
            return;
        }
        x.modRm();
        int r = (x.rex & 1) << 3 | (x.rm & 7);
        int op = opcode == 0x20 ? Op.CR_READ : opcode == 0x21 ? Op.DR_READ : opcode == 0x22 ? Op.CR_WRITE : Op.DR_WRITE;
        x.emit(op, r, r, x.reg, 0);
        if (opcode >= 0x22) {
            synchronize();
        }
    }

    private void decode30(int opcode) {
        switch (opcode) {
            case 0x30 -> {
                x.emit(Op.WRMSR, 0, 0, 0, 0);
                synchronize();
            }
            case 0x31 -> x.emit(Op.RDTSC, 0, 0, 0, 0);
            case 0x32 -> x.emit(Op.RDMSR, 0, 0, 0, 0);
            case 0x33 -> x.emit(Op.RDPMC, 0, 0, 0, 0);
            case 0x34 -> end(Op.SYSENTER);
            case 0x35 -> end(Op.SYSEXIT);
            case 0x38 -> map38(x.fetch8());
            case 0x3a -> vectors.decode(2, x.fetch8());
            default -> throw x.undefined();
        }
    }

    private void map38(int opcode) {
        if ((opcode == 0xf0 || opcode == 0xf1) && x.repeat == 0xf2) {
            x.modRm();
            int size = opcode == 0xf0 ? 1 : x.operandSize;
            int s = x.readRm(size, T0);
            x.emit(Op.CRC32, x.reg, s, size, 0);
        } else if (opcode == 0xf0 || opcode == 0xf1) {
            x.modRm();
            int size = x.operandSize;
            if (!x.isMemory()) {
                throw x.undefined();
            }
            if (opcode == 0xf0) { // movbe
                x.load(T0, size);
                x.emit(Op.BSWAP, T0, T0, size, 0);
                x.writeRegister(x.reg, size, T0);
            } else {
                x.emit(Op.BSWAP, T0, x.reg, size, 0);
                x.store(T0, size);
            }
        } else if (opcode == 0x82 && x.operandPrefix) {
            x.modRm();
            x.emitMemory(Op.INVPCID, 0, x.reg, 0, 16, false);
            synchronize();
        } else {
            vectors.decode(1, opcode);
        }
    }

    private void decodeA0(int opcode) {
        switch (opcode) {
            case 0xa0, 0xa8 -> {
                x.emit(Op.SEG_READ, T0, 0, opcode == 0xa0 ? CpuState.FS : CpuState.GS, 0);
                x.emit(Op.PUSH, 0, T0, x.stackSize(), 0);
            }
            case 0xa1, 0xa9 -> x.popSegment(opcode == 0xa1 ? CpuState.FS : CpuState.GS);
            case 0xa2 -> {
                x.emit(Op.CPUID, 0, 0, 0, 0);
                synchronize();
            }
            case 0xa3 -> bitTest(0);
            case 0xab -> bitTest(1);
            case 0xa4, 0xa5, 0xac, 0xad -> {
                x.modRm();
                int size = x.operandSize;
                boolean constant = (opcode & 1) == 0;
                int n = constant ? x.fetch8() : 0;
                int d = x.modifyRm(size);
                x.emit(Op.SHLD, d, x.reg, (opcode >> 3 & 1) | size << 4 | (constant ? 256 : 0), n);
                x.writeBack(size);
            }
            case 0xae -> group15();
            case 0xaf -> {
                x.modRm();
                int size = x.operandSize;
                int s = x.readRm(size, T0);
                if (size == 2) {
                    x.emit(Op.MOV64, T1, x.reg, 0, 0);
                    x.emit(Op.IMUL16, x.reg, s, 0, 0);
                } else {
                    x.emit(size == 8 ? Op.IMUL64 : Op.IMUL32, x.reg, s, 0, 0);
                }
            }
            default -> throw x.undefined();
        }
    }

    /** bt, bts, btr, btc with a register for the bit, which may lie outside the operand. */
    private void bitTest(int kind) {
        x.modRm();
        int size = x.operandSize;
        if (x.isMemory()) {
            x.bitAddress(x.reg, size);
        }
        changeBit(kind, size, x.reg, -1);
    }

    private void changeBit(int kind, int size, int register, int constant) {
        int details = kind | size << 4 | (constant >= 0 ? 256 : 0);
        if (kind == 0) {
            x.emit(Op.BT, x.readRm(size, T0), register, details, constant);
        } else if (x.lock && x.isMemory()) {
            x.lock = false;
            int s = register;
            if (constant >= 0) {
                x.emit(Op.MOVI, T1, 0, 0, constant);
                s = T1;
            }
            x.emitMemory(Op.LOCKED, T0, s, Atomics.BTS + kind - 1 | size << 5, size, true);
        } else {
            int d = x.modifyRm(size);
            x.emit(Op.BT, d, register, details, constant);
            x.writeBack(size);
        }
    }

    private void group15() {
        x.modRm();
        int kind = x.reg & 7;
        if (!x.isMemory()) {
            if (x.repeat == 0xf3 && x.code64 && kind < 4) {
                x.emit(Op.FSGSBASE, x.rm, 0, kind | x.operandSize << 4, 0);
            } else if (kind >= 5) {
                x.emit(Op.FENCE, 0, 0, 0, 0);
            } else {
                throw x.undefined();
            }
        } else if (kind == 7 || (kind == 6 && x.operandPrefix)) {
            x.noOperation(); // clflush, clflushopt, clwb
        } else {
            image(kind);
        }
    }

    /** fxsave, fxrstor, ldmxcsr, stmxcsr, xsave, xrstor, xsaveopt. */
    private void image(int kind) {
        if (x.operandPrefix || x.repeat != 0) {
            throw x.undefined();
        }
        int size = kind < 2 ? FpuState.IMAGE_SIZE : kind < 4 ? 4 : FpuImages.XSAVE_SIZE;
        boolean write = kind == 0 || kind == 3 || kind == 4 || kind == 6;
        x.emitMemory(Op.FPU_IMAGE, 0, 0, kind | (x.rex & 8) << 5 | (x.code64 ? 512 : 0), size, write);
    }

    private void decodeB0(int opcode) {
        switch (opcode) {
            case 0xb0, 0xb1 -> {
                x.modRm();
                compareExchange((opcode & 1) == 0 ? 1 : x.operandSize);
            }
            case 0xb2 -> loadFar(CpuState.SS);
            case 0xb4 -> loadFar(CpuState.FS);
            case 0xb5 -> loadFar(CpuState.GS);
            case 0xb3 -> bitTest(2);
            case 0xbb -> bitTest(3);
            case 0xba -> {
                x.modRm();
                int kind = (x.reg & 7) - 4;
                if (kind < 0) {
                    throw x.undefined();
                }
                int bit = x.fetch8() & (x.operandSize * 8 - 1);
                changeBit(kind, x.operandSize, ZERO, bit);
            }
            case 0xb6, 0xb7, 0xbe, 0xbf -> {
                x.modRm();
                extend(opcode);
            }
            case 0xb8 -> {
                if (x.repeat != 0xf3) {
                    throw x.undefined();
                }
                scan(4);
            }
            case 0xbc -> scan(x.repeat == 0xf3 ? 2 : 0);
            case 0xbd -> scan(x.repeat == 0xf3 ? 3 : 1);
            default -> throw x.undefined(); // ud1
        }
    }

    private void loadFar(int segment) {
        x.modRm();
        if (!x.isMemory()) {
            throw x.undefined();
        }
        x.loadFar(segment);
    }

    private void scan(int kind) {
        x.modRm();
        int size = x.operandSize;
        x.emit(Op.BIT_SCAN, x.reg, x.readRm(size, T0), kind | size << 4, 0);
    }

    /** movzx, movsx. */
    private void extend(int opcode) {
        int from = (opcode & 1) == 0 ? 1 : 2;
        boolean signed = opcode >= 0xbe;
        int size = x.operandSize;
        if (!signed && size >= 4 && x.isMemory()) {
            x.load(x.reg, from);
            return;
        }
        int s = x.readRm(from, T0);
        int op;
        if (signed) {
            op = from == 1 ? (size == 8 ? Op.SX8_64 : Op.SX8_32) : size == 8 ? Op.SX16_64 : Op.SX16_32;
        } else {
            op = from == 1 ? Op.ZX8 : Op.ZX16;
        }
        if (size == 2) {
            x.emit(op, T0, s, 0, 0);
            x.writeRegister(x.reg, 2, T0);
        } else {
            x.emit(op, x.reg, s, 0, 0);
        }
    }

    private void compareExchange(int size) {
        int s = x.source(x.reg, size, T1);
        if (x.isMemory()) {
            x.lock = false;
            x.emitMemory(Op.LOCKED, T0, s, Atomics.CMPXCHG | size << 5, size, true);
        } else {
            int d = x.source(x.rm, size, T0);
            x.emit(Op.CMPXCHG, d, s, size, 0);
            x.writeBack(size);
        }
    }

    private void decodeC0(int opcode) {
        switch (opcode) {
            case 0xc0, 0xc1 -> {
                x.modRm();
                exchangeAdd(opcode == 0xc0 ? 1 : x.operandSize);
            }
            case 0xc3 -> { // movnti
                x.modRm();
                if (!x.isMemory()) {
                    throw x.undefined();
                }
                x.store(x.reg, x.operandSize);
            }
            case 0xc7 -> group9();
            case 0xc8, 0xc9, 0xca, 0xcb, 0xcc, 0xcd, 0xce, 0xcf -> {
                int register = (opcode & 7) | (x.rex & 1) << 3;
                x.emit(Op.BSWAP, register, register, x.operandSize, 0);
            }
            default -> vector(opcode);
        }
    }

    private void exchangeAdd(int size) {
        int s = x.source(x.reg, size, T1);
        if (x.isMemory()) {
            x.lock = false;
            x.emitMemory(Op.LOCKED, T0, s, Atomics.XADD | size << 5, size, true);
            x.writeRegister(x.reg, size, T0);
        } else {
            int d = x.source(x.rm, size, T0);
            x.emit(Op.XADD, d, s, size, 0);
            if (s == T1) {
                x.emit(Op.SET_HIGH, x.reg - 4, T1, 0, 0);
            }
            x.writeBack(size);
        }
    }

    private void group9() {
        x.modRm();
        if (x.isMemory() && (x.reg & 7) == 1) {
            x.lock = false;
            boolean wide = x.operandSize == 8;
            x.emitMemory(
                    Op.LOCKED,
                    T0,
                    ZERO,
                    (wide ? Atomics.CMPXCHG16B : Atomics.CMPXCHG8B) | 8 << 5,
                    wide ? 16 : 8,
                    true);
        } else if (!x.isMemory() && (x.reg & 7) == 7 && x.repeat == 0xf3) {
            x.emit(Op.RDPID, x.rm, 0, 0, 0);
        } else {
            throw x.undefined();
        }
    }
}
