// SPDX-License-Identifier: Apache-2.0
package dev.alcove.cpu;

/**
 * Micro-operations. Each has two words; the first one is packed as
 *
 * <pre>
 *  bits  0..9   operation
 *  bits 10..14  d: destination register
 *  bits 15..19  s: source register
 *  bits 20..24  base register of a memory operand
 *  bits 25..29  index register
 *  bits 30..31  log2 of the scale
 *  bits 32..63  hi: a signed immediate or details
 * </pre>
 *
 * and the second one holds a displacement, a target or a 64-bit immediate. Registers are indices into {@link Core#r}.
 * A memory operand of an operation is at {@code r[base] + (r[index] << scale) + second word}, a linear address.
 *
 * <p>Operations below {@link #FIRST_COLD} are executed by {@link Interpreter#run} itself, the others by
 * {@link ColdOps}. An instruction becomes one or more operations; all that may fault come before the first one that
 * changes architectural state.
 */
final class Op {

    /** Falls through into the code at the second word. */
    static final int END = 0;

    /** Leaves the interpreter with the instruction pointer in the second word. */
    static final int SYNC = 1;

    /** Jumps to the second word. */
    static final int JMP = 2;

    /** Jumps to the second word if the condition hi holds. */
    static final int JCC = 3;

    /** Compares d with s, then jumps on the condition in the base field; so do the next ones, with hi for s or 32 bits. */
    static final int CMP64_JCC = 4;
    static final int CMP64I_JCC = 5;
    static final int CMP32_JCC = 6;
    static final int CMP32I_JCC = 7;

    /** Tests d with s, then jumps on the condition in the base field. */
    static final int TEST64_JCC = 8;
    static final int TEST32_JCC = 9;

    /** Jumps to register s. */
    static final int JMPR = 10;

    /** 64-bit mode: pushes the end of the block, then jumps to the second word. */
    static final int CALL = 11;

    /** 64-bit mode: pushes the end of the block, then jumps to register s. */
    static final int CALLR = 12;

    /** 64-bit mode: pops the target, then adds hi to RSP. */
    static final int RET = 13;

    /** d = s. */
    static final int MOV64 = 14;

    /** d = low 32 bits of s. */
    static final int MOV32 = 15;

    /** d = second word. */
    static final int MOVI = 16;

    /** Low 16 bits of d = s. */
    static final int MOV16 = 17;

    /** Low 8 bits of d = s. */
    static final int MOV8 = 18;

    /** d = zero-extended s. */
    static final int ZX8 = 19;
    static final int ZX16 = 20;

    /** d = s, sign-extended to 32 bits and zero-extended. */
    static final int SX8_32 = 21;
    static final int SX8_64 = 22;
    static final int SX16_32 = 23;
    static final int SX16_64 = 24;
    static final int SX32_64 = 25;

    /** d = address. */
    static final int LEA64 = 26;

    /** d = low 32 bits of the address. */
    static final int LEA32 = 27;

    /** d = address + base of segment hi. */
    static final int LEA_SEG = 28;

    /** d = zero-extended memory. */
    static final int LD8 = 29;
    static final int LD16 = 30;
    static final int LD32 = 31;
    static final int LD64 = 32;

    /** Memory = s. */
    static final int ST8 = 33;
    static final int ST16 = 34;
    static final int ST32 = 35;
    static final int ST64 = 36;

    /** Memory = hi. */
    static final int STI8 = 37;
    static final int STI16 = 38;
    static final int STI32 = 39;
    static final int STI64 = 40;

    /** Raises the fault that a store of hi bytes would raise. */
    static final int PROBE = 41;

    /** d = d op s with flags, as the next ones with hi for s. */
    static final int ADD64 = 42;
    static final int ADD64I = 43;
    static final int ADD32 = 44;
    static final int ADD32I = 45;
    static final int OR64 = 46;
    static final int OR64I = 47;
    static final int OR32 = 48;
    static final int OR32I = 49;
    static final int AND64 = 50;
    static final int AND64I = 51;
    static final int AND32 = 52;
    static final int AND32I = 53;
    static final int SUB64 = 54;
    static final int SUB64I = 55;
    static final int SUB32 = 56;
    static final int SUB32I = 57;
    static final int XOR64 = 58;
    static final int XOR64I = 59;
    static final int XOR32 = 60;
    static final int XOR32I = 61;
    static final int CMP64 = 62;
    static final int CMP64I = 63;
    static final int CMP32 = 64;
    static final int CMP32I = 65;
    static final int TEST64 = 66;
    static final int TEST64I = 67;
    static final int TEST32 = 68;
    static final int TEST32I = 69;
    static final int CMP8 = 70;
    static final int CMP8I = 71;
    static final int TEST8 = 72;
    static final int TEST8I = 73;
    static final int INC64 = 74;
    static final int INC32 = 75;
    static final int DEC64 = 76;
    static final int DEC32 = 77;
    static final int NEG64 = 78;
    static final int NEG32 = 79;
    static final int NOT64 = 80;
    static final int NOT32 = 81;

