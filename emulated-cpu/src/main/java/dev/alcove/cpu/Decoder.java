// SPDX-License-Identifier: Apache-2.0
package dev.alcove.cpu;

import java.util.Arrays;

/**
 * Decodes instructions into micro-operations: fetches bytes, prefixes and operands, and emits operations.
 * {@link OneByteMap} and {@link TwoByteMap} know the opcodes.
 */
final class Decoder {
    private static final int MOST_INSTRUCTIONS = 40;
    private static final int MOST_BYTES = 512;
    private static final int LONGEST = 15;
    private static final int ZERO = Core.ZERO;

    private final Core core;
    private final OneByteMap oneByte;

    private final byte[] bytes = new byte[MOST_BYTES + LONGEST];
    private int available;
    private long secondPage;
    private long start;
    private boolean toPageEnd;
    private int position;
    private int instructionStart;

    private long[] ops = new long[1024];
    private short[] offset = new short[512];
    private byte[] index = new byte[512];
    private int emitted;
    private int count;

    /** Mode of the block; {@link #code64} and {@link #code32} follow from it. */
    int mode;

    boolean code64;
    boolean code32;

    // prefixes and operands of the current instruction
    int operandSize;
    int addressSize;
    int rex;
    boolean hasRex;
    boolean lock;
    boolean operandPrefix;

    /** 0, 0xf3 or 0xf2. */
    int repeat;

    /** Segment that a prefix names, or -1. */
    int segment;

    int mod;
    int reg;
    int rm;
    private int base;
    private int indexRegister;
    private int scale;
    private long displacement;
    private boolean ripRelative;
    private int memorySegment;
    private boolean memoryReady;

    /** The instruction may go elsewhere, or changes what decoding depends on. */
    boolean ends;

    /** With {@link #ends}: the interpreter has to be left behind the instruction. */
    boolean sync;

    Decoder(Core core) {
        this.core = core;
        oneByte = new OneByteMap(this);
    }

    /**
     * Decodes the block at {@code ip}.
     *
     * @param host where its first byte is
     * @param blockMode {@link Core#mode}, with {@link Core#SOLO} for a single instruction
     */
    Block decode(long ip, int blockMode, long host) {
        mode = blockMode;
        code64 = (mode & Core.CODE_SIZE) == Core.CODE_64;
        code32 = (mode & Core.CODE_SIZE) == 1;
        start = ip;
        secondPage = 0;
        position = 0;
        emitted = 0;
        count = 0;
        int left = (int) (4096 - (host & 4095));
        available = Math.min(left, MOST_BYTES);
        toPageEnd = left <= MOST_BYTES;
        HostMemory.read(host, bytes, 0, available);
        boolean solo = (mode & Core.SOLO) != 0;
        ends = false;
        while (!ends) {
            instructionStart = position;
            if (count > 0
                    && (count == MOST_INSTRUCTIONS
                            || available - position < LONGEST
                            || core.code.isSolo(linear()))) {
                break;
            }
            int before = emitted;
            sync = false;
            try {
                instruction();
            } catch (Fault | Leave e) {
                if (count == 0) {
                    throw e;
                }
                emitted = before;
                position = instructionStart;
                ends = false;
                break;
            }
            count++;
            if (solo) {
                sync |= !ends;
                ends = true;
            }
        }
        if (!ends) {
            emit(Op.END, 0, 0, 0, next());
        } else if (sync) {
            emit(Op.SYNC, 0, 0, 0, next());
        }
        return new Block(
                ip,
                mode,
                host,
                secondPage,
                Arrays.copyOf(bytes, position),
                Arrays.copyOf(ops, emitted * 2),
                Arrays.copyOf(offset, emitted),
                Arrays.copyOf(index, emitted),
                count,
                next());
    }

    private long linear() {
        long ip = start + position;
        return code64 ? ip : (core.state.cs().base + ip) & 0xffffffffL;
    }

    /** Instruction pointer behind what has been fetched so far. */
    long next() {
        long ip = start + position;
        return code64 ? ip : ip & 0xffffffffL;
    }

    /** Instruction pointer of the current instruction. */
    long here() {
        long ip = start + instructionStart;
        return code64 ? ip : ip & 0xffffffffL;
    }

