// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vmm.cpu;

import dev.alcove.kvm.CpuidEntry;
import java.util.ArrayList;
import java.util.List;

/** What the CPUID instruction tells a guest: all that the host supports, with each vCPU's own identity. */
public final class GuestCpuid {
    private static final int LEAF_FEATURES = 1;
    private static final int LEAF_TOPOLOGY = 0xb;
    private static final int LEAF_TOPOLOGY_V2 = 0x1f;
    private static final int LEAF_KVM = 0x4000_0000;
    private static final int LEAF_KVM_FEATURES = 0x4000_0001;

    /** KVM_FEATURE_HC_MAP_GPA_RANGE: the guest may ask for conversions with KVM_HC_MAP_GPA_RANGE. */
    private static final int FEATURE_HC_MAP_GPA_RANGE = 1 << 16;

    /** "KVMKVMKVM\0\0\0" in EBX, ECX, EDX. */
    private static final int[] KVM_SIGNATURE = {0x4b4d_564b, 0x564b_4d56, 0x4d};

    private GuestCpuid() {}

    /**
     * The entries for one vCPU.
     *
     * @param supported what KVM_GET_SUPPORTED_CPUID answered
     * @param apicId of the vCPU, which is its number
     * @param cpus vCPUs of the VM
     * @param conversions whether the guest may convert pages
     */
    public static List<CpuidEntry> of(List<CpuidEntry> supported, int apicId, int cpus, boolean conversions) {
        List<CpuidEntry> entries = new ArrayList<>(supported.size() + 2);
        boolean kvmLeaf = false;
        for (CpuidEntry entry : supported) {
            kvmLeaf |= entry.function() == LEAF_KVM_FEATURES;
            entries.add(switch (entry.function()) {
                case LEAF_FEATURES -> entry.with(
                        entry.eax(), (entry.ebx() & 0xffff) | cpus << 16 | apicId << 24, entry.ecx(), entry.edx());
                case LEAF_TOPOLOGY, LEAF_TOPOLOGY_V2 -> entry.with(entry.eax(), entry.ebx(), entry.ecx(), apicId);
                case LEAF_KVM_FEATURES -> entry.with(
                        conversions ? entry.eax() | FEATURE_HC_MAP_GPA_RANGE : entry.eax() & ~FEATURE_HC_MAP_GPA_RANGE,
                        entry.ebx(),
                        entry.ecx(),
                        entry.edx());
                default -> entry;
            });
        }
        if (!kvmLeaf) {
            entries.add(new CpuidEntry(
                    LEAF_KVM, 0, 0, LEAF_KVM_FEATURES, KVM_SIGNATURE[0], KVM_SIGNATURE[1], KVM_SIGNATURE[2]));
            entries.add(
                    new CpuidEntry(LEAF_KVM_FEATURES, 0, 0, conversions ? FEATURE_HC_MAP_GPA_RANGE : 0, 0, 0, 0));
        }
        return entries;
    }
}
