// SPDX-License-Identifier: Apache-2.0
package dev.alcove.memory;

import dev.alcove.kvm.Memslot;

/** One KVM_SET_USER_MEMORY_REGION(2). */
public sealed interface SlotChange {
    /** A slot comes into being. */
    record Create(Memslot slot) implements SlotChange {}

    /** A slot goes. */
    record Delete(Memslot slot) implements SlotChange {}

    /** The same memory is shown at another address. Slots with a guest_memfd cannot move. */
    record Move(Memslot from, Memslot to) implements SlotChange {}

    /** The dirty log goes on or off; the guest notices nothing. */
    record Flags(Memslot from, Memslot to) implements SlotChange {}

    /** What undoes it. */
    default SlotChange inverse() {
        return switch (this) {
            case Create(Memslot slot) -> new Delete(slot);
            case Delete(Memslot slot) -> new Create(slot);
            case Move(Memslot from, Memslot to) -> new Move(to, from);
            case Flags(Memslot from, Memslot to) -> new Flags(to, from);
        };
    }
}