    private void instruction() {
        operandPrefix = false;
        boolean addressPrefix = false;
        rex = 0;
        hasRex = false;
        lock = false;
        repeat = 0;
        segment = -1;
        memoryReady = false;
        int opcode;
        prefixes:
        for (; ; ) {
            opcode = fetch8();
            switch (opcode) {
                case 0x26, 0x2e, 0x36, 0x3e -> {
                    if (!code64) {
                        segment = opcode >> 3 & 3;
                    }
                }
                case 0x64 -> segment = CpuState.FS;
                case 0x65 -> segment = CpuState.GS;
                case 0x66 -> operandPrefix = true;
                case 0x67 -> addressPrefix = true;
                case 0xf0 -> lock = true;
                case 0xf2, 0xf3 -> repeat = opcode;
                default -> {
                    if (!code64 || (opcode & 0xf0) != 0x40) {
                        break prefixes;
                    }
                    rex = opcode;
                    hasRex = true;
                    continue; // must be the last one
                }
            }
            rex = 0;
            hasRex = false;
        }
        if (code64) {
            operandSize = (rex & 8) != 0 ? 8 : operandPrefix ? 2 : 4;
            addressSize = addressPrefix ? 4 : 8;
        } else {
            operandSize = code32 == operandPrefix ? 2 : 4;
            addressSize = code32 == addressPrefix ? 2 : 4;
        }
        boolean locked = lock;
        oneByte.decode(opcode);
        if (locked && lock) {
            throw core.undefined(); // nobody took the prefix
        }
    }

    Fault undefined() {
        return core.undefined();
    }

    Leave unsupported(String what) {
        return core.unsupported(what);
    }

    // ---- bytes

    int fetch8() {
        if (position - instructionStart >= LONGEST) {
            throw core.gp(0);
        }
        if ((mode & (Core.CODE_64 | Core.FLAT)) == 0
                && Integer.compareUnsigned((int) (start + position), core.state.cs().limit) > 0) {
            throw core.gp(0);
        }
        if (position >= available) {
            nextPage();
        }
        return bytes[position++] & 0xff;
    }

    private void nextPage() {
        if (!toPageEnd || secondPage != 0) {
            throw core.gp(0);
        }
        secondPage = core.mmu.hostForFetch(linear());
        HostMemory.read(secondPage, bytes, available, LONGEST);
        available += LONGEST;
    }

    int fetch16() {
        return fetch8() | fetch8() << 8;
    }

    int fetch32() {
        return fetch16() | fetch16() << 16;
    }

    long fetch64() {
        return (fetch32() & 0xffffffffL) | (long) fetch32() << 32;
    }

    /** A sign-extended immediate of the given size; one of 8 bytes has only 4 in the code. */
    int immediate(int size) {
        return switch (size) {
            case 1 -> (byte) fetch8();
            case 2 -> (short) fetch16();
            default -> fetch32();
        };
    }

    // ---- ModRM

    void modRm() {
        int b = fetch8();
        mod = b >> 6;
        reg = (b >> 3 & 7) | (rex & 4) << 1;
        rm = b & 7;
        if (mod == 3) {
            rm |= (rex & 1) << 3;
            return;
        }
        base = ZERO;
        indexRegister = ZERO;
        scale = 0;
        displacement = 0;
        ripRelative = false;
        memorySegment = CpuState.DS;
        if (addressSize == 2) {
            modRm16();
        } else {
            modRm32();
        }
        if (segment >= 0) {
            memorySegment = segment;
        }
    }

    private void modRm16() {
        switch (rm) {
            case 0 -> address16(3, 6);
            case 1 -> address16(3, 7);
            case 2 -> address16(5, 6);
            case 3 -> address16(5, 7);
            case 4 -> base = 6;
            case 5 -> base = 7;
            case 6 -> base = mod == 0 ? ZERO : 5;
            default -> base = 3;
        }
        if (base == 5) {
            memorySegment = CpuState.SS;
        }
        if (mod == 1) {
            displacement = (byte) fetch8();
        } else if (mod == 2 || base == ZERO) {
            displacement = (short) fetch16();
        }
    }

    private void address16(int b, int i) {
        base = b;
        indexRegister = i;
    }

