// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract.fuzz;

/** What a guest can be told to do, in 32-bit code; each ends with a halt. EBX, EDI and ESI are addresses. */
enum GuestCode {
    /** {@code mov al, [ebx]}. */
    LOAD8(0x8a, 0x03),
    /** {@code mov ax, [ebx]}. */
    LOAD16(0x66, 0x8b, 0x03),
    /** {@code mov eax, [ebx]}. */
    LOAD32(0x8b, 0x03),
    /** {@code mov [ebx], al}. */
    STORE8(0x88, 0x03),
    /** {@code mov [ebx], ax}. */
    STORE16(0x66, 0x89, 0x03),
    /** {@code mov [ebx], eax}. */
    STORE32(0x89, 0x03),
    /** {@code xchg [ebx], eax}. */
    EXCHANGE(0x87, 0x03),
    /** {@code lock xadd [ebx], eax}. */
    ADD(0xf0, 0x0f, 0xc1, 0x03),
    /** {@code rep movsd}, three times. */
    COPY(0xf3, 0xa5);

    private static final int HALT = 0xf4;
    private static final int SPACE = 16;

    private final byte[] bytes;

    GuestCode(int... instruction) {
        bytes = new byte[instruction.length + 1];
        for (int i = 0; i < instruction.length; i++) {
            bytes[i] = (byte) instruction[i];
        }
        bytes[instruction.length] = (byte) HALT;
    }

    /** @param number of an op's operand; any is good */
    static GuestCode of(long number) {
        GuestCode[] all = values();
        return all[(int) Math.floorMod(number, (long) all.length)];
    }

    /** In the page of code. */
    int offset() {
        return ordinal() * SPACE;
    }

    byte[] bytes() {
        return bytes;
    }
}
