// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.kvm;

import dev.alcove.bindings.kvm.kvm_xsave;
import dev.alcove.kernel.KernelProfile;
import dev.alcove.kernel.Proposal;
import dev.alcove.kernel.gmem.GuestMemfd;
import org.jspecify.annotations.Nullable;

/** KVM_CHECK_EXTENSION, on /dev/kvm and on a machine. */
final class Capabilities {
    static final int EXIT_HYPERCALL = 201;
    static final int SPLIT_IRQCHIP = 121;
    static final int X2APIC_API = 129;
    static final int HALT_POLL = 182;
    static final int MAX_VCPU_ID = 128;
    static final int MULTI_ADDRESS_SPACE = 118;
    static final int MANUAL_DIRTY_LOG_PROTECT = 168;
    static final int DIRTY_LOG_RING = 192;
    static final int DIRTY_LOG_RING_ACQ_REL = 223;

    /** Of the proposal, which has no number yet: this one is free up to Linux 7.3. */
    static final int GUEST_MEMFD_MEMORY_ATTRIBUTES = 252;

    /** The hypercalls that may leave to user space: bit 12, KVM_HC_MAP_GPA_RANGE. */
    static final int HYPERCALL_EXITS = 1 << 12;

    /** KVM_X2APIC_API_VALID_FLAGS. */
    static final long X2APIC_FLAGS = 3;

    private static final int MCE = 31;

    /** KVM_MAX_VCPUS. */
    static final int MOST_VCPUS = 1024;

    /** KVM_MAX_VCPU_IDS. */
    static final int MOST_VCPU_IDS = 4096;

    /** KVM_X86_DEFAULT_VM and KVM_X86_SW_PROTECTED_VM, as a mask. */
    static final int VM_TYPES = 3;

    private Capabilities() {}

    /** @param vm the machine that is asked, or null for /dev/kvm */
    static int check(Kvm kvm, @Nullable Vm vm, long capability) {
        KernelProfile profile = kvm.profile();
        if (capability < 0 || capability > 1 << 16) {
            return 0;
        }
        return switch ((int) capability) {
            // HLT, USER_MEMORY, SET_TSS_ADDR, EXT_CPUID, MP_STATE, SYNC_MMU, DESTROY_MEMORY_REGION_WORKS, USER_NMI,
            // JOIN_MEMORY_REGIONS_WORKS, IRQFD, SET_BOOT_CPU_ID, SET_IDENTITY_MAP_ADDR, INTERNAL_ERROR_DATA,
            // VCPU_EVENTS, DEBUGREGS, GET_TSC_KHZ, TSC_DEADLINE_TIMER, SIGNAL_MSI, READONLY_MEM, ENABLE_CAP_VM,
            // CHECK_EXTENSION_VM, SPLIT_IRQCHIP, IMMEDIATE_EXIT, USER_MEMORY2, MEMORY_FAULT_INFO
            case 1, 3, 4, 7, 14, 16, 21, 22, 30, 32, 34, 37, 40, 41, 50, 61, 72, 77, 81, 98, 105, SPLIT_IRQCHIP, 136,
                    231, 232 -> 1;
            // IOEVENTFD, IOEVENTFD_NO_LENGTH, IOEVENTFD_ANY_LENGTH, COALESCED_PIO, BINARY_STATS_FD
            case 36, 100, 122, 162, 203 -> 1;
            // XSAVE, SREGS2
            case 55, 200 -> 1;
            case MCE -> MachineCheck.MOST_BANKS;
            case 39 -> VmClock.VALID_FLAGS;
            case 56 -> CpuidTable.supported().hasXsave() ? 1 : 0;
            case 74 -> SyncedRegisters.PARTS;
            case 208 -> (int) kvm_xsave.sizeof();
            case 15 -> RunPage.COALESCED_PAGE;
            case DIRTY_LOG_RING, DIRTY_LOG_RING_ACQ_REL -> DirtyRing.MOST_BYTES;
            case 9 -> kvm.processors();
            case 10 -> MemoryRegion.MOST_SLOTS;
            case 25 -> Irqchip.MOST_ROUTES;
            case 66 -> MOST_VCPUS;
            case MAX_VCPU_ID -> MOST_VCPU_IDS;
            case MULTI_ADDRESS_SPACE -> addressSpaces(vm);
            case MANUAL_DIRTY_LOG_PROTECT -> (int) DirtyLogs.MODES;
            case X2APIC_API -> (int) X2APIC_FLAGS;
            case HALT_POLL -> 1;
            case EXIT_HYPERCALL -> HYPERCALL_EXITS;
            case 233 -> attributes(vm, !profile.has(Proposal.IN_PLACE_CONVERSION));
            case GUEST_MEMFD_MEMORY_ATTRIBUTES -> attributes(vm, profile.has(Proposal.IN_PLACE_CONVERSION));
            case 234 -> profile.guestMemfdMmap() || vm == null || vm.hasPrivateMemory() ? 1 : 0;
            case 235 -> VM_TYPES;
            case 236 -> 1;
            case 244 -> (int) gmemFlags(profile, vm);
            default -> 0;
        };
    }

    private static int attributes(@Nullable Vm vm, boolean here) {
        return here && (vm == null || vm.hasPrivateMemory()) ? (int) Vm.ATTRIBUTE_PRIVATE : 0;
    }

    /** Address spaces with memslots: a second one, for system management mode, where no memory can be private. */
    static int addressSpaces(@Nullable Vm vm) {
        return vm == null || !vm.hasPrivateMemory() ? 2 : 1;
    }

    /** The flags that KVM_CREATE_GUEST_MEMFD takes. */
    static long gmemFlags(KernelProfile profile, @Nullable Vm vm) {
        if (!profile.guestMemfdMmap()) {
            return 0;
        }
        return vm == null || !vm.hasPrivateMemory() || profile.has(Proposal.IN_PLACE_CONVERSION)
                ? GuestMemfd.FLAG_MMAP | GuestMemfd.FLAG_INIT_SHARED
                : GuestMemfd.FLAG_MMAP;
    }
}
