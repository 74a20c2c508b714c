// SPDX-License-Identifier: Apache-2.0
package dev.alcove.cpu;

/** The opcodes of one byte (Intel SDM volume 2, appendix A, table A-2). */
final class OneByteMap {
    private static final int T0 = Core.T0;
    private static final int T1 = Core.T1;
    private static final int ZERO = Core.ZERO;

    private final Decoder x;
    private final TwoByteMap twoByte;

    OneByteMap(Decoder decoder) {
        x = decoder;
        twoByte = new TwoByteMap(decoder);
    }

    void decode(int opcode) {
        if (opcode < 0x40) {
            decode00(opcode);
        } else if (opcode < 0x80) {
            decode40(opcode);
        } else if (opcode < 0xc0) {
            decode80(opcode);
        } else {
            decodeC0(opcode);
        }
    }

    private int size(int opcode) {
        return (opcode & 1) == 0 ? 1 : x.operandSize;
    }

    private void legacyOnly() {
        if (x.code64) {
            throw x.undefined();
        }
    }

    private void decode00(int opcode) {
        if (opcode == 0x0f) {
            twoByte.decode();
            return;
        }
        int kind = opcode >> 3;
        switch (opcode & 7) {
            case 0, 1 -> {
                x.modRm();
                int size = size(opcode);
                if (kind == Alu.CMP) {
                    int a = x.readRm(size, T0);
                    x.alu(kind, size, a, x.source(x.reg, size, T1));
                } else {
                    modify(kind, size, x.source(x.reg, size, T1));
                }
            }
            case 2, 3 -> {
                x.modRm();
                int size = size(opcode);
                int b = x.readRm(size, T1);
                aluRegister(kind, size, x.reg, b);
            }
            case 4, 5 -> x.aluImmediate(kind, size(opcode), 0, x.immediate(size(opcode)));
            default -> segmentOrDecimal(opcode);
        }
    }

    private void aluRegister(int kind, int size, int register, int b) {
        int d = x.source(register, size, T0);
        x.alu(kind, size, d, b);
        if (d != register && kind < Alu.CMP) {
            x.emit(Op.SET_HIGH, register - 4, T0, 0, 0);
        }
    }

    /** {@code op r/m, register}, locked if asked for. */
    private void modify(int kind, int size, int s) {
        if (x.lock && x.isMemory()) {
            x.lock = false;
            x.emitMemory(Op.LOCKED, T0, s, kind | size << 5, size, true);
            return;
        }
        int d = x.modifyRm(size);
        x.alu(kind, size, d, s);
        x.writeBack(size);
    }

    private void segmentOrDecimal(int opcode) {
        legacyOnly();
        switch (opcode) {
            case 0x06, 0x0e, 0x16, 0x1e -> {
                x.emit(Op.SEG_READ, T0, 0, opcode >> 3, 0);
                x.emit(Op.PUSH, 0, T0, x.operandSize, 0);
            }
            case 0x07, 0x17, 0x1f -> x.popSegment(opcode >> 3);
            case 0x27 -> x.emit(Op.BCD, 0, 0, 0, 0);
            case 0x2f -> x.emit(Op.BCD, 0, 0, 1, 0);
            case 0x37 -> x.emit(Op.BCD, 0, 0, 2, 0);
            case 0x3f -> x.emit(Op.BCD, 0, 0, 3, 0);
            default -> throw x.undefined();
        }
    }

    private void decode40(int opcode) {
        switch (opcode >> 3) {
            case 8, 9 -> x.unary(opcode < 0x48 ? Alu.INC : Alu.DEC, x.operandSize, opcode & 7);
            case 10 -> push((opcode & 7) | (x.rex & 1) << 3);
            case 11 -> pop((opcode & 7) | (x.rex & 1) << 3);
            case 14, 15 -> x.jumpIf(opcode & 15, x.immediate(1));
            default -> decode60(opcode);
        }
    }

    private void push(int register) {
        if (x.stackSize() == 8) {
            x.emit(Op.PUSH64, 0, register, 0, 0);
        } else {
            x.emit(Op.PUSH, 0, register, x.stackSize(), 0);
        }
    }

