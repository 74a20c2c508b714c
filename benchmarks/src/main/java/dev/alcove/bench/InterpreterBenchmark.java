// SPDX-License-Identifier: Apache-2.0
package dev.alcove.bench;

import dev.alcove.cpu.Cpu;
import dev.alcove.cpu.CpuExit;
import dev.alcove.cpu.CpuState;
import dev.alcove.cpu.GuestBus;
import dev.alcove.cpu.SegmentRegister;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.concurrent.TimeUnit;
import org.openjdk.jmh.annotations.AuxCounters;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Fork;
import org.openjdk.jmh.annotations.Measurement;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;
import org.openjdk.jmh.annotations.Warmup;

/**
 * How fast the emulated processor executes 64-bit code: the counter {@code instructions} is in instructions per
 * microsecond, that is, million instructions per second.
 */
@State(Scope.Thread)
@BenchmarkMode(Mode.Throughput)
@OutputTimeUnit(TimeUnit.MICROSECONDS)
@Warmup(iterations = 4, time = 2)
@Measurement(iterations = 5, time = 2)
@Fork(1)
public class InterpreterBenchmark {
    private static final long MEMORY = 16 << 20;
    private static final long PAGE_TABLES = 0x10000;
    private static final long CODE = 0x100000;
    private static final long STACK = 0x180000;

    /**
     * {@code sum}: an addition in a loop of three instructions; {@code xorshift}: a pseudo-random generator in
     * registers; {@code fib}: fib(24), calls and stack; {@code memory}: load, add, store along 400 KB; {@code copy}:
     * {@code movups} there; {@code double}: a sum and a product.
     */
    @Param({"sum", "xorshift", "fib", "memory", "copy", "double"})
    public String program = "";

    /** Instructions executed, reported beside the score. */
    @State(Scope.Thread)
    @AuxCounters(AuxCounters.Type.OPERATIONS)
    public static class Counters {
        public long instructions;
    }

    private final Arena arena = Arena.ofShared();
    private final MemorySegment memory = arena.allocate(MEMORY, 4096);
    private final Cpu cpu = new Cpu(new Memory(memory.address()));

    private static String code(String program) {
        return switch (program) {
            // mov ecx,100000; xor eax,eax; l: add rax,rcx; dec rcx; jnz l; hlt
            case "sum" -> "b9a0860100 31c0 4801c8 48ffc9 75f8 f4";
            // mov ecx,20000; mov eax,1; l: x ^= x << 13; x ^= x >> 7; x ^= x << 17; x *= x; dec rcx; jnz l; hlt
            case "xorshift" ->
                "b9204e0000 b801000000 4889c2 48c1e20d 4831d0 4889c2 48c1ea07 4831d0 4889c2 48c1e211 4831d0 480fafc0"
                        + "48ffc9 75e1 f4";
            // mov edi,24; call fib; hlt
            case "fib" ->
                "bf18000000 e801000000 f4 83ff01 761b 53 55 89fb 8d7fff e8efffffff 89c5 8d7bfe e8e5ffffff 01e8 5d 5b"
                        + "c3 89f8 c3";
            // mov edi,200000; mov ecx,100000; l: movups xmm0,[rdi]; movups [rdi+16],xmm0; add rdi,16; and edi,3fffff;
            // dec ecx; jnz l; hlt
            case "copy" -> "bf00002000 b9a0860100 0f1007 0f114710 4883c710 81e7ffff3f00 ffc9 75ea f4";
            // mov ecx,100000; l: addsd xmm0,xmm1; mulsd xmm2,xmm1; dec ecx; jnz l; hlt
            case "double" -> "b9a0860100 f20f58c1 f20f59d1 ffc9 75f4 f4";
            // mov edi,200000; mov ecx,100000; l: and edi,3fffff; mov eax,[rdi]; add eax,3; mov [rdi],eax;
            // add rdi,4; dec ecx; jnz l; hlt
            default -> "bf00002000 b9a0860100 81e7ffff3f00 8b07 83c003 8907 4883c704 ffc9 75eb f4";
        };
    }

    @Setup
    public void load() {
        byte[] bytes = HexFormat.of().parseHex(code(program).replace(" ", ""));
        MemorySegment.copy(bytes, 0, memory, ValueLayout.JAVA_BYTE, CODE, bytes.length);
        long directory = PAGE_TABLES + 0x2000;
        memory.set(ValueLayout.JAVA_LONG, PAGE_TABLES, PAGE_TABLES + 0x1000 | 3);
        memory.set(ValueLayout.JAVA_LONG, PAGE_TABLES + 0x1000, directory | 3);
        for (long i = 0; i < MEMORY >> 21; i++) {
            memory.set(ValueLayout.JAVA_LONG, directory + i * 8, i << 21 | 0x83);
        }
        CpuState s = cpu.state();
        for (SegmentRegister g : s.segment) {
            g.set(0x10, 0, -1, 0xc09300);
        }
        s.segment[CpuState.CS].set(8, 0, -1, 0xa09b00);
        s.cr0 = 0x80000011L;
        s.cr3 = PAGE_TABLES;
        s.cr4 = 0x620;
        Arrays.fill(s.fpu.xmm, 0x3ff3333333333333L); // 1.2
        s.fpu.mxcsr = 0x1f80;
        s.efer = 0x500;
        cpu.stateChanged();
    }

    @TearDown
    public void release() {
        arena.close();
    }

    /** Runs the program once. */
    @Benchmark
    public long run(Counters counters) {
        CpuState s = cpu.state();
        s.rip = CODE;
        s.gpr[4] = STACK;
        cpu.stateChanged();
        long before = cpu.instructions();
        CpuExit exit = cpu.run();
        if (!(exit instanceof CpuExit.Halt)) {
            throw new IllegalStateException(program + ": " + exit);
        }
        counters.instructions += cpu.instructions() - before;
        return cpu.state().gpr[0];
    }

    /** Memory and no devices. */
    private record Memory(long base) implements GuestBus {
        @Override
        public long page(long gpa, boolean write) {
            return gpa >= 0 && gpa < MEMORY ? base + (gpa & -4096) : MMIO;
        }

        @Override
        public boolean mmioRead(long gpa, int size, long[] answer) {
            return false;
        }

        @Override
        public boolean mmioWrite(long gpa, int size, long value) {
            return false;
        }

        @Override
        public boolean portRead(int port, int size, long[] answer) {
            return false;
        }

        @Override
        public boolean portWrite(int port, int size, long value) {
            return false;
        }

        @Override
        public boolean msrRead(int index, long[] answer) {
            return false;
        }

        @Override
        public boolean msrWrite(int index, long value) {
            return false;
        }

        @Override
        public void cpuid(int leaf, int subleaf, int[] result) {
            Arrays.fill(result, 0);
        }

        @Override
        public long tsc() {
            return System.nanoTime();
        }

        @Override
        public boolean attend(Cpu processor) {
            return true;
        }
    }
}
