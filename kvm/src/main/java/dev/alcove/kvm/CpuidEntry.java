// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kvm;

import dev.alcove.bindings.kvm.kvm_cpuid2;
import dev.alcove.bindings.kvm.kvm_cpuid_entry2;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;

/**
 * One answer of the CPUID instruction ({@code struct kvm_cpuid_entry2}).
 *
 * @param function the leaf, from EAX
 * @param index the sub-leaf, from ECX, where {@code flags} has KVM_CPUID_FLAG_SIGNIFCANT_INDEX
 * @param flags {@code KVM_CPUID_FLAG_*}
 */
public record CpuidEntry(int function, int index, int flags, int eax, int ebx, int ecx, int edx) {

    /** The same leaf with other values. */
    public CpuidEntry with(int newEax, int newEbx, int newEcx, int newEdx) {
        return new CpuidEntry(function, index, flags, newEax, newEbx, newEcx, newEdx);
    }

    /** A {@code struct kvm_cpuid2} with room for some entries. */
    static MemorySegment emptyTable(int room, Arena arena) {
        MemorySegment table = arena.allocate(
                kvm_cpuid2.sizeof() + room * kvm_cpuid_entry2.sizeof(),
                kvm_cpuid2.layout().byteAlignment());
        kvm_cpuid2.nent(table, room);
        return table;
    }

    static MemorySegment table(List<CpuidEntry> entries, Arena arena) {
        MemorySegment table = emptyTable(entries.size(), arena);
        for (int i = 0; i < entries.size(); i++) {
            MemorySegment raw = entry(table, i);
            CpuidEntry entry = entries.get(i);
            kvm_cpuid_entry2.function(raw, entry.function);
            kvm_cpuid_entry2.index(raw, entry.index);
            kvm_cpuid_entry2.flags(raw, entry.flags);
            kvm_cpuid_entry2.eax(raw, entry.eax);
            kvm_cpuid_entry2.ebx(raw, entry.ebx);
            kvm_cpuid_entry2.ecx(raw, entry.ecx);
            kvm_cpuid_entry2.edx(raw, entry.edx);
        }
        return table;
    }

    static List<CpuidEntry> read(MemorySegment table) {
        int count = kvm_cpuid2.nent(table);
        List<CpuidEntry> entries = new ArrayList<>(count);
        for (int i = 0; i < count; i++) {
            MemorySegment raw = entry(table, i);
            entries.add(new CpuidEntry(
                    kvm_cpuid_entry2.function(raw),
                    kvm_cpuid_entry2.index(raw),
                    kvm_cpuid_entry2.flags(raw),
                    kvm_cpuid_entry2.eax(raw),
                    kvm_cpuid_entry2.ebx(raw),
                    kvm_cpuid_entry2.ecx(raw),
                    kvm_cpuid_entry2.edx(raw)));
        }
        return List.copyOf(entries);
    }

    private static MemorySegment entry(MemorySegment table, int i) {
        return table.asSlice(kvm_cpuid2.sizeof() + i * kvm_cpuid_entry2.sizeof(), kvm_cpuid_entry2.sizeof());
    }
}