    private void pushImmediate(int value) {
        if (x.stackSize() == 8) {
            x.emit(Op.PUSH64I, 0, 0, value, 0);
        } else {
            x.emit(Op.MOVI, T0, 0, 0, value);
            x.emit(Op.PUSH, 0, T0, x.stackSize(), 0);
        }
    }

    private void pop(int register) {
        int size = x.stackSize();
        if (size == 8) {
            x.emit(Op.POP64, register, 0, 0, 0);
        } else {
            x.emit(Op.POP, T0, 0, size, 0);
            x.writeRegister(register, size, T0);
        }
    }

    private void decode60(int opcode) {
        switch (opcode) {
            case 0x60 -> {
                legacyOnly();
                x.emit(Op.PUSHA, 0, 0, x.operandSize, 0);
            }
            case 0x61 -> {
                legacyOnly();
                x.emit(Op.POPA, 0, 0, x.operandSize, 0);
            }
            case 0x62 -> throw x.code64 ? x.unsupported("EVEX prefix") : x.undefined();
            case 0x63 -> {
                x.modRm();
                if (x.code64) {
                    int s = x.readRm(4, T0);
                    if (x.operandSize == 8) {
                        x.emit(Op.SX32_64, x.reg, s, 0, 0);
                    } else {
                        x.writeRegister(x.reg, x.operandSize, s);
                    }
                } else {
                    int d = x.modifyRm(2);
                    x.emit(Op.ARPL, d, x.reg, 0, 0);
                    x.writeBack(2);
                }
            }
            case 0x68 -> pushImmediate(x.immediate(x.operandSize));
            case 0x6a -> pushImmediate(x.immediate(1));
            case 0x69, 0x6b -> {
                x.modRm();
                int size = x.operandSize;
                multiply(size, opcode == 0x69 ? size : 1);
            }
            case 0x6c, 0x6d -> string(5, opcode, 4);
            case 0x6e, 0x6f -> string(6, opcode, 4);
            default -> throw x.undefined();
        }
    }

    private void multiply(int size, int immediateSize) {
        // The immediate lies behind the operand's displacement: fetch it before the address is emitted.
        int i = x.immediate(immediateSize);
        int s = x.readRm(size, T0);
        if (size == 2) {
            x.emit(Op.MOVI, T1, 0, 0, i);
            x.emit(Op.IMUL16, x.reg, s, 0, 0);
        } else {
            x.emit(size == 8 ? Op.IMUL64I : Op.IMUL32I, x.reg, s, i, 0);
        }
    }

    private void string(int kind, int opcode, int most) {
        int size = Math.min(size(opcode), most);
        int rep = x.repeat == 0 ? 0 : x.repeat == 0xf3 ? 1 : 2;
        int segment = x.segment >= 0 ? x.segment : CpuState.DS;
        x.emit(
                Op.STRING,
                0,
                0,
                kind | size << 4 | rep << 8 | x.addressSize << 12 | segment << 16,
                x.here());
        if (rep != 0 || kind >= 5) {
            x.ends = true;
            x.sync = kind >= 5;
            if (!x.sync) {
                x.emit(Op.END, 0, 0, 0, x.next());
            }
        }
    }