    /** Shifts d by hi, which is from 1 to the operand width - 1. */
    static final int SHL64I = 82;
    static final int SHL32I = 83;
    static final int SHR64I = 84;
    static final int SHR32I = 85;
    static final int SAR64I = 86;
    static final int SAR32I = 87;

    /** d = d * s. */
    static final int IMUL64 = 88;
    static final int IMUL32 = 89;

    /** d = s * hi. */
    static final int IMUL64I = 90;
    static final int IMUL32I = 91;

    /** Low 8 bits of d = condition hi. */
    static final int SETCC = 92;

    /** If condition hi, d = s. */
    static final int CMOV64 = 93;
    static final int CMOV32 = 94;

    /** 64-bit mode: pushes s. */
    static final int PUSH64 = 95;
    static final int PUSH64I = 96;
    static final int POP64 = 97;

    /** 64-bit mode: RSP = RBP, then pops RBP. */
    static final int LEAVE64 = 98;

    /** The first one that is not in the interpreter's own switch. */
    static final int FIRST_COLD = 128;

    /** d = d op s: hi = {@link Alu} kind | size << 4 | 256 if the second word replaces s. */
    static final int ALU = 128;

    /** Rotates or shifts d: hi = kind | size << 4 | 256 if the second word is the count, else s holds it. */
    static final int SHIFT = 129;

    /** Double shift of d from s: hi = 1 for right | size << 4 | 256 if the second word is the count, else CL. */
    static final int SHLD = 130;

    /** RDX:RAX = RAX * s; hi = size | 16 when signed. */
    static final int MUL = 131;

    /** RDX:RAX divided by s; hi = size | 16 when signed. */
    static final int DIV = 132;

    /** d = s * T1, 16 bits. */
    static final int IMUL16 = 133;

    /** d = bits 8 to 15 of s. */
    static final int GET_HIGH = 134;

    /** Bits 8 to 15 of d = s. */
    static final int SET_HIGH = 135;

    /** cbw, cwde, cdqe (hi = size). */
    static final int WIDEN = 136;

    /** cwd, cdq, cqo (hi = size). */
    static final int WIDEN_PAIR = 137;

    /** d = reversed s, hi = size. */
    static final int BSWAP = 138;

    /** Bit s of d: hi = kind (0 bt, 1 bts, 2 btr, 3 btc) | size << 4 | 256 if the second word is the bit. */
    static final int BT = 139;

    /** d = memory address + byte offset of bit s, in units of hi = size bytes. */
    static final int BIT_ADDRESS = 140;

    /** d from s: hi = kind (0 bsf, 1 bsr, 2 tzcnt, 3 lzcnt, 4 popcnt) | size << 4. */
    static final int BIT_SCAN = 141;
    static final int CMOV16 = 142;

    /** hi: 0 cmc, 1 clc, 2 stc, 3 cld, 4 std, 5 sahf, 6 lahf. */
    static final int FLAG = 143;

    /** hi: 0 daa, 1 das, 2 aaa, 3 aas, 4 aam, 5 aad, 6 salc; second word is the base. */
    static final int BCD = 144;

    /** Exchanges d and s, hi = size. */
    static final int XCHG = 145;

    /** Compares RAX with d; d = s or RAX = d; hi = size. */
    static final int CMPXCHG = 146;

    /** s = d, d = d + s; hi = size. */
    static final int XADD = 147;

    /** Atomic change of memory: hi = {@link Atomics} kind | size << 5; operand s, old value to d. */
    static final int LOCKED = 148;

    /** d = linear address of an access of hi & 1023 bytes (0: only the address) in segment hi >> 16 & 7; hi bit 10 write, bits 12 and 13 log2 of the address size. */
    static final int EA_CHECK = 149;

    /** Pushes s: hi = size. */
    static final int PUSH = 150;

    /** d = popped: hi = size | 16 to leave the stack pointer alone. */
    static final int POP = 151;

    /** Adds hi to the stack pointer. */
    static final int ADJUST_SP = 152;

    /** hi = size. */
    static final int PUSHA = 153;
    static final int POPA = 154;

    /** hi = size | level << 8, second word the frame size. */
    static final int ENTER = 155;

    /** hi = size. */
    static final int LEAVE = 156;

