// SPDX-License-Identifier: Apache-2.0
package dev.alcove.cpu;

import java.io.BufferedInputStream;
import java.io.DataInputStream;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assertions.fail;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

/** Runs SSE and x87 instructions with random operands and control words on the host's processor and on the emulated one. */
class NativeVectorTest {
    private static final long SEED = Long.getLong("alcove.cpu.seed", 20261121);
    private static final int CASES = Integer.getInteger("alcove.cpu.cases", 120);
    private static final long DATA = 0x150000;
    private static final int FX = 224;
    private static final int RECORD = 48 + 64 + FX;
    private static final int[] NUMBER = {0, 3, 1, 2};

    private static final String DRIVER = """
            #define _GNU_SOURCE
            #include <setjmp.h>
            #include <signal.h>
            #include <stdint.h>
            #include <stdio.h>
            #include <stdlib.h>
            #include <string.h>
            #include <ucontext.h>
            struct state { uint64_t r[4]; uint64_t flags; uint64_t fault; uint8_t mem[64]; uint8_t fx[512]; }
                __attribute__((aligned(16)));
            extern void (*stubs[])(struct state *);
            extern char *starts[], *ends[];
            extern uint64_t forms, x87;
            static uint64_t seed;
            static sigjmp_buf back;
            static uint32_t mxcsr;
            static void trap(int s, siginfo_t *i, void *c) {
                mxcsr = ((ucontext_t *)c)->uc_mcontext.fpregs->mxcsr;
                siglongjmp(back, 1);
            }
            static uint64_t next(void) {
                seed ^= seed << 13; seed ^= seed >> 7; seed ^= seed << 17;
                return seed * 0x2545f4914f6cdd1dull;
            }
            static uint64_t pick(int n) { return (next() >> 33) % n; }
            static uint32_t single(void) {
                uint32_t e[] = { 0, 0, 1, 2, 23, 24, 25, 100, 126, 127, 128, 130, 150, 158, 190, 253, 254, 255, 255, next() >> 56 };
                uint32_t f[] = { 0, 0, 1, 2, 0x400000, 0x400001, 0x7fffff, 0x7ffffe, next() >> 41, next() >> 41, next() >> 41, next() >> 41 };
                return (uint32_t)(next() >> 63) << 31 | e[pick(20)] << 23 | f[pick(12)];
            }
            static uint64_t dbl(void) {
                uint64_t e[] = { 0, 0, 1, 2, 52, 53, 54, 500, 896, 897, 1022, 1023, 1024, 1030, 1054, 1076, 1086, 2045, 2046, 2047, 2047, next() >> 53,
                    870 + pick(60), 1000 + pick(100), 1000 + pick(100) };
                uint64_t f[] = { 0, 0, 1, 2, 1ull << 51, 1ull << 51 | 1, (1ull << 52) - 1, (1ull << 52) - 2, 1ull << 28, 3ull << 28, next() >> 12, next() >> 12, next() >> 12, next() >> 36 << 24 };
                return next() >> 63 << 63 | e[pick(25)] << 52 | f[pick(14)];
            }
            static uint64_t operand(void) {
                static const uint64_t special[] = { 0, 1, 2, 127, 128, 255, 256, 32767, 32768, 65535, 0x7fffffff,
                    0x80000000, 0xffffffff, 0x7fffffffffffffff, 0x8000000000000000, -1, -2, -128, -32768, 0x8080808080808080 };
                switch (pick(9)) {
                case 0: return special[pick(20)];
                case 1: return pick(40);
                case 2: return next();
                case 3: return next() & next() & next();
                case 4: case 5: return dbl();
                default: return single() | (uint64_t)single() << 32;
                }
            }
            static void extended(uint8_t *at) {
                uint64_t e[] = { 0, 0, 1, 2, 63, 64, 16383 - 1022 - pick(60), 16383 - 126 - pick(30), 16383 - 2, 16383 - 1, 16383, 16384, 16383 + pick(70), 16383 + pick(70),
                    16383 + 127, 16383 + 128, 16383 + 1023, 16383 + 1024, 32765, 32766, 32767, 32767, next() >> 49 };
                uint64_t t = 1ull << 63;
                uint64_t f[] = { t, t, t | 1, t | t >> 1, t | t >> 1 | 1, -1, -2, t | next(), t | next(), t | next(), t | next() >> 20 << 20, t | next() >> 50 << 50, t | next() >> 35 << 35 | 1ull << 10 };
                uint64_t k = e[pick(23)], s = f[pick(13)];
                if (k == 0) { s = pick(2) ? 0 : s >> pick(64); }
                else if (pick(40) == 0) s &= ~t;
                k |= next() >> 63 << 15;
                memcpy(at, &s, 8);
                memset(at + 8, 0, 8);
                memcpy(at + 8, &k, 2);
            }
            static void image(uint8_t *fx) {
                memset(fx, 0, 512);
                uint16_t cw = 0x37f;
                if (pick(2)) cw = (cw & ~0xf00) | pick(4) << 10 | (pick(3) + 1 & 3) % 4 << 8;
                if ((cw >> 8 & 3) == 1) cw |= 0x300;
                if (pick(6) == 0) cw = (cw & ~0x3f) | (next() >> 58);
                uint16_t sw = pick(8) << 11 | (pick(4) == 0 ? next() >> 60 << 8 & 0x4700 : 0);
                memcpy(fx, &cw, 2);
                memcpy(fx + 2, &sw, 2);
                int top = sw >> 11, depth = pick(6) == 0 ? pick(3) : 3 + pick(4), tags = 0;
                if (pick(12) == 0) depth = 8;
                for (int i = 0; i < depth; i++) tags |= 1 << (top + i & 7);
                fx[4] = tags;
                for (int i = 0; i < 8; i++) extended(fx + 32 + i * 16);
                uint32_t mx = 0x1f80 | pick(4) << 13;
                if (pick(4) == 0) mx |= pick(2) << 6 | pick(2) << 15;
                if (pick(8) == 0) mx = (mx & ~0x1f80) | (next() >> 58) << 7;
                if (pick(4) == 0) mx |= next() >> 58 & (mx >> 7);
                memcpy(fx + 24, &mx, 4);
                for (int i = 0; i < 8; i++) { uint64_t v = operand(); memcpy(fx + 160 + i * 8, &v, 8); }
            }
            int main(int argc, char **argv) {
                seed = strtoull(argv[1], 0, 10);
                int cases = atoi(argv[2]);
                static char buffer[1 << 20];
                setvbuf(stdout, buffer, _IOFBF, sizeof buffer);
                struct sigaction a = { .sa_sigaction = trap, .sa_flags = SA_NODEFER | SA_SIGINFO };
                sigaction(SIGFPE, &a, 0);
                for (uint64_t i = 0; i < forms; i++) {
                    uint32_t n = ends[i] - starts[i];
                    fwrite(&n, 4, 1, stdout);
                    fwrite(starts[i], n, 1, stdout);
                    for (int k = 0; k < cases; k++) {
                        static struct state s, in;
                        for (int j = 0; j < 4; j++) s.r[j] = operand();
                        for (int j = 0; j < 8; j++) ((uint64_t *)s.mem)[j] = operand();
                        if (pick(3) == 0) extended(s.mem + 16);
                        s.flags = (next() >> 32 & 0x8d5) | 0x202;
                        s.fault = 0;
                        image(s.fx);
                        in = s;
                        if (!sigsetjmp(back, 0)) stubs[i](&s);
                        else { s = in; s.fault = 1; memcpy(s.fx + 24, &mxcsr, 4); }
                        fwrite(&in, 48 + 64 + 224, 1, stdout);
                        fwrite(&s, 48 + 64 + 224, 1, stdout);
                    }
                }
                return 0;
            }
            """;