    private void decode80(int opcode) {
        switch (opcode) {
            case 0x80, 0x81, 0x82, 0x83 -> {
                if (opcode == 0x82) {
                    legacyOnly();
                }
                x.modRm();
                int size = size(opcode);
                groupImmediate(x.reg & 7, size, x.immediate(opcode == 0x81 ? size : 1));
            }
            case 0x84, 0x85 -> {
                x.modRm();
                int size = size(opcode);
                int a = x.readRm(size, T0);
                x.alu(Alu.TEST, size, a, x.source(x.reg, size, T1));
            }
            case 0x86, 0x87 -> {
                x.modRm();
                exchange(size(opcode));
            }
            case 0x88, 0x89 -> {
                x.modRm();
                int size = size(opcode);
                x.writeRm(size, x.source(x.reg, size, T0));
            }
            case 0x8a, 0x8b -> {
                x.modRm();
                int size = size(opcode);
                if (x.isMemory()) {
                    x.loadRegister(x.reg, size);
                } else {
                    x.writeRegister(x.reg, size, x.source(x.rm, size, T0));
                }
            }
            case 0x8c -> {
                x.modRm();
                if ((x.reg & 7) > 5) {
                    throw x.undefined();
                }
                x.emit(Op.SEG_READ, T0, 0, x.reg & 7, 0);
                x.writeRm(x.isMemory() ? 2 : x.operandSize, T0);
            }
            case 0x8d -> {
                x.modRm();
                if (!x.isMemory()) {
                    throw x.undefined();
                }
                if (x.operandSize >= 4) {
                    x.emitLea(x.reg);
                } else {
                    x.emitLea(T0);
                    x.writeRegister(x.reg, x.operandSize, T0);
                }
            }
            case 0x8e -> {
                x.modRm();
                if ((x.reg & 7) > 5 || (x.reg & 7) == CpuState.CS) {
                    throw x.undefined();
                }
                int s = x.readRm(2, T1);
                x.emit(Op.SEG_WRITE, 0, s, x.reg & 7, x.next());
                x.endSegment(x.reg & 7);
            }
            case 0x8f -> {
                x.modRm();
                popMemory();
            }
            default -> decode90(opcode);
        }
    }

    /** Group 1. */
    private void groupImmediate(int kind, int size, int i) {
        if (x.lock && x.isMemory() && kind != Alu.CMP) {
            x.lock = false;
            x.emit(Op.MOVI, T1, 0, 0, i);
            x.emitMemory(Op.LOCKED, T0, T1, kind | size << 5, size, true);
        } else if (kind == Alu.CMP) {
            x.aluImmediate(kind, size, x.readRm(size, T0), i);
        } else {
            int d = x.modifyRm(size);
            x.aluImmediate(kind, size, d, i);
            x.writeBack(size);
        }
    }

    private void exchange(int size) {
        int s = x.source(x.reg, size, T1);
        if (x.isMemory()) {
            x.lock = false;
            x.emitMemory(Op.LOCKED, T0, s, Atomics.XCHG | size << 5, size, true);
            x.writeRegister(x.reg, size, T0);
        } else {
            int d = x.source(x.rm, size, T0);
            x.emit(Op.XCHG, d, s, size, 0);
            if (d == T0) {
                x.emit(Op.SET_HIGH, x.rm - 4, T0, 0, 0);
            }
            if (s == T1) {
                x.emit(Op.SET_HIGH, x.reg - 4, T1, 0, 0);
            }
        }
    }

    private void popMemory() {
        int size = x.stackSize();
        if ((x.reg & 7) != 0) {
            throw x.undefined();
        }
        x.emit(Op.POP, T0, 0, size | 16, 0);
        if (x.isMemory()) {
            // An address with the stack pointer as base is that behind the pop.
            x.popBase(size);
            x.store(T0, size);
            x.emit(Op.ADJUST_SP, 0, 0, size, 0);
        } else {
            x.emit(Op.ADJUST_SP, 0, 0, size, 0);
            x.writeRegister(x.rm, size, T0);
        }
    }

    private void decode90(int opcode) {
        switch (opcode) {
            case 0x90, 0x91, 0x92, 0x93, 0x94, 0x95, 0x96, 0x97 -> {
                int other = (opcode & 7) | (x.rex & 1) << 3;
                if (other != 0) {
                    x.emit(Op.XCHG, other, 0, x.operandSize, 0);
                } else {
                    x.noOperation(); // nop and pause
                }
            }
            case 0x98 -> x.emit(Op.WIDEN, 0, 0, x.operandSize, 0);
            case 0x99 -> x.emit(Op.WIDEN_PAIR, 0, 0, x.operandSize, 0);
            case 0x9a -> {
                legacyOnly();
                long target = x.operandSize == 2 ? x.fetch16() : x.fetch32() & 0xffffffffL;
                farPointer(target, x.fetch16());
                x.emit(Op.FAR_CALL, 0, 0, x.operandSize, x.next());
                x.ends = true;
            }
            case 0x9b -> x.emit(Op.FPU, 0, 0, 2, 0);
            case 0x9c -> x.emit(Op.PUSHF, 0, 0, x.stackSize(), 0);
            case 0x9d -> {
                x.emit(Op.POPF, 0, 0, x.stackSize(), 0);
                x.ends = true;
                x.sync = true;
            }
            case 0x9e -> x.emit(Op.FLAG, 0, 0, 5, 0);
            case 0x9f -> x.emit(Op.FLAG, 0, 0, 6, 0);
            case 0xa0, 0xa1 -> {
                x.absolute();
                x.loadRegister(0, size(opcode));
            }
            case 0xa2, 0xa3 -> {
                x.absolute();
                x.store(0, size(opcode));
            }
            case 0xa4, 0xa5 -> string(0, opcode, 8);
            case 0xa6, 0xa7 -> string(1, opcode, 8);
            case 0xa8, 0xa9 -> x.aluImmediate(Alu.TEST, size(opcode), 0, x.immediate(size(opcode)));
            case 0xaa, 0xab -> string(2, opcode, 8);
            case 0xac, 0xad -> string(3, opcode, 8);
            case 0xae, 0xaf -> string(4, opcode, 8);
            default -> moveImmediate(opcode);
        }
    }

