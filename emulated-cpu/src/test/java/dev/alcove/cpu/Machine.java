// SPDX-License-Identifier: Apache-2.0
package dev.alcove.cpu;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Predicate;

/** A processor with some memory from address 0, and devices that tests describe. */
final class Machine implements GuestBus, AutoCloseable {
    static final long GDT = 0x1000;
    static final long IDT = 0x2000;
    static final long TSS = 0x3000;
    static final long PML4 = 0x10000;
    static final long CODE = 0x100000;
    static final long STACK = 0x180000;
    static final int CS64 = 0x08;
    static final int DATA = 0x10;
    static final int CS32 = 0x18;
    static final int USER_CS32 = 0x23;
    static final int USER_DATA = 0x2b;
    static final int USER_CS64 = 0x33;
    static final int TASK = 0x40;

    private final Arena arena;
    final MemorySegment memory;
    final long base;
    final Cpu cpu;

    /** Guest pages whose access is blocked. */
    final Set<Long> blocked = new HashSet<>();

    final Set<Long> readOnly = new HashSet<>();
    final Map<Integer, Long> msrs = new HashMap<>();
    final List<String> log = new ArrayList<>();

    /** Whether the bus answers ports and device registers itself: reads give the port or address. */
    boolean answers;

    Predicate<Cpu> attend = c -> true;
    long tsc = 1000;

    Machine(long size) {
        this(Arena.ofShared(), size);
    }

    private Machine(Arena arena, long size) {
        this.arena = arena;
        memory = arena.allocate(size, 4096);
        base = memory.address();
        cpu = new Cpu(this);
    }

    /** A second processor on the memory of another machine. */
    Machine(Machine other) {
        arena = Arena.ofShared();
        memory = other.memory;
        base = memory.address();
        cpu = new Cpu(this);
    }

    @Override
    public void close() {
        arena.close();
    }

    @Override
    public long page(long gpa, boolean write) {
        long page = gpa & -4096;
        if (blocked.contains(page)) {
            return BLOCKED;
        }
        if (page < 0 || page >= memory.byteSize()) {
            return MMIO;
        }
        if (write && readOnly.contains(page)) {
            return READ_ONLY;
        }
        return base + page;
    }

    @Override
    public boolean mmioRead(long gpa, int size, long[] answer) {
        log.add("r " + Long.toHexString(gpa) + " " + size);
        answer[0] = gpa;
        return answers;
    }

    @Override
    public boolean mmioWrite(long gpa, int size, long value) {
        log.add("w " + Long.toHexString(gpa) + " " + size + " " + Long.toHexString(value));
        return answers;
    }

    @Override
    public boolean portRead(int port, int size, long[] answer) {
        log.add("in " + port + " " + size);
        answer[0] = port;
        return answers;
    }

    @Override
    public boolean portWrite(int port, int size, long value) {
        log.add("out " + port + " " + size + " " + Long.toHexString(value));
        return answers;
    }

    @Override
    public boolean msrRead(int index, long[] answer) {
        Long v = msrs.get(index);
        if (v != null) {
            answer[0] = v;
        }
        return v != null;
    }

    @Override
    public boolean msrWrite(int index, long value) {
        return msrs.replace(index, value) != null;
    }

    @Override
    public void cpuid(int leaf, int subleaf, int[] result) {
        result[0] = leaf;
        result[1] = subleaf;
        result[2] = 0x33;
        result[3] = 0x44;
    }

    @Override
    public long tsc() {
        return tsc++;
    }

    @Override
    public boolean attend(Cpu c) {
        return attend.test(c);
    }

    // ---- memory

    void put(long gpa, int... bytes) {
        for (int i = 0; i < bytes.length; i++) {
            memory.set(ValueLayout.JAVA_BYTE, gpa + i, (byte) bytes[i]);
        }
    }

    void put(long gpa, byte[] bytes) {
        MemorySegment.copy(bytes, 0, memory, ValueLayout.JAVA_BYTE, gpa, bytes.length);
    }

    /** Bytes in hexadecimal, blanks ignored. */
    void code(long gpa, String hex) {
        put(gpa, java.util.HexFormat.of().parseHex(hex.replaceAll("\\s", "")));
    }