    private static String assembly(List<String> forms) {
        StringBuilder s = new StringBuilder(".text\n");
        String[] names = {"rax", "rbx", "rcx", "rdx"};
        for (int i = 0; i < forms.size(); i++) {
            s.append("stub").append(i).append(":\n push %rbx\n push %rbp\n push %r12\n push %r15\n mov %rdi,%r15\n")
                    .append(" fxrstor64 112(%r15)\n lea 48(%r15),%rdi\n push 32(%r15)\n popfq\n");
            for (int k = 0; k < 4; k++) {
                s.append(" mov ").append(k * 8).append("(%r15),%").append(names[k]).append('\n');
            }
            s.append("start").append(i).append(": ").append(forms.get(i)).append("\nend").append(i).append(":\n");
            for (int k = 0; k < 4; k++) {
                s.append(" mov %").append(names[k]).append(',').append(k * 8).append("(%r15)\n");
            }
            s.append(" pushfq\n pop 32(%r15)\n cld\n fxsave64 112(%r15)\n fninit\n pushq $0x1f80\n ldmxcsr (%rsp)\n")
                    .append(" pop %r15\n pop %r15\n pop %r12\n pop %rbp\n pop %rbx\n ret\n");
        }
        s.append(".data\n.globl stubs,starts,ends,forms\nforms: .quad ").append(forms.size()).append('\n');
        for (String table : List.of("stub", "start", "end")) {
            s.append(table).append("s:\n");
            for (int i = 0; i < forms.size(); i++) {
                s.append(" .quad ").append(table).append(i).append('\n');
            }
        }
        return s.append(".section .note.GNU-stack,\"\",@progbits\n").toString();
    }

