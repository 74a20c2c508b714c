// SPDX-License-Identifier: Apache-2.0
package dev.alcove.cpu;

import org.jspecify.annotations.Nullable;

/** A run of decoded instructions that ends with the first one that may go elsewhere. */
final class Block {
    /** Instruction pointer of the first instruction; immediate targets in {@link #ops} hold for this one only. */
    final long ip;

    /** {@link Core#mode}, with {@link Core#SOLO} for a block of one instruction that may touch devices. */
    final int mode;

    /** Host address of the first byte. */
    final long host;

    /** Host address of the page behind, if the block (then one instruction) reaches into it; else 0. */
    final long secondPage;

    /** The source, to find out whether it has changed. */
    final byte[] bytes;

    /** Micro-operations, two words each; see {@link Op}. */
    final long[] ops;

    /** For each micro-operation the offset of its instruction from {@link #ip}. */
    final short[] offset;

    /** For each micro-operation the number of instructions before its own. */
    final byte[] index;

    /** Number of instructions. */
    final int count;

    /** Instruction pointer behind the block. */
    final long end;

    /** {@link Mmu#generation} in which the translation was last found to be still this one; -1 when thrown away. */
    int generation;

    /** {@link CodeCache#contents} in which the bytes were last compared. */
    int contents;

    /** Where a taken direct jump leads, if that has been seen. */
    @Nullable Block taken;

    /** What follows at {@link #end}, if that has been seen. */
    @Nullable Block next;

    Block(
            long ip,
            int mode,
            long host,
            long secondPage,
            byte[] bytes,
            long[] ops,
            short[] offset,
            byte[] index,
            int count,
            long end) {
        this.ip = ip;
        this.mode = mode;
        this.host = host;
        this.secondPage = secondPage;
        this.bytes = bytes;
        this.ops = ops;
        this.offset = offset;
        this.index = index;
        this.count = count;
        this.end = end;
    }

    /** How many of the bytes lie in the first page. */
    int firstBytes() {
        return secondPage == 0 ? bytes.length : (int) (4096 - (host & 4095));
    }

    boolean unchanged() {
        int first = firstBytes();
        return HostMemory.equal(host, bytes, 0, first)
                && (secondPage == 0 || HostMemory.equal(secondPage, bytes, first, bytes.length - first));
    }
}
