// SPDX-License-Identifier: Apache-2.0
package dev.alcove.cpu;

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

/** Runs each instruction form with random operands on the host's processor and on the emulated one. */
class NativeComparisonTest {
    private static final long SEED = 20261120;
    private static final int CASES = 200;
    private static final long DATA = 0x150000;
    private static final int REGISTERS = 8;
    private static final int[] NUMBER = {0, 3, 1, 2, 6, 7, 8, 9};
    private static final String[] NAME = {"rax", "rbx", "rcx", "rdx", "rsi", "rdi", "r8", "r9"};

    private static final String DRIVER = """
            #include <setjmp.h>
            #include <signal.h>
            #include <stdint.h>
            #include <stdio.h>
            #include <stdlib.h>
            struct state { uint64_t r[8]; uint64_t flags; uint64_t fault; uint8_t mem[64]; } __attribute__((aligned(16)));
            extern void (*stubs[])(struct state *);
            extern char *starts[], *ends[];
            extern uint64_t forms;
            static uint64_t seed;
            static sigjmp_buf back;
            static void trap(int s) { siglongjmp(back, s); }
            static uint64_t next(void) {
                seed ^= seed << 13; seed ^= seed >> 7; seed ^= seed << 17;
                return seed * 0x2545f4914f6cdd1dull;
            }
            static uint64_t operand(void) {
                static const uint64_t special[] = { 0, 1, 2, 127, 128, 255, 256, 32767, 32768, 65535, 0x7fffffff,
                    0x80000000, 0xffffffff, 0x7fffffffffffffff, 0x8000000000000000, -1, -2, -128, -32768, 0x8080808080808080 };
                uint64_t k = next() >> 60;
                if (k < 5) return special[(next() >> 32) % 20];
                if (k < 7) return next() >> 56;
                if (k < 9) return (int64_t)next() >> 56;
                if (k < 10) return next() >> 32;
                return next();
            }
            int main(int argc, char **argv) {
                seed = strtoull(argv[1], 0, 10);
                int cases = atoi(argv[2]);
                struct sigaction a = { .sa_handler = trap, .sa_flags = SA_NODEFER };
                sigaction(SIGFPE, &a, 0);
                for (uint64_t i = 0; i < forms; i++) {
                    uint32_t n = ends[i] - starts[i];
                    fwrite(&n, 4, 1, stdout);
                    fwrite(starts[i], n, 1, stdout);
                    for (int k = 0; k < cases; k++) {
                        static struct state s, in;
                        for (int j = 0; j < 8; j++) s.r[j] = operand();
                        for (int j = 0; j < 8; j++) ((uint64_t *)s.mem)[j] = operand();
                        s.r[5] = (uint64_t)s.mem;
                        s.flags = (next() >> 32 & 0x8d5) | 0x202;
                        s.fault = 0;
                        in = s;
                        if (!sigsetjmp(back, 1)) stubs[i](&s); else { s = in; s.fault = 1; }
                        fwrite(&in, sizeof in, 1, stdout);
                        fwrite(&s, sizeof s, 1, stdout);
                    }
                }
                return 0;
            }
            """;

