// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.gmem;

/** The virtual machine that a guest_memfd was made for; every such file holds a reference to it. */
public interface GmemOwner {
    /** Drops the file's reference; may take the machine down. Called without locks. */
    void put();

    /** Whether pages of the machine can be private. */
    boolean hasPrivateMemory();

    /** Accounts for an allocation of the kernel's; false where it fails. */
    boolean charge(String what);

    /** The file is released: for the owner's books. */
    void released(GuestMemfd file);
}