    private void modRm32() {
        boolean wide = mod == 2;
        if (rm == 4) {
            int sib = fetch8();
            scale = sib >> 6;
            int i = (sib >> 3 & 7) | (rex & 2) << 2;
            indexRegister = i == 4 ? ZERO : i;
            if ((sib & 7) == 5 && mod == 0) {
                wide = true;
            } else {
                base = (sib & 7) | (rex & 1) << 3;
            }
        } else if (rm == 5 && mod == 0) {
            wide = true;
            ripRelative = code64;
        } else {
            base = rm | (rex & 1) << 3;
        }
        if (base == 4 || base == 5) {
            memorySegment = CpuState.SS;
        }
        if (mod == 1) {
            displacement = (byte) fetch8();
        } else if (wide) {
            displacement = fetch32();
        }
    }

    /** Whether the ModRM operand is memory. */
    boolean isMemory() {
        return mod != 3;
    }

    /** The form {@code moffs}. */
    void absolute() {
        mod = 0;
        base = ZERO;
        indexRegister = ZERO;
        scale = 0;
        ripRelative = false;
        memorySegment = segment >= 0 ? segment : CpuState.DS;
        displacement = switch (addressSize) {
            case 2 -> fetch16();
            case 4 -> fetch32() & 0xffffffffL;
            default -> fetch64();
        };
    }

    /** The form of {@code xlat} and the like. */
    void indexed(int baseRegister, int index) {
        mod = 0;
        base = baseRegister;
        indexRegister = index;
        scale = 0;
        displacement = 0;
        ripRelative = false;
        memorySegment = segment >= 0 ? segment : CpuState.DS;
    }

    /** Moves on within a memory operand that has been checked as a whole. */
    void displace(int by) {
        displacement += by;
    }

    // ---- operations

    void emit(int op, int d, int s, int hi, long second) {
        emitRaw(op | d << 10 | s << 15 | ZERO << 20 | ZERO << 25 | 0L, hi, second);
    }

    private void emitRaw(long low, int hi, long second) {
        if (emitted == offset.length) {
            ops = Arrays.copyOf(ops, ops.length * 2);
            offset = Arrays.copyOf(offset, offset.length * 2);
            index = Arrays.copyOf(index, index.length * 2);
        }
        ops[emitted * 2] = (low & 0xffffffffL) | (long) hi << 32;
        ops[emitted * 2 + 1] = second;
        offset[emitted] = (short) instructionStart;
        index[emitted] = (byte) count;
        emitted++;
    }

    private void emitAddress(int op, int d, int s, int hi) {
        long disp = ripRelative ? displacement + next() : displacement;
        emitRaw(op | d << 10 | s << 15 | base << 20 | (long) indexRegister << 25 | (long) scale << 30, hi, disp);
    }

    /**
     * Emits an operation on the memory operand. All immediates must have been fetched.
     *
     * @param size bytes accessed, for limit checks
     */
    void emitMemory(int op, int d, int s, int hi, int size, boolean write) {
        prepareMemory(size, write);
        emitAddress(op, d, s, hi);
    }

    private void prepareMemory(int size, boolean write) {
        if (memoryReady) {
            return;
        }
        memoryReady = true;
        boolean based = memorySegment >= CpuState.FS;
        if (code64) {
            if (addressSize == 8 && !based) {
                return;
            }
            if (addressSize == 4) {
                emitAddress(Op.LEA32, Core.EA, 0, 0);
                useScratch();
                if (!based) {
                    return;
                }
            }
            emitAddress(Op.LEA_SEG, Core.EA, 0, memorySegment);
        } else if ((mode & Core.FLAT) != 0 && !based && !(write && memorySegment == CpuState.CS)) {
            emitAddress(Op.LEA32, Core.EA, 0, 0);
            if (addressSize == 2) {
                emit(Op.ZX16, Core.EA, Core.EA, 0, 0);
            }
        } else {
            checkedAddress(size, write);
        }
        useScratch();
    }

    private void checkedAddress(int size, boolean write) {
        int width = addressSize == 2 ? 1 : addressSize == 4 ? 2 : 3;
        emitAddress(
                Op.EA_CHECK, Core.EA, 0, size | (write ? 1 << 10 : 0) | width << 12 | memorySegment << 16);
    }

    private void useScratch() {
        base = Core.EA;
        indexRegister = ZERO;
        scale = 0;
        displacement = 0;
        ripRelative = false;
    }

