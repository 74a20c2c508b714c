// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.pci.nvme;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/** An entry of a submission queue, 64 bytes, little endian; a copy, which the host cannot change any more. */
record NvmeCommand(MemorySegment bytes) {
    static final int SIZE = 64;

    int opcode() {
        return bytes.get(ValueLayout.JAVA_BYTE, 0) & 0xff;
    }

    /** Whether it is one of two commands that are to be executed as one. */
    boolean fused() {
        return (bytes.get(ValueLayout.JAVA_BYTE, 1) & 3) != 0;
    }

    /** Whether its data is described by PRP entries, and not by an SGL. */
    boolean usesPrp() {
        return (bytes.get(ValueLayout.JAVA_BYTE, 1) & 0xc0) == 0;
    }

    int identifier() {
        return bytes.get(ValueLayout.JAVA_SHORT_UNALIGNED, 2) & 0xffff;
    }

    int namespace() {
        return word(4);
    }

    long prp1() {
        return bytes.get(ValueLayout.JAVA_LONG_UNALIGNED, 24);
    }

    long prp2() {
        return bytes.get(ValueLayout.JAVA_LONG_UNALIGNED, 32);
    }

    /** A command dword by its number, 10 to 15. */
    int dword(int number) {
        return word(4L * number);
    }

    /** The first block, of commands on blocks. */
    long startBlock() {
        return bytes.get(ValueLayout.JAVA_LONG_UNALIGNED, 40);
    }

    /** How many blocks, of commands on blocks: 1 to 65536. */
    int blocks() {
        return (dword(12) & 0xffff) + 1;
    }

    private int word(long offset) {
        return bytes.get(ValueLayout.JAVA_INT_UNALIGNED, offset);
    }
}