    private void farPointer(long target, int selector) {
        x.emit(Op.MOVI, T0, 0, 0, target);
        x.emit(Op.MOVI, T1, 0, 0, selector);
    }

    private void moveImmediate(int opcode) {
        int register = (opcode & 7) | (x.rex & 1) << 3;
        if (opcode < 0xb8) {
            x.emit(Op.MOVI, T0, 0, 0, x.fetch8());
            x.writeRegister(register, 1, T0);
        } else if (x.operandSize == 2) {
            x.emit(Op.MOVI, T0, 0, 0, x.fetch16());
            x.writeRegister(register, 2, T0);
        } else {
            x.emit(Op.MOVI, register, 0, 0, x.operandSize == 8 ? x.fetch64() : x.fetch32() & 0xffffffffL);
        }
    }

    private void decodeC0(int opcode) {
        switch (opcode) {
            case 0xc0, 0xc1 -> {
                x.modRm();
                int size = size(opcode);
                shiftImmediate(size, x.fetch8());
            }
            case 0xd0, 0xd1 -> {
                x.modRm();
                shiftImmediate(size(opcode), 1);
            }
            case 0xd2, 0xd3 -> {
                x.modRm();
                int size = size(opcode);
                int d = x.modifyRm(size);
                x.emit(Op.SHIFT, d, 1, (x.reg & 7) | size << 4, 0);
                x.writeBack(size);
            }
            case 0xc2, 0xc3 -> ret(opcode == 0xc2 ? x.fetch16() : 0);
            case 0xc4, 0xc5 -> {
                x.modRm();
                if (x.code64 || !x.isMemory()) {
                    throw x.unsupported("VEX prefix");
                }
                x.loadFar(opcode == 0xc4 ? CpuState.ES : CpuState.DS);
            }
            case 0xc6, 0xc7 -> {
                x.modRm();
                if ((x.reg & 7) != 0) {
                    throw x.undefined();
                }
                storeImmediate(size(opcode));
            }
            case 0xc8 -> {
                int bytes = x.fetch16();
                int level = x.fetch8() & 31;
                x.emit(Op.ENTER, 0, 0, x.stackSize() | level << 8, bytes);
            }
            case 0xc9 -> {
                if (x.stackSize() == 8) {
                    x.emit(Op.LEAVE64, 0, 0, 0, 0);
                } else {
                    x.emit(Op.LEAVE, 0, 0, x.stackSize(), 0);
                }
            }
            case 0xca, 0xcb -> {
                int drop = opcode == 0xca ? x.fetch16() : 0;
                x.emit(Op.FAR_RET, 0, 0, x.operandSize | drop << 8, x.next());
                x.ends = true;
            }
            case 0xcc -> interrupt(3 | 256);
            case 0xcd -> interrupt(x.fetch8());
            case 0xce -> {
                legacyOnly();
                x.emit(Op.INTO, 0, 0, 0, x.next());
                x.ends = true;
                x.sync = true;
            }
            case 0xcf -> {
                x.emit(Op.IRET, 0, 0, x.operandSize, x.next());
                x.ends = true;
            }
            default -> decodeD4(opcode);
        }
    }

