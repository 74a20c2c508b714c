// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.file;

import dev.alcove.sys.Linux;
import java.lang.foreign.MemorySegment;

import static java.lang.foreign.ValueLayout.JAVA_INT_UNALIGNED;
import static java.lang.foreign.ValueLayout.JAVA_LONG_UNALIGNED;

/**
 * What fstat(2) tells of a file.
 *
 * @param mode type and permission bits
 * @param size bytes
 * @param blocks units of 512 bytes
 * @param links names that the file has
 */
public record Stat(long inode, int mode, long size, long blocks, int links) {
    public static final int S_IFMT = 0170000;
    public static final int S_IFCHR = 0020000;
    public static final int S_IFREG = 0100000;
    public static final int S_IFDIR = 0040000;

    /** Bytes of x86-64's {@code struct stat}. */
    public static final int BYTES = 144;

    /** Of a file with one name. */
    public Stat(long inode, int mode, long size, long blocks) {
        this(inode, mode, size, blocks, 1);
    }

    /** Writes the {@code struct stat} of x86-64. */
    public void write(MemorySegment into) {
        into.asSlice(0, BYTES).fill((byte) 0);
        into.set(JAVA_LONG_UNALIGNED, 8, inode);
        into.set(JAVA_LONG_UNALIGNED, 16, links);
        into.set(JAVA_INT_UNALIGNED, 24, mode);
        into.set(JAVA_LONG_UNALIGNED, 48, size);
        into.set(JAVA_LONG_UNALIGNED, 56, Linux.PAGE_SIZE);
        into.set(JAVA_LONG_UNALIGNED, 64, blocks);
    }
}
