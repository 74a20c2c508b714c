// SPDX-License-Identifier: Apache-2.0
package dev.alcove.sys;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Random;

/**
 * A program that copies structs out of native memory as the emulated kernel does: most into a {@code long[]}, few into a
 * {@code byte[]}, until C2 has compiled it and then some more. Ends with 1 when a byte did not arrive.
 */
final class StructCopies {
    private static final int ROUNDS = 50_000;

    private StructCopies() {}

    public static void main(String[] args) {
        long seed = Long.parseLong(args[0]);
        Random random = new Random(seed);
        for (int round = 0; round < ROUNDS; round++) {
            boolean rare = random.nextInt(128) == 0;
            int bytes = random.nextInt(32) == 0
                    ? Integer.BYTES * (1 + random.nextInt(14))
                    : random.nextInt(128) == 0 ? 72 : Long.BYTES * (4 + random.nextInt(3));
            MemorySegment struct = Arena.ofAuto().allocate(bytes, Long.BYTES);
            for (int i = 0; i < bytes; i++) {
                struct.set(ValueLayout.JAVA_BYTE, i, (byte) (i + 1));
            }
            MemorySegment copy = rare
                    ? MemorySegment.ofArray(new byte[bytes])
                    : MemorySegment.ofArray(new long[(bytes + Long.BYTES - 1) / Long.BYTES]).asSlice(0, bytes);
            copy(struct, copy);
            for (int i = 0; i < bytes; i++) {
                if (copy.get(ValueLayout.JAVA_BYTE, i) != (byte) (i + 1)) {
                    System.out.println("seed " + seed + ", round " + round + ": byte " + i + " of " + bytes + " is lost");
                    System.exit(1);
                }
            }
        }
    }

    private static void copy(MemorySegment from, MemorySegment to) {
        MemorySegment.copy(from, 0, to, 0, to.byteSize());
    }
}
