// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract.fuzz;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.HexFormat;
import java.util.List;

/** What a guest can be told to do, in 32-bit code; each ends with a halt. EBX, EDI and ESI are addresses. */
final class GuestCode {
    private static final List<String> INSTRUCTIONS = List.of(
            "8a03", // mov al, [ebx]
            "668b03", // mov ax, [ebx]
            "8b03", // mov eax, [ebx]
            "8803", // mov [ebx], al
            "668903", // mov [ebx], ax
            "8903", // mov [ebx], eax
            "8703", // xchg [ebx], eax
            "f00fc103", // lock xadd [ebx], eax
            "f3a5"); // rep movsd
    /** The first of those that do more than to load or to store. */
    static final int READ_AND_WRITE = 6;

    private static final String HALT = "f4";
    private static final int SPACE = 16;

    private GuestCode() {}

    /** How many there are. */
    static int count() {
        return INSTRUCTIONS.size();
    }

    /**
     * Where one is in the page of code.
     *
     * @param number any is good
     */
    static int offset(long number) {
        return Math.floorMod(number, INSTRUCTIONS.size()) * SPACE;
    }

    /** Fills the page of code. */
    static void write(MemorySegment page) {
        for (int i = 0; i < INSTRUCTIONS.size(); i++) {
            byte[] bytes = HexFormat.of().parseHex(INSTRUCTIONS.get(i) + HALT);
            MemorySegment.copy(bytes, 0, page, ValueLayout.JAVA_BYTE, offset(i), bytes.length);
        }
    }
}
