// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vmm.loader;

import dev.alcove.sys.BadInputException;
import java.nio.charset.StandardCharsets;

/**
 * What an image says about itself in ELF notes of the name {@code Alcove}: type 1 holds a 32-bit word of flags
 * (bit 0: wants private memory, bit 1: wants an edu device), type 2 one line of description.
 *
 * @param wantsPrivateMemory the guest converts pages, so the VM must be confidential
 * @param wantsEdu the guest drives an edu device
 * @param description one line for people, empty when the image has none
 */
public record AlcoveNote(boolean wantsPrivateMemory, boolean wantsEdu, String description) {
    private static final String NAME = "Alcove";
    private static final int TYPE_FLAGS = 1;
    private static final int TYPE_DESCRIPTION = 2;
    private static final int FLAG_PRIVATE_MEMORY = 1;
    private static final int FLAG_EDU = 1 << 1;
    private static final int MAX_DESCRIPTION_BYTES = 256;

    /**
     * Reads the notes; an image without them wants nothing.
     *
     * @throws BadInputException on a note of a wrong size or with unknown flags
     */
    public static AlcoveNote of(Elf64 elf) {
        int flags = 0;
        String description = "";
        for (Elf64.Note note : elf.notes()) {
            if (!note.name().equals(NAME)) {
                continue;
            }
            int size = note.description().remaining();
            if (note.type() == TYPE_FLAGS) {
                if (size != 4) {
                    throw new BadInputException("bad image: Alcove note 1 (flags) has " + size + " bytes, not 4");
                }
                flags = note.description().getInt(0);
                if ((flags & ~(FLAG_PRIVATE_MEMORY | FLAG_EDU)) != 0) {
                    throw new BadInputException(
                            "bad image: Alcove note 1 has unknown flags 0x" + Integer.toHexString(flags),
                            "the image is newer than this alcove");
                }
            } else if (note.type() == TYPE_DESCRIPTION) {
                if (size > MAX_DESCRIPTION_BYTES) {
                    throw new BadInputException("bad image: Alcove note 2 (description) has " + size
                            + " bytes, above " + MAX_DESCRIPTION_BYTES);
                }
                description = printable(note);
            }
        }
        return new AlcoveNote((flags & FLAG_PRIVATE_MEMORY) != 0, (flags & FLAG_EDU) != 0, description);
    }

    /** One line of printable ASCII: what an image says must not steer a terminal. */
    private static String printable(Elf64.Note note) {
        String text = StandardCharsets.US_ASCII.decode(note.description().duplicate()).toString();
        return text.replaceAll("\\P{Print}+", " ").strip();
    }
}