    private static String run(Path directory, Path output, String... command) throws IOException, InterruptedException {
        ProcessBuilder b = new ProcessBuilder(command).directory(directory.toFile());
        Path errors = directory.resolve("errors");
        b.redirectError(errors.toFile());
        b.redirectOutput(output.toFile());
        int status = b.start().waitFor();
        return status == 0 ? "" : command[0] + ": " + status + "\n" + Files.readString(errors);
    }

    @Test
    void sameResultsAsTheHost(@TempDir Path directory) throws Exception {
        String arch = System.getProperty("os.arch");
        assumeTrue(arch.equals("amd64") || arch.equals("x86_64"), "the host is not an x86-64 processor");
        List<String> forms = new ArrayList<>(VectorForms.all());
        String only = System.getProperty("alcove.cpu.forms");
        if (only != null) {
            forms.removeIf(f -> !f.matches(only));
        }
        Files.writeString(directory.resolve("forms.S"), assembly(forms));
        Files.writeString(directory.resolve("driver.c"), DRIVER);
        Path result = directory.resolve("result");
        String problem;
        try {
            problem = run(directory, result, "gcc", "-O1", "-no-pie", "-o", "driver", "driver.c", "forms.S");
        } catch (IOException e) {
            assumeTrue(false, "no gcc: " + e.getMessage());
            return;
        }
        assertTrue(problem.isEmpty(), problem);
        problem = run(directory, result, directory.resolve("driver").toString(), "" + SEED, "" + CASES);
        assumeTrue(!problem.contains(": 132"), "the host lacks an instruction");
        assertTrue(problem.isEmpty(), problem);
        List<String> differences = new ArrayList<>();
        try (Machine m = new Machine(4 << 20);
                DataInputStream in = new DataInputStream(new BufferedInputStream(Files.newInputStream(result), 1 << 20))) {
            m.long64();
            m.gate64(Fault.XM, Machine.CODE + 0x2000, 0, 0);
            m.code(Machine.CODE + 0x2000, "f4");
            CpuState s = m.cpu.state();
            s.cr4 |= Core.CR4_OSFXSR | Core.CR4_OSXMMEXCPT;
            m.cpu.stateChanged();
            for (String form : forms) {
                String d = compare(m, form, in);
                if (!d.isEmpty()) {
                    differences.add(d);
                }
            }
        }
        if (!differences.isEmpty()) {
            fail("seed " + SEED + ", " + differences.size() + " of " + forms.size() + " forms differ:\n"
                    + String.join("\n", differences.subList(0, Math.min(25, differences.size()))));
        }
    }