    /** The effective address, without segment, in {@code d}: {@code lea}. */
    void emitLea(int d) {
        if (addressSize == 8 && operandSize != 4) {
            emitAddress(Op.LEA64, d, 0, 0);
        } else {
            emitAddress(Op.LEA32, d, 0, 0);
            if (addressSize == 2) {
                emit(Op.ZX16, d, d, 0, 0);
            }
        }
    }

    /** Leaves an address in {@link Core#EA} to which the byte offset of a bit is added; the limit is not checked. */
    void bitAddress(int bitRegister, int size) {
        if (code64 || (mode & Core.FLAT) != 0) {
            prepareMemory(size, false);
        } else {
            checkedAddress(0, false);
            useScratch();
            memoryReady = true;
        }
        emitAddress(Op.BIT_ADDRESS, Core.EA, bitRegister, size);
        useScratch();
    }

    /** A register to read an operand of this size from: for AH to BH the scratch register, filled. */
    int source(int register, int size, int scratch) {
        if (size == 1 && !hasRex && register >= 4 && register < 8) {
            emit(Op.GET_HIGH, scratch, register - 4, 0, 0);
            return scratch;
        }
        return register;
    }

    static int loadOp(int size) {
        return size == 1 ? Op.LD8 : size == 2 ? Op.LD16 : size == 4 ? Op.LD32 : Op.LD64;
    }

    static int storeOp(int size) {
        return size == 1 ? Op.ST8 : size == 2 ? Op.ST16 : size == 4 ? Op.ST32 : Op.ST64;
    }

    void load(int d, int size) {
        emitMemory(loadOp(size), d, 0, 0, size, false);
    }

    void store(int s, int size) {
        emitMemory(storeOp(size), 0, s, 0, size, true);
    }

    /** A register that holds the ModRM operand. */
    int readRm(int size, int scratch) {
        if (mod == 3) {
            return source(rm, size, scratch);
        }
        load(scratch, size);
        return scratch;
    }

    /** As {@link #readRm} with T0, for an operand that {@link #writeBack} stores again. */
    int modifyRm(int size) {
        if (mod == 3) {
            return source(rm, size, Core.T0);
        }
        emitMemory(Op.PROBE, 0, 0, size, size, true);
        load(Core.T0, size);
        return Core.T0;
    }

    void writeBack(int size) {
        if (mod == 3) {
            if (size == 1 && !hasRex && rm >= 4) {
                emit(Op.SET_HIGH, rm - 4, Core.T0, 0, 0);
            }
        } else {
            store(Core.T0, size);
        }
    }

    void writeRm(int size, int s) {
        if (mod == 3) {
            writeRegister(rm, size, s);
        } else {
            store(s, size);
        }
    }

    void writeRegister(int register, int size, int s) {
        if (size == 1 && !hasRex && register >= 4 && register < 8) {
            emit(Op.SET_HIGH, register - 4, s, 0, 0);
        } else {
            emit(size == 1 ? Op.MOV8 : size == 2 ? Op.MOV16 : size == 4 ? Op.MOV32 : Op.MOV64, register, s, 0, 0);
        }
    }

    /** Loads memory into a register. */
    void loadRegister(int register, int size) {
        if (size >= 4) {
            load(register, size);
        } else {
            load(Core.T0, size);
            writeRegister(register, size, Core.T0);
        }
    }

    private static final int[] FAST_ALU = {0, 1, -1, -1, 2, 3, 4, 5, 6};

    void alu(int kind, int size, int d, int s) {
        int fast = kind <= Alu.TEST ? FAST_ALU[kind] : -1;
        if (fast >= 0 && size >= 4) {
            emit(Op.ADD64 + 4 * fast + (size == 4 ? 2 : 0), d, s, 0, 0);
        } else if (size == 1 && kind == Alu.CMP) {
            emit(Op.CMP8, d, s, 0, 0);
        } else if (size == 1 && kind == Alu.TEST) {
            emit(Op.TEST8, d, s, 0, 0);
        } else {
            emit(Op.ALU, d, s, kind | size << 4, 0);
        }
    }

