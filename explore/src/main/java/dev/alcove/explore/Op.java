// SPDX-License-Identifier: Apache-2.0
package dev.alcove.explore;

/** One operation of a program. Its number stays the same when others are left out. */
sealed interface Op {
    int number();

    /** A guest's KVM_HC_MAP_GPA_RANGE; the range may reach beyond the machine's memory. */
    record Convert(int number, int page, int pages, boolean toPrivate) implements Op {}

    /** A guest touches a page as private or as shared: where it is not, KVM_EXIT_MEMORY_FAULT asks for a conversion. */
    record Touch(int number, int page, boolean asPrivate) implements Op {}

    /** A guest writes a word at the start of a page. */
    record Store(int number, int page, int value) implements Op {}

    /** A guest reads that word. */
    record Load(int number, int page) implements Op {}

    /** A device transfers a word, at an IOVA that is the page's guest physical address. */
    record Dma(int number, int device, int page, boolean write) implements Op {}

    /** A device gets an I/O address space of its own, with all that is shared mapped. */
    record Plug(int number, int device) implements Op {}

    /** It is taken away. */
    record Unplug(int number, int device) implements Op {}

    private static String at(int page) {
        return "0x" + Long.toHexString((long) page * Layout.PAGE);
    }

    /** One line for a person. */
    default String text() {
        return switch (this) {
            case Convert(int _, int page, int pages, boolean toPrivate) ->
                "hypercall MAP_GPA_RANGE(gpa " + at(page) + ", " + pages + " pages, "
                        + (toPrivate ? "private)" : "shared)");
            case Touch(int _, int page, boolean asPrivate) ->
                "touch gpa " + at(page) + " as " + (asPrivate ? "private" : "shared");
            case Store(int _, int page, int value) ->
                "guest store gpa " + at(page) + " <- 0x" + Integer.toHexString(value);
            case Load(int _, int page) -> "guest load gpa " + at(page);
            case Dma(int _, int device, int page, boolean write) ->
                "DMA of device " + device + (write ? " writes" : " reads") + " iova " + at(page);
            case Plug(int _, int device) -> "plug in device " + device;
            case Unplug(int _, int device) -> "take device " + device + " away";
        };
    }
}
