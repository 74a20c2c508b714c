// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.kvm;

import dev.alcove.bindings.kvm.kvm_cpuid_entry2;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;

/** What CPUID answers: the table of one vCPU, and what the emulated processor supports. Immutable. */
final class CpuidTable {
    /** KVM_CPUID_FLAG_SIGNIFCANT_INDEX. */
    private static final int SIGNIFICANT_INDEX = 1;

    /** KVM_MAX_CPUID_ENTRIES. */
    static final int MOST_ENTRIES = 256;

    private record Entry(int function, int index, int flags, int eax, int ebx, int ecx, int edx) {}

    private final List<Entry> entries;

    private CpuidTable(List<Entry> entries) {
        this.entries = List.copyOf(entries);
    }

    static CpuidTable empty() {
        return new CpuidTable(List.of());
    }

    /** Reads an array of {@code struct kvm_cpuid_entry2}. */
    static CpuidTable of(MemorySegment array, int count) {
        List<Entry> list = new ArrayList<>();
        for (int i = 0; i < count; i++) {
            MemorySegment e = kvm_cpuid_entry2.asSlice(array, i);
            list.add(new Entry(
                    kvm_cpuid_entry2.function(e),
                    kvm_cpuid_entry2.index(e),
                    kvm_cpuid_entry2.flags(e),
                    kvm_cpuid_entry2.eax(e),
                    kvm_cpuid_entry2.ebx(e),
                    kvm_cpuid_entry2.ecx(e),
                    kvm_cpuid_entry2.edx(e)));
        }
        return new CpuidTable(list);
    }

    int size() {
        return entries.size();
    }

    /** Writes the table as {@code struct kvm_cpuid_entry2}s. */
    void write(MemorySegment array) {
        for (int i = 0; i < entries.size(); i++) {
            MemorySegment s = kvm_cpuid_entry2.asSlice(array, i);
            Entry e = entries.get(i);
            kvm_cpuid_entry2.function(s, e.function);
            kvm_cpuid_entry2.index(s, e.index);
            kvm_cpuid_entry2.flags(s, e.flags);
            kvm_cpuid_entry2.eax(s, e.eax);
            kvm_cpuid_entry2.ebx(s, e.ebx);
            kvm_cpuid_entry2.ecx(s, e.ecx);
            kvm_cpuid_entry2.edx(s, e.edx);
        }
    }

    /** Whether the size of linear addresses in leaf 0x80000008 is one that exists: 48, 57, or not given. */
    boolean legal() {
        for (Entry e : entries) {
            if (e.function == 0x80000008) {
                int bits = e.eax >>> 8 & 0xff;
                return bits == 0 || bits == 48 || bits == 57;
            }
        }
        return true;
    }

    /** The CR4 bits that features of the table allow: UMIP, FSGSBASE, OSXSAVE, SMEP, SMAP. */
    long cr4() {
        int[] leaf = new int[4];
        query(7, 0, leaf);
        int bits = (leaf[2] >>> 2 & 1) << 11 | (leaf[1] & 1) << 16 | (leaf[1] >>> 7 & 1) << 20 | (leaf[1] >>> 20 & 1) << 21;
        return bits | (hasXsave() ? 1 << 18 : 0);
    }

    /** Whether there is XSAVE. */
    boolean hasXsave() {
        int[] leaf = new int[4];
        query(1, 0, leaf);
        return (leaf[2] >>> 26 & 1) != 0;
    }

    /** The bits of XCR0 that the table allows. */
    long xcr0() {
        int[] leaf = new int[4];
        query(0xd, 0, leaf);
        return Integer.toUnsignedLong(leaf[0]) | (long) leaf[3] << 32;
    }

    /** Answers CPUID: zeros for a leaf that is not in the table, as on AMD processors. */
    void query(int function, int index, int[] result) {
        for (Entry e : entries) {
            if (e.function == function && ((e.flags & SIGNIFICANT_INDEX) == 0 || e.index == index)) {
                result[0] = e.eax;
                result[1] = e.ebx;
                result[2] = e.ecx;
                result[3] = e.edx;
                return;
            }
        }
        result[0] = 0;
        result[1] = 0;
        result[2] = 0;
        result[3] = 0;
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof CpuidTable table && table.entries.equals(entries);
    }

    @Override
    public int hashCode() {
        return entries.hashCode();
    }

    /** KVM_GET_SUPPORTED_CPUID: what the emulated processor has. */
    static CpuidTable supported() {
        int features = bits(0, 4, 5, 6, 8, 9, 11, 12, 13, 15, 16, 19); // fpu tsc msr pae cx8 apic sep mtrr pge cmov pat clflush
        features |= bits(3, 24, 25, 26); // pse fxsr sse sse2; not mmx
        int more = bits(13, 21, 22, 23, 24, 31); // cx16 x2apic movbe popcnt tsc-deadline hypervisor
        more |= bits(0, 1, 9, 19, 20, 25); // sse3 pclmulqdq ssse3 sse4.1 sse4.2 aes
        return new CpuidTable(List.of(
                leaf(0x0, 0x7, 0x68747541, 0x444d4163, 0x69746e65), // AuthenticAMD
                leaf(0x1, 0x00800f12, 0x00010800, more, features),
                leaf(0x2, 0, 0, 0, 0),
                new Entry(0x4, 0, SIGNIFICANT_INDEX, 0, 0, 0, 0),
                leaf(0x6, 0x4, 0, 0, 0), // the APIC timer always runs
                new Entry(0x7, 0, SIGNIFICANT_INDEX, 0, 0, 0, 0),
                leaf(0x40000000, 0x40000001, 0x4b4d564b, 0x564b4d56, 0x4d), // KVMKVMKVM
                leaf(0x40000001, bits(1), 0, 0, 0), // no delay after port accesses
                leaf(0x80000000, 0x80000008, 0x68747541, 0x444d4163, 0x69746e65),
                // lahf64, lzcnt is not there; syscall nx 1g-pages rdtscp lm
                leaf(0x80000001, 0x00800f12, 0, bits(0), (features & 0x0183f3ff) | bits(11, 20, 26, 27, 29)),
                text(0x80000002, "Alcove emulated "),
                text(0x80000003, "x86-64 processor"),
                text(0x80000004, ""),
                leaf(0x80000007, 0, 0, 0, bits(8)), // invariant TSC
                leaf(0x80000008, MemoryRegion.PHYSICAL_BITS | 48 << 8, 0, 0, 0)));
    }

    private static int bits(int... numbers) {
        int result = 0;
        for (int number : numbers) {
            result |= 1 << number;
        }
        return result;
    }

    private static Entry leaf(int function, int eax, int ebx, int ecx, int edx) {
        return new Entry(function, 0, 0, eax, ebx, ecx, edx);
    }

    private static Entry text(int function, String part) {
        int[] words = new int[4];
        for (int i = 0; i < part.length(); i++) {
            words[i / 4] |= part.charAt(i) << (8 * (i % 4));
        }
        return leaf(function, words[0], words[1], words[2], words[3]);
    }
}
