// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kvm;

import dev.alcove.bindings.kvm.kvm;

/**
 * A memory slot of a VM ({@code struct kvm_userspace_memory_region2}).
 *
 * @param slot number, below KVM_CAP_NR_MEMSLOTS; bits 16 and up are the address space
 * @param flags {@code KVM_MEM_*}
 * @param gpa guest physical address of its first byte, a multiple of 4096
 * @param size bytes, a multiple of 4096
 * @param hva address of the shared backing in this process, a multiple of 4096
 * @param gmemFd descriptor of the guest_memfd for the private backing; looked at with KVM_MEM_GUEST_MEMFD only
 * @param gmemOffset where the slot begins in the guest_memfd, a multiple of 4096
 */
public record Memslot(int slot, int flags, long gpa, long size, long hva, int gmemFd, long gmemOffset) {

    /** A slot that has a shared backing only. */
    public static Memslot of(int slot, long gpa, long size, long hva) {
        return new Memslot(slot, 0, gpa, size, hva, -1, 0);
    }

    /** A slot whose private pages are in a guest_memfd. */
    public static Memslot of(int slot, long gpa, long size, long hva, GuestMemfd gmem, long gmemOffset) {
        return new Memslot(slot, (int) kvm.KVM_MEM_GUEST_MEMFD(), gpa, size, hva, gmem.fd(), gmemOffset);
    }

    @Override
    public String toString() {
        String range = "slot " + slot + " [0x" + Long.toHexString(gpa) + ", 0x" + Long.toHexString(gpa + size)
                + ") at 0x" + Long.toHexString(hva) + " flags " + flags;
        return gmemFd < 0 ? range : range + " guest_memfd " + gmemFd + "+0x" + Long.toHexString(gmemOffset);
    }
}