    /** Runs all cases of a form; the first difference, or an empty string. */
    private static String compare(Machine m, String form, DataInputStream in) throws IOException {
        byte[] code = new byte[Integer.reverseBytes(in.readInt())];
        in.readFully(code);
        m.put(Machine.CODE, code);
        m.put(Machine.CODE + code.length, 0xf4);
        byte[] bytes = new byte[RECORD];
        MemorySegment before = MemorySegment.ofArray(new byte[FpuState.IMAGE_SIZE]);
        MemorySegment after = MemorySegment.ofArray(new byte[FpuState.IMAGE_SIZE]);
        String first = "";
        int bad = 0;
        for (int k = 0; k < CASES; k++) {
            in.readFully(bytes);
            ByteBuffer input = ByteBuffer.wrap(bytes.clone()).order(ByteOrder.LITTLE_ENDIAN);
            in.readFully(bytes);
            ByteBuffer expected = ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN);
            CpuState s = m.cpu.state();
            for (int i = 0; i < 4; i++) {
                s.gpr[NUMBER[i]] = input.getLong(i * 8);
            }
            s.gpr[7] = DATA;
            s.rflags = input.getLong(32);
            s.rip = Machine.CODE;
            s.gpr[4] = Machine.STACK;
            MemorySegment.copy(input.array(), 48, m.memory, ValueLayout.JAVA_BYTE, DATA, 64);
            MemorySegment.copy(input.array(), 112, before, ValueLayout.JAVA_BYTE, 0, FX);
            s.fpu.load(before);
            m.cpu.stateChanged();
            CpuExit exit = m.cpu.run();
            String d = difference(m, exit, code.length, expected, after);
            if (!d.isEmpty() && bad++ == 0) {
                first = form + ": case " + k + d + " | in:" + describe(input);
            }
        }
        return bad == 0 ? "" : bad + " cases of " + first;
    }

    private static String difference(Machine m, CpuExit exit, int length, ByteBuffer expected, MemorySegment after) {
        StringBuilder d = new StringBuilder();
        CpuState s = m.cpu.state();
        if (!(exit instanceof CpuExit.Halt)) {
            return " exit " + exit;
        }
        boolean fault = expected.getLong(40) != 0;
        boolean faulted = s.rip == Machine.CODE + 0x2001;
        if (fault != faulted || (!faulted && s.rip != Machine.CODE + length + 1)) {
            return " fault " + faulted + " expected " + fault + " rip " + Long.toHexString(s.rip);
        }
        for (int i = 0; i < 4; i++) {
            if (s.gpr[NUMBER[i]] != expected.getLong(i * 8)) {
                d.append(" r").append(NUMBER[i]).append(' ').append(Long.toHexString(s.gpr[NUMBER[i]])).append(" expected ")
                        .append(Long.toHexString(expected.getLong(i * 8)));
            }
        }
        if (!faulted && ((s.rflags ^ expected.getLong(32)) & Flags.ARITHMETIC) != 0) {
            d.append(" flags ").append(Long.toHexString(s.rflags)).append(" expected ").append(Long.toHexString(expected.getLong(32)));
        }
        for (int i = 0; i < 64; i += 8) {
            if (m.get64(DATA + i) != expected.getLong(48 + i)) {
                d.append(" mem ").append(i).append(' ').append(Long.toHexString(m.get64(DATA + i))).append(" expected ")
                        .append(Long.toHexString(expected.getLong(48 + i)));
            }
        }
        s.fpu.save(after);
        for (int i = 0; i < FX; i += 4) {
            int e = expected.getInt(112 + i);
            int v = after.get(ValueLayout.JAVA_INT_UNALIGNED, i);
            boolean pointer = (i >= 8 && i < 24) || i == 28; // nor the mask of MXCSR, which has a bit more on AMD processors
            if (i == 4) {
                e &= 0xff; // not the opcode
                v &= 0xff;
            }
            if (e != v && !pointer) {
                String name = i == 0 ? "sw:cw" : i == 4 ? "tags" : i == 24 ? "mxcsr" : i < 160 ? "st" + (i - 32) / 16 + "+" + i % 16
                        : "xmm" + (i - 160) / 16 + "+" + i % 16;
                d.append(' ').append(name).append(' ').append(Integer.toHexString(v)).append(" expected ").append(Integer.toHexString(e));
            }
        }
        return d.toString();
    }

    private static String describe(ByteBuffer in) {
        StringBuilder s = new StringBuilder();
        s.append(" cw ").append(Integer.toHexString(in.getShort(112))).append(" sw ").append(Integer.toHexString(in.getShort(114)))
                .append(" tags ").append(Integer.toHexString(in.get(116) & 255)).append(" mxcsr ").append(Integer.toHexString(in.getInt(136)));
        for (int i = 0; i < 3; i++) {
            s.append(" st").append(i).append('=').append(Integer.toHexString(in.getShort(112 + 40 + i * 16))).append(':')
                    .append(Long.toHexString(in.getLong(112 + 32 + i * 16)));
        }
        for (int i = 0; i < 4; i++) {
            s.append(" xmm").append(i).append('=').append(Long.toHexString(in.getLong(112 + 168 + i * 16))).append(':')
                    .append(Long.toHexString(in.getLong(112 + 160 + i * 16)));
        }
        s.append(" mem16=").append(Long.toHexString(in.getLong(72))).append(':').append(Long.toHexString(in.getLong(64)));
        s.append(" rax=").append(Long.toHexString(in.getLong(0)));
        return s.toString();
    }
}