    private static String assembly(List<InstructionForms.Form> forms) {
        StringBuilder s = new StringBuilder(".text\n");
        String[] registers = NAME;
        for (int i = 0; i < forms.size(); i++) {
            s.append("stub").append(i).append(":\n push %rbx\n push %rbp\n push %r12\n push %r15\n mov %rdi,%r15\n")
                    .append(" push 64(%r15)\n popfq\n");
            for (int k = 0; k < REGISTERS; k++) {
                s.append(" mov ").append(k * 8).append("(%r15),%").append(registers[k]).append('\n');
            }
            s.append("start").append(i).append(": ").append(forms.get(i).text()).append("\nend").append(i).append(":\n");
            for (int k = 0; k < REGISTERS; k++) {
                s.append(" mov %").append(registers[k]).append(',').append(k * 8).append("(%r15)\n");
            }
            s.append(" pushfq\n pop 64(%r15)\n cld\n pop %r15\n pop %r12\n pop %rbp\n pop %rbx\n ret\n");
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

    private static boolean hostIsX86() {
        String arch = System.getProperty("os.arch");
        return arch.equals("amd64") || arch.equals("x86_64");
    }

    @Test
    void sameResultsAsTheHost(@TempDir Path directory) throws Exception {
        assumeTrue(hostIsX86(), "the host is not an x86-64 processor");
        List<InstructionForms.Form> forms = InstructionForms.all();
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
        assertTrue(problem.isEmpty(), problem);
        ByteBuffer in = ByteBuffer.wrap(Files.readAllBytes(result)).order(ByteOrder.LITTLE_ENDIAN);
        List<String> differences = new ArrayList<>();
        try (Machine m = new Machine(4 << 20)) {
            m.long64();
            m.gate64(Fault.DE, Machine.CODE + 0x2000, 0, 0);
            m.code(Machine.CODE + 0x2000, "f4");
            for (InstructionForms.Form form : forms) {
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
    private static String compare(Machine m, InstructionForms.Form form, ByteBuffer in) {
        byte[] code = new byte[in.getInt()];
        in.get(code);
        m.put(Machine.CODE, code);
        m.put(Machine.CODE + code.length, 0xf4);
        String difference = "";
        int bad = 0;
        for (int k = 0; k < CASES; k++) {
            CpuState s = m.cpu.state();
            long[] before = new long[REGISTERS];
            for (int i = 0; i < REGISTERS; i++) {
                before[i] = in.getLong();
                s.gpr[NUMBER[i]] = i == 5 ? DATA : before[i];
            }
            long flagsBefore = in.getLong();
            s.rflags = flagsBefore;
            s.rip = Machine.CODE;
            s.gpr[4] = Machine.STACK;
            in.getLong();
            byte[] mem = new byte[64];
            in.get(mem);
            MemorySegment.copy(mem, 0, m.memory, ValueLayout.JAVA_BYTE, DATA, 64);
            m.cpu.stateChanged();
            CpuExit exit = m.cpu.run();
            s = m.cpu.state();
            StringBuilder d = new StringBuilder();
            long[] expected = new long[REGISTERS];
            for (int i = 0; i < REGISTERS; i++) {
                expected[i] = in.getLong();
            }
            long flags = in.getLong();
            boolean fault = in.getLong() != 0;
            in.get(mem);
            if (!(exit instanceof CpuExit.Halt)) {
                d.append(" exit ").append(exit);
            }
            boolean faulted = s.rip == Machine.CODE + 0x2001;
            if (fault != faulted) {
                d.append(" #DE ").append(faulted).append(" expected ").append(fault);
            } else if (!fault) {
                if (s.rip != Machine.CODE + code.length + 1) {
                    d.append(" rip ").append(Long.toHexString(s.rip));
                }
                for (int i = 0; i < REGISTERS; i++) {
                    long e = i == 5 ? DATA : expected[i];
                    if (s.gpr[NUMBER[i]] != e) {
                        d.append(' ').append(NAME[i]).append(' ').append(Long.toHexString(s.gpr[NUMBER[i]]))
                                .append(" expected ").append(Long.toHexString(e));
                    }
                }
                long mask = Flags.ARITHMETIC & ~form.undefined();
                if (((s.rflags ^ flags) & mask) != 0) {
                    d.append(" flags ").append(Long.toHexString(s.rflags & mask)).append(" expected ")
                            .append(Long.toHexString(flags & mask));
                }
                for (int i = 0; i < 64; i++) {
                    if ((byte) m.get8(DATA + i) != mem[i]) {
                        d.append(" byte ").append(i).append(' ').append(Integer.toHexString(m.get8(DATA + i)))
                                .append(" expected ").append(Integer.toHexString(mem[i] & 0xff));
                        break;
                    }
                }
            }
            if (!d.isEmpty() && bad++ == 0) {
                StringBuilder inputs = new StringBuilder();
                for (int i = 0; i < REGISTERS; i++) {
                    inputs.append(' ').append(NAME[i]).append('=').append(Long.toHexString(before[i]));
                }
                difference = form.text() + ": case " + k + d + " | in:" + inputs + " flags "
                        + Long.toHexString(flagsBefore);
            }
        }
        return bad == 0 ? "" : bad + " cases of " + difference;
    }
}
