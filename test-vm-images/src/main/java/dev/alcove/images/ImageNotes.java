// SPDX-License-Identifier: Apache-2.0
package dev.alcove.images;

import java.util.List;

/**
 * What an image says about itself in ELF notes of the owner "Alcove": type 1 holds flags (4 bytes), type 2 a line of text.
 *
 * @param usesConversions flag bit 0: wants private memory and converts pages
 * @param needsEdu flag bit 1: fails without an edu device
 * @param description one line for a person, empty if there is none
 */
public record ImageNotes(boolean usesConversions, boolean needsEdu, String description) {
    private static final String OWNER = "Alcove";
    private static final int TYPE_WANTS = 1;
    private static final int TYPE_DESCRIPTION = 2;

    /**
     * Reads the notes of any ELF64 file; one without such notes wants nothing.
     *
     * @throws IllegalArgumentException if the file is no ELF64 file or is damaged
     */
    public static ImageNotes read(byte[] elf) {
        List<ElfNote> notes = ElfNote.readAll(elf);
        int wants = 0;
        String description = "";
        for (ElfNote note : notes) {
            if (!note.name().equals(OWNER)) {
                continue;
            }
            switch (note.type()) {
                case TYPE_WANTS -> {
                    if (note.description().remaining() != Integer.BYTES) {
                        throw new IllegalArgumentException("ELF note Alcove/1 is not of 4 bytes");
                    }
                    wants = note.description().getInt(0);
                }
                case TYPE_DESCRIPTION -> description = ElfNote.text(note.description());
                default -> { }
            }
        }
        return new ImageNotes((wants & 1) != 0, (wants & 2) != 0, description);
    }
}
