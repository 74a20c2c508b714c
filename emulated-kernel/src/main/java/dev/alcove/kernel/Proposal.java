// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel;

/** What has been proposed on the kernel's lists and is in no release: off unless asked for. Numbers may still change. */
public enum Proposal {
    /**
     * "guest_memfd: In-place conversion" (v10 of August 2026): whether a page is private is an attribute of the
     * guest_memfd and not of the VM, set by an ioctl of the file (KVM_SET_MEMORY_ATTRIBUTES2), and a page that changes
     * sides keeps its contents. Every slot with a guest_memfd takes all its memory from it; a mapping of the file shows
     * the pages that are shared, and raises SIGBUS for the others. KVM_SET_MEMORY_ATTRIBUTES of the VM is gone.
     */
    IN_PLACE_CONVERSION("in-place-conversion");

    private final String label;

    Proposal(String label) {
        this.label = label;
    }

    /** The name on the command line. */
    public String label() {
        return label;
    }
}