    void put64(long gpa, long v) {
        memory.set(ValueLayout.JAVA_LONG_UNALIGNED, gpa, v);
    }

    long get64(long gpa) {
        return memory.get(ValueLayout.JAVA_LONG_UNALIGNED, gpa);
    }

    int get32(long gpa) {
        return memory.get(ValueLayout.JAVA_INT_UNALIGNED, gpa);
    }

    int get8(long gpa) {
        return memory.get(ValueLayout.JAVA_BYTE, gpa) & 0xff;
    }

    // ---- states

    /** A descriptor with base 0. */
    static long descriptor(int access, int flags, int limit) {
        return (limit & 0xffffL) | (long) access << 40 | (long) (limit >> 16 & 15) << 48 | (long) flags << 52;
    }

    private void tables() {
        put64(GDT, 0);
        put64(GDT + CS64, descriptor(0x9b, 0xa, 0xfffff));
        put64(GDT + DATA, descriptor(0x93, 0xc, 0xfffff));
        put64(GDT + CS32, descriptor(0x9b, 0xc, 0xfffff));
        put64(GDT + 0x20, descriptor(0xfb, 0xc, 0xfffff));
        put64(GDT + 0x28, descriptor(0xf3, 0xc, 0xfffff));
        put64(GDT + 0x30, descriptor(0xfb, 0xa, 0xfffff));
        put64(GDT + TASK, descriptor(0x8b, 0, 0x67) | TSS << 16);
        put64(GDT + TASK + 8, 0);
    }

    private CpuState common(int code) {
        tables();
        CpuState s = cpu.state();
        s.reset();
        for (SegmentRegister g : s.segment) {
            g.set(DATA, 0, -1, 0xc09300);
        }
        s.segment[CpuState.CS].set(code, 0, -1, code == CS64 ? 0xa09b00 : 0xc09b00);
        s.tr.set(TASK, TSS, 0x67, 0x8b00);
        s.gdtBase = GDT;
        s.gdtLimit = 0x7f;
        s.idtBase = IDT;
        s.idtLimit = 0xfff;
        s.gpr[2] = 0;
        s.gpr[4] = STACK;
        s.rip = CODE;
        return s;
    }

    /** 32-bit code, flat, no paging. */
    void protected32() {
        CpuState s = common(CS32);
        s.cr0 = 0x11;
        cpu.stateChanged();
    }

    /** 64-bit code, the first 2 GiB mapped one to one with user rights in pages of 2 MiB, then 4 KiB ones for 0 to 2 MiB. */
    void long64() {
        CpuState s = common(CS64);
        put64(PML4, PML4 + 0x1000 | 7);
        for (long i = 0; i < 4; i++) {
            put64(PML4 + 0x1000 + i * 8, (PML4 + 0x2000 + i * 0x1000L) | 7);
            for (long k = 0; k < 512; k++) {
                put64(PML4 + 0x2000 + i * 0x1000 + k * 8, i << 30 | k << 21 | 0x87);
            }
        }
        put64(PML4 + 0x2000, PML4 + 0x6000 | 7);
        for (long k = 0; k < 512; k++) {
            put64(PML4 + 0x6000 + k * 8, k << 12 | 7);
        }
        s.cr3 = PML4;
        s.cr4 = 0x20;
        s.cr0 = 0x80010033L;
        s.efer = 0xd01;
        cpu.stateChanged();
    }

    /** Where the page table entry of a page below 2 MiB lies. */
    static long pte(long linear) {
        return PML4 + 0x6000 + (linear >> 12) * 8;
    }

    /** An interrupt gate of 64-bit mode. */
    void gate64(int vector, long target, int ist, int dpl) {
        put64(
                IDT + vector * 16L,
                (target & 0xffff)
                        | (long) CS64 << 16
                        | (long) ist << 32
                        | (0x8eL | (long) dpl << 5) << 40
                        | (target >> 16 & 0xffff) << 48);
        put64(IDT + vector * 16L + 8, target >> 32);
    }

    long gpr(int n) {
        return cpu.state().gpr[n];
    }

    void gpr(int n, long v) {
        cpu.state().gpr[n] = v;
        cpu.stateChanged();
    }
}
