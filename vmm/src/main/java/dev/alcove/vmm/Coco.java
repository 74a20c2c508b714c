// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vmm;

/** What protects a guest's memory from the VMM and from devices. */
public enum Coco {
    /** Nothing: an ordinary VM. */
    NONE("none"),
    /**
     * KVM_X86_SW_PROTECTED_VM: private memory without encryption, made for development and tests. KVM offers no way
     * to put content into private memory before the guest runs, so the pages of the image are shared at the start.
     */
    SW_PROTECTED("sw-protected");

    private final String label;

    Coco(String label) {
        this.label = label;
    }

    /** The name on the command line and in reports. */
    public String label() {
        return label;
    }
}