    /** Pushes the end of the block with size hi, then jumps to s. */
    static final int CALL_NEAR = 157;

    /** Pops the target: hi = size, second word is added to the stack pointer. */
    static final int RET_NEAR = 158;

    /** Jumps to s, checked against the limit of CS. */
    static final int JMP_NEAR = 159;

    /** hi = 0 loopne, 1 loope, 2 loop, 3 jcxz | address size << 4; jumps to the second word. */
    static final int LOOP = 160;

    /** hi = kind (0 movs, 1 cmps, 2 stos, 3 lods, 4 scas, 5 ins, 6 outs) | size << 4 | rep << 8 (1 rep/repe, 2 repne) | address size << 12 | segment << 16; second word is this instruction. */
    static final int STRING = 161;
    static final int FENCE = 162;

    /** To XMM register d from XMM register s or memory: see {@link VectorOps}. */
    static final int VECTOR = 163;

    /** An SSE instruction of {@link VectorMoves}. */
    static final int VECTOR_MOVE = 164;

    /** An x87 instruction: hi = ModRM | (opcode & 7) << 8 | 1 << 11 for memory; {@link X87}. */
    static final int X87 = 165;

    /** hi = {@link FpuImages} kind, with REX.W in bit 8; for ldmxcsr and stmxcsr too. */
    static final int FPU_IMAGE = 166;

    /** d = the checksum CRC-32C of d and s: hi = size of s. */
    static final int CRC32 = 167;

    /** The first one of {@link SystemOps}. */
    static final int FIRST_SYSTEM = 192;

    /** AL, AX or EAX from port s: hi = size. */
    static final int IN = 192;
    static final int OUT = 193;
    static final int CPUID = 194;
    static final int RDTSC = 195;
    static final int RDTSCP = 196;
    static final int RDMSR = 197;
    static final int WRMSR = 198;
    static final int RDPMC = 199;

    /** Second word is the next instruction, as for all that change the instruction pointer. */
    static final int HLT = 200;
    static final int VMCALL = 201;

    /** hi = 1 an MMX instruction, 2 fwait, 3 emms. */
    static final int FPU = 203;

    /** hi = 0 xgetbv, 1 xsetbv. */
    static final int XCR = 202;
    static final int CLI = 204;
    static final int STI = 205;

    /** hi = size. */
    static final int PUSHF = 206;
    static final int POPF = 207;

    /** hi = vector | 256 for int3 and into; second word is the next instruction. */
    static final int INT = 208;
    static final int INTO = 209;

    /** hi = size. */
    static final int IRET = 210;

    /** To selector T1, offset T0. */
    static final int FAR_JMP = 211;

    /** The same; hi = size. */
    static final int FAR_CALL = 212;

    /** hi = size | bytes << 8. */
    static final int FAR_RET = 213;

    /** d = selector of hi (6 LDTR, 7 TR). */
    static final int SEG_READ = 214;

    /** Loads segment register hi with selector s. */
    static final int SEG_WRITE = 215;

    /** hi = address and operand size in bytes. */
    static final int LGDT = 216;
    static final int LIDT = 217;
    static final int SGDT = 218;
    static final int SIDT = 219;
    static final int LLDT = 220;
    static final int LTR = 221;

    /** d from selector s, hi = size. */
    static final int LAR = 222;
    static final int LSL = 223;

    /** hi = 0 verr, 1 verw, selector s. */
    static final int VERR = 224;

    /** d, s. */
    static final int ARPL = 225;

    /** d = CR hi. */
    static final int CR_READ = 226;

    /** CR hi = s. */
    static final int CR_WRITE = 227;
    static final int DR_READ = 228;
    static final int DR_WRITE = 229;
    static final int LMSW = 230;

    /** d = CR0, hi = size. */
    static final int SMSW = 231;
    static final int CLTS = 232;
    static final int INVLPG = 233;
    static final int INVPCID = 234;
    static final int WBINVD = 235;
    static final int SWAPGS = 236;

    /** Second word is the next instruction. */
    static final int SYSCALL = 237;

    /** hi = size. */
    static final int SYSRET = 238;
    static final int SYSENTER = 239;
    static final int SYSEXIT = 240;

    /** hi = 0 rdfsbase, 1 rdgsbase, 2 wrfsbase, 3 wrgsbase | size << 4; register d. */
    static final int FSGSBASE = 241;
    static final int RDPID = 242;

    /** stac, clac: hi = 1 or 0. */
    static final int AC = 243;

    /** Raises #GP where CR4.UMIP forbids the instruction to user mode. */
    static final int UMIP = 244;

    private Op() {}
}