    private void interrupt(int details) {
        x.emit(Op.INT, 0, 0, details, x.next());
        x.ends = true;
    }

    private void storeImmediate(int size) {
        int i = x.immediate(size);
        if (x.isMemory()) {
            int op = size == 1 ? Op.STI8 : size == 2 ? Op.STI16 : size == 4 ? Op.STI32 : Op.STI64;
            x.emitMemory(op, 0, 0, i, size, true);
        } else if (size >= 4) {
            x.emit(Op.MOVI, x.rm, 0, 0, size == 4 ? i & 0xffffffffL : i);
        } else {
            x.emit(Op.MOVI, T0, 0, 0, i);
            x.writeRm(size, T0);
        }
    }

    /** Group 2 with a constant count. */
    private void shiftImmediate(int size, int rawCount) {
        int kind = x.reg & 7;
        int n = rawCount & (size == 8 ? 63 : 31);
        int d = x.modifyRm(size);
        if (size >= 4 && n != 0 && kind >= 4) {
            int op = kind == 5 ? Op.SHR64I : kind == 7 ? Op.SAR64I : Op.SHL64I;
            x.emit(size == 4 ? op + 1 : op, d, 0, n, 0);
        } else {
            x.emit(Op.SHIFT, d, 0, kind | size << 4 | 256, n);
        }
        x.writeBack(size);
    }

    private void ret(int drop) {
        int size = x.stackSize();
        if (size == 8) {
            x.emit(Op.RET, 0, 0, drop, 0);
        } else {
            x.emit(Op.RET_NEAR, 0, 0, size, drop);
        }
        x.ends = true;
    }

    private void decodeD4(int opcode) {
        switch (opcode) {
            case 0xd4, 0xd5 -> {
                legacyOnly();
                x.emit(Op.BCD, 0, 0, opcode == 0xd4 ? 4 : 5, x.fetch8());
            }
            case 0xd6 -> {
                legacyOnly();
                x.emit(Op.BCD, 0, 0, 6, 0);
            }
            case 0xd7 -> {
                x.emit(Op.ZX8, T0, 0, 0, 0);
                x.indexed(3, T0);
                x.loadRegister(0, 1);
            }
            case 0xd8, 0xd9, 0xda, 0xdb, 0xdc, 0xdd, 0xde, 0xdf -> {
                x.modRm();
                x87(opcode & 7);
            }
            case 0xe0, 0xe1, 0xe2, 0xe3 -> {
                long target = x.target(x.immediate(1));
                x.emit(Op.LOOP, 0, 0, (opcode & 3) | x.addressSize << 4, target);
                x.ends = true;
                x.sync = true;
            }
            case 0xe4, 0xe5, 0xe6, 0xe7 -> {
                x.emit(Op.MOVI, T1, 0, 0, x.fetch8());
                port(opcode);
            }
            case 0xec, 0xed, 0xee, 0xef -> {
                x.emit(Op.ZX16, T1, 2, 0, 0);
                port(opcode);
            }
            case 0xe8 -> {
                int size = x.stackSize();
                long target = x.target(x.immediate(size));
                if (size == 8) {
                    x.emit(Op.CALL, 0, 0, 0, target);
                } else {
                    x.emit(Op.MOVI, T0, 0, 0, target);
                    x.emit(Op.CALL_NEAR, 0, T0, size, 0);
                }
                x.ends = true;
            }
            case 0xe9 -> x.jump(x.immediate(x.stackSize()));
            case 0xea -> {
                legacyOnly();
                long target = x.operandSize == 2 ? x.fetch16() : x.fetch32() & 0xffffffffL;
                farPointer(target, x.fetch16());
                x.emit(Op.FAR_JMP, 0, 0, x.operandSize, x.next());
                x.ends = true;
            }
            case 0xeb -> x.jump(x.immediate(1));
            default -> decodeF0(opcode);
        }
    }

    private void port(int opcode) {
        x.emit((opcode & 2) == 0 ? Op.IN : Op.OUT, 0, T1, Math.min(size(opcode), 4), 0);
        x.ends = true;
        x.sync = true;
    }