    void aluImmediate(int kind, int size, int d, int immediate) {
        int fast = kind <= Alu.TEST ? FAST_ALU[kind] : -1;
        if (fast >= 0 && size >= 4) {
            emit(Op.ADD64 + 4 * fast + (size == 4 ? 3 : 1), d, 0, immediate, 0);
        } else if (size == 1 && kind == Alu.CMP) {
            emit(Op.CMP8I, d, 0, immediate, 0);
        } else if (size == 1 && kind == Alu.TEST) {
            emit(Op.TEST8I, d, 0, immediate, 0);
        } else {
            emit(Op.ALU, d, 0, kind | size << 4 | 256, immediate);
        }
    }

    void unary(int kind, int size, int d) {
        if (size >= 4) {
            emit(Op.INC64 + (kind - Alu.INC) * 2 + (size == 4 ? 1 : 0), d, 0, 0, 0);
        } else {
            emit(Op.ALU, d, ZERO, kind | size << 4, 0);
        }
    }

    /** An instruction that does nothing. */
    void noOperation() {
        memoryReady = true;
    }

    /** For {@code invlpg}: the linear address, neither checked nor accessed. */
    void emitInvalidate() {
        if (!code64 && (mode & Core.FLAT) == 0) {
            checkedAddress(0, false);
            useScratch();
            memoryReady = true;
        }
        emitMemory(Op.INVLPG, 0, 0, 0, 1, false);
    }

    /** Makes a {@code pop} into memory with the stack pointer as base use the one behind the pop. */
    void popBase(int size) {
        if (base == 4) {
            displacement += size;
        }
    }

    // ---- segment registers

    /** Loads a far pointer: les, lds, lss, lfs, lgs. */
    void loadFar(int target) {
        int size = operandSize;
        emitMemory(loadOp(size), Core.T0, 0, 0, size + 2, false);
        displace(size);
        load(Core.T1, 2);
        emit(Op.SEG_WRITE, 0, Core.T1, target, next());
        writeRegister(reg, size, Core.T0);
        endSegment(target);
    }

    /** The stack pointer moves only after the load of the segment register has not faulted. */
    void popSegment(int target) {
        int size = stackSize();
        emit(Op.POP, Core.T1, 0, size | 16, 0);
        emit(Op.SEG_WRITE, 0, Core.T1, target, next());
        emit(Op.ADJUST_SP, 0, 0, size, 0);
        endSegment(target);
    }

    void endSegment(int target) {
        if (!code64 || target == CpuState.SS) {
            ends = true;
            sync = true;
        }
    }

    // ---- jumps

    /** Operand size of near branches and stack operations: 64-bit mode has no 32-bit ones. */
    int stackSize() {
        return !code64 ? operandSize : operandPrefix && (rex & 8) == 0 ? 2 : 8;
    }

    /** Target of a relative branch. */
    long target(int relative) {
        long t = next() + relative;
        if (code64) {
            return t;
        }
        return operandSize == 2 ? t & 0xffff : t & 0xffffffffL;
    }

    void jump(int relative) {
        emit(Op.JMP, 0, 0, 0, target(relative));
        ends = true;
    }

    /** A conditional jump, joined with the compare before it where there is one. */
    void jumpIf(int condition, int relative) {
        long t = target(relative);
        ends = true;
        if (emitted > 0 && count > 0) {
            long last = ops[emitted * 2 - 2];
            int fused = fuse((int) last & 0x3ff, condition);
            if (fused >= 0) {
                ops[emitted * 2 - 2] = (last & ~0x3ffL & ~(31L << 20)) | fused | (long) condition << 20;
                ops[emitted * 2 - 1] = t;
                return;
            }
        }
        emit(Op.JCC, 0, 0, condition, t);
    }

    private static int fuse(int op, int condition) {
        boolean sub = (condition & 6) != 0 && (condition & 14) != 10;
        boolean logic = (condition & 14) != 10;
        return switch (op) {
            case Op.CMP64 -> sub ? Op.CMP64_JCC : -1;
            case Op.CMP64I -> sub ? Op.CMP64I_JCC : -1;
            case Op.CMP32 -> sub ? Op.CMP32_JCC : -1;
            case Op.CMP32I -> sub ? Op.CMP32I_JCC : -1;
            case Op.TEST64 -> logic ? Op.TEST64_JCC : -1;
            case Op.TEST32 -> logic ? Op.TEST32_JCC : -1;
            default -> -1;
        };
    }
}
