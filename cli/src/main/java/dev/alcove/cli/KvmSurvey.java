// SPDX-License-Identifier: Apache-2.0
package dev.alcove.cli;

import dev.alcove.bindings.kvm.kvm;
import dev.alcove.kvm.Kvm;
import dev.alcove.sys.AlcoveException;
import dev.alcove.sys.Syscalls;
import java.util.ArrayList;
import java.util.List;

/** What a host's KVM offers. */
final class KvmSurvey {
    private static final String PRIVATE_REMEDY = "a machine with VT-x and EPT, or AMD-V and NPT, and a kernel with"
            + " CONFIG_KVM_SW_PROTECTED_VM=y (6.8 or newer); or --kernel emulated";
    private static final String NEWER = "a newer kernel";

    private final List<Finding> findings = new ArrayList<>();

    private KvmSurvey() {}

    static List<Finding> of(Syscalls syscalls) {
        KvmSurvey survey = new KvmSurvey();
        try (Kvm system = Kvm.open(syscalls)) {
            survey.look(system);
        } catch (AlcoveException e) {
            String hint = e.hint();
            survey.findings.add(Finding.missing("kvm", String.valueOf(e.getMessage()), hint == null ? "" : hint));
        }
        return survey.findings;
    }

    private void look(Kvm system) {
        findings.add(Finding.ok("kvm", Kvm.PATH + ", API " + system.apiVersion()));
        int types = system.vmTypes();
        List<String> names = new ArrayList<>();
        String[] known = {"default", "sw-protected", "sev", "sev-es", "snp", "tdx"};
        for (int type = 0; type < Integer.SIZE; type++) {
            if ((types >>> type & 1) != 0) {
                names.add(type < known.length ? known[type] : "type " + type);
            }
        }
        findings.add(Finding.info("kvm.vmTypes", String.join(", ", names)));
        boolean isProtected = system.hasVmType(kvm.KVM_X86_SW_PROTECTED_VM());
        int attributes = system.checkExtension(kvm.KVM_CAP_MEMORY_ATTRIBUTES());
        boolean isPrivate = (attributes & kvm.KVM_MEMORY_ATTRIBUTE_PRIVATE()) != 0;
        findings.add(
                isProtected
                        ? Finding.ok("kvm.swProtected", "KVM_X86_SW_PROTECTED_VM: images that convert pages run here")
                        : Finding.missing(
                                "kvm.swProtected",
                                "no KVM_X86_SW_PROTECTED_VM: this KVM has no private memory, so it runs 'hello', but"
                                        + " not 'convert'",
                                PRIVATE_REMEDY));
        findings.add(
                isPrivate || isProtected
                        ? Finding.ok("kvm.memoryAttributes", "private/shared attribute, mask " + attributes)
                        : Finding.missing(
                                "kvm.memoryAttributes",
                                "KVM_CAP_MEMORY_ATTRIBUTES is " + attributes + ": pages cannot be private",
                                PRIVATE_REMEDY));
        guestMemfd(system);
        present(system, "kvm.splitIrqchip", kvm.KVM_CAP_SPLIT_IRQCHIP(), "local APICs in the kernel", NEWER);
        int hypercalls = system.checkExtension(kvm.KVM_CAP_EXIT_HYPERCALL());
        findings.add(
                hypercalls != 0
                        ? Finding.ok(
                                "kvm.exitHypercall", "hypercalls that can exit: mask 0x" + Integer.toHexString(hypercalls))
                        : Finding.missing(
                                "kvm.exitHypercall", "KVM_HC_MAP_GPA_RANGE cannot exit: no conversions", NEWER));
        present(system, "kvm.userMemory2", kvm.KVM_CAP_USER_MEMORY2(), "memslots with a guest_memfd", NEWER);
        present(system, "kvm.memoryFaultInfo", kvm.KVM_CAP_MEMORY_FAULT_INFO(), "memory fault exits say where", NEWER);
        present(system, "kvm.irqfd", kvm.KVM_CAP_IRQFD(), "interrupts of assigned devices by irqfd", NEWER);
    }

    private void present(Kvm system, String name, int capability, String what, String remedy) {
        int value = system.checkExtension(capability);
        findings.add(value > 0 ? Finding.ok(name, what) : Finding.missing(name, "no: " + what, remedy));
    }

    private void guestMemfd(Kvm system) {
        if (system.checkExtension(kvm.KVM_CAP_GUEST_MEMFD()) <= 0) {
            findings.add(Finding.missing("kvm.guestMemfd", "no guest_memfd: private memory has no place", PRIVATE_REMEDY));
            return;
        }
        int flags = system.checkExtension(kvm.KVM_CAP_GUEST_MEMFD_FLAGS());
        List<String> names = new ArrayList<>();
        if ((flags & 1) != 0) {
            names.add("MMAP");
        }
        if ((flags & 2) != 0) {
            names.add("INIT_SHARED");
        }
        findings.add(Finding.ok(
                "kvm.guestMemfd", "guest_memfd, flags " + (names.isEmpty() ? "none" : String.join(", ", names))));
    }
}