    private void decodeF0(int opcode) {
        switch (opcode) {
            case 0xf1 -> interrupt(1 | 256);
            case 0xf4 -> {
                x.emit(Op.HLT, 0, 0, 0, x.next());
                x.ends = true;
                x.sync = true;
            }
            case 0xf5 -> x.emit(Op.FLAG, 0, 0, 0, 0);
            case 0xf6, 0xf7 -> {
                x.modRm();
                groupF6(size(opcode));
            }
            case 0xf8 -> x.emit(Op.FLAG, 0, 0, 1, 0);
            case 0xf9 -> x.emit(Op.FLAG, 0, 0, 2, 0);
            case 0xfa -> x.emit(Op.CLI, 0, 0, 0, 0);
            case 0xfb -> {
                x.emit(Op.STI, 0, 0, 0, 0);
                x.ends = true;
                x.sync = true;
            }
            case 0xfc -> x.emit(Op.FLAG, 0, 0, 3, 0);
            case 0xfd -> x.emit(Op.FLAG, 0, 0, 4, 0);
            case 0xfe, 0xff -> {
                x.modRm();
                groupFe(opcode);
            }
            default -> throw x.undefined();
        }
    }

    /** Group 3. */
    private void groupF6(int size) {
        switch (x.reg & 7) {
            case 0, 1 -> {
                int i = x.immediate(size);
                x.aluImmediate(Alu.TEST, size, x.readRm(size, T0), i);
            }
            case 2 -> unary(Alu.NOT, size);
            case 3 -> unary(Alu.NEG, size);
            case 4 -> x.emit(Op.MUL, 0, x.readRm(size, T0), size, 0);
            case 5 -> x.emit(Op.MUL, 0, x.readRm(size, T0), size | 16, 0);
            case 6 -> x.emit(Op.DIV, 0, x.readRm(size, T0), size, 0);
            default -> x.emit(Op.DIV, 0, x.readRm(size, T0), size | 16, 0);
        }
    }

    private void unary(int kind, int size) {
        if (x.lock && x.isMemory()) {
            x.lock = false;
            x.emitMemory(Op.LOCKED, T0, ZERO, kind | size << 5, size, true);
            return;
        }
        int d = x.modifyRm(size);
        x.unary(kind, size, d);
        x.writeBack(size);
    }

    /** Groups 4 and 5. */
    private void groupFe(int opcode) {
        int kind = x.reg & 7;
        if (kind < 2) {
            unary(kind == 0 ? Alu.INC : Alu.DEC, size(opcode));
            return;
        }
        if (opcode == 0xfe) {
            throw x.undefined();
        }
        int size = x.stackSize();
        switch (kind) {
            case 2 -> {
                int s = x.readRm(size, T0);
                x.emit(size == 8 ? Op.CALLR : Op.CALL_NEAR, 0, s, size == 8 ? 0 : size, 0);
                x.ends = true;
            }
            case 4 -> {
                int s = x.readRm(size, T0);
                x.emit(size == 8 ? Op.JMPR : Op.JMP_NEAR, 0, s, size == 8 ? 0 : size, 0);
                x.ends = true;
            }
            case 3, 5 -> {
                if (!x.isMemory()) {
                    throw x.undefined();
                }
                int n = x.operandSize;
                x.emitMemory(Decoder.loadOp(n), T0, 0, 0, n + 2, false);
                x.displace(n);
                x.load(T1, 2);
                x.emit(kind == 3 ? Op.FAR_CALL : Op.FAR_JMP, 0, 0, n, x.next());
                x.ends = true;
            }
            case 6 -> push(x.readRm(size, T0));
            default -> throw x.undefined();
        }
    }

    private void x87(int escape) {
        int hi = x.mod << 6 | (x.reg & 7) << 3 | (x.rm & 7) | escape << 8;
        if (!x.isMemory()) {
            if (!X87.exists(hi)) {
                throw x.undefined();
            }
            x.emit(Op.X87, 0, 0, hi, 0);
            return;
        }
        int size = X87.memorySize(escape, x.reg & 7, x.operandSize == 2);
        if (size == 0) {
            throw x.undefined();
        }
        int small = x.operandSize == 2 ? 1 << 12 : 0;
        x.emitMemory(Op.X87, 0, 0, hi | X87.MEMORY | small, size, X87.stores(escape, x.reg & 7));
    }
}
