// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vmm.loader;

import dev.alcove.sys.BadInputException;
import java.nio.ByteBuffer;

/**
 * An ELF image that can be entered by the PVH protocol: it carries a Xen note of type
 * {@code XEN_ELFNOTE_PHYS32_ENTRY} with the physical address of its 32-bit entry point.
 *
 * @param elf the parsed file
 * @param entry physical address of the entry point, inside a loadable segment and below 4 GiB
 * @param note what the image wants
 */
public record PvhImage(Elf64 elf, long entry, AlcoveNote note) {
    private static final String XEN = "Xen";
    private static final int XEN_ELFNOTE_PHYS32_ENTRY = 18;

    /**
     * Parses a whole file.
     *
     * @throws BadInputException with the field at fault
     */
    public static PvhImage parse(byte[] bytes) {
        Elf64 elf = Elf64.parse(bytes);
        long entry = entryOf(elf);
        if (elf.segments().stream().noneMatch(s -> s.address() <= entry && entry < s.end())) {
            throw new BadInputException(
                    "bad image: the PVH entry point 0x" + Long.toHexString(entry) + " is in no loadable segment");
        }
        return new PvhImage(elf, entry, AlcoveNote.of(elf));
    }

    private static long entryOf(Elf64 elf) {
        for (Elf64.Note note : elf.notes()) {
            if (note.type() == XEN_ELFNOTE_PHYS32_ENTRY && note.name().equals(XEN)) {
                ByteBuffer description = note.description();
                long entry = switch (description.remaining()) {
                    case 4 -> description.getInt(0) & 0xffff_ffffL;
                    case 8 -> description.getLong(0);
                    default -> throw new BadInputException("bad image: the PVH note (Xen, type 18) has "
                            + description.remaining() + " bytes, not 4 or 8");
                };
                if (entry >>> 32 != 0) {
                    throw new BadInputException("bad image: the PVH entry point 0x" + Long.toHexString(entry)
                            + " is not below 4 GiB, where 32-bit code starts");
                }
                return entry;
            }
        }
        throw new BadInputException(
                "bad image: no PVH entry point (ELF note \"Xen\" of type 18, XEN_ELFNOTE_PHYS32_ENTRY)",
                "a Linux vmlinux has one when it is built with CONFIG_PVH=y");
    }
}
