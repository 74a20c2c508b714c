// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.file;

import dev.alcove.sys.Linux;
import java.lang.foreign.MemorySegment;

import static java.lang.foreign.ValueLayout.JAVA_INT_UNALIGNED;
import static java.lang.foreign.ValueLayout.JAVA_LONG_UNALIGNED;
import static java.lang.foreign.ValueLayout.JAVA_SHORT_UNALIGNED;

/**
 * What fstat(2) tells of a file.
 *
 * @param mode type and permission bits
 * @param size bytes
 * @param blocks units of 512 bytes
 * @param links names that the file has
 * @param device which device a character device is: {@link #device(int, int)}; 0 for other files
 */
public record Stat(long inode, int mode, long size, long blocks, int links, long device) {
    public static final int S_IFMT = 0170000;
    public static final int S_IFCHR = 0020000;
    public static final int S_IFREG = 0100000;
    public static final int S_IFDIR = 0040000;
    public static final int S_IFLNK = 0120000;

    private static final int STATX_BASIC_STATS = 0x7ff;

    /** Bytes of x86-64's {@code struct stat}. */
    public static final int BYTES = 144;

    /** Bytes of {@code struct statx}. */
    public static final int EXTENDED_BYTES = 256;

    /** Of a file with one name. */
    public Stat(long inode, int mode, long size, long blocks) {
        this(inode, mode, size, blocks, 1, 0);
    }

    /** Of a file that is no device. */
    public Stat(long inode, int mode, long size, long blocks, int links) {
        this(inode, mode, size, blocks, links, 0);
    }

    /** A device's number as {@code st_rdev} has it. */
    public static long device(int major, int minor) {
        return ((major & 0xfffL) << 8) | (minor & 0xffL) | ((minor & ~0xffL) << 12);
    }

    /** Writes the {@code struct stat} of x86-64. */
    public void write(MemorySegment into) {
        into.asSlice(0, BYTES).fill((byte) 0);
        into.set(JAVA_LONG_UNALIGNED, 8, inode);
        into.set(JAVA_LONG_UNALIGNED, 16, links);
        into.set(JAVA_INT_UNALIGNED, 24, mode);
        into.set(JAVA_LONG_UNALIGNED, 40, device);
        into.set(JAVA_LONG_UNALIGNED, 48, size);
        into.set(JAVA_LONG_UNALIGNED, 56, Linux.PAGE_SIZE);
        into.set(JAVA_LONG_UNALIGNED, 64, blocks);
    }

    /** Writes a {@code struct statx} with the basic fields. */
    public void writeExtended(MemorySegment into) {
        into.asSlice(0, EXTENDED_BYTES).fill((byte) 0);
        into.set(JAVA_INT_UNALIGNED, 0, STATX_BASIC_STATS);
        into.set(JAVA_INT_UNALIGNED, 4, Linux.PAGE_SIZE);
        into.set(JAVA_INT_UNALIGNED, 16, links);
        into.set(JAVA_SHORT_UNALIGNED, 28, (short) mode);
        into.set(JAVA_LONG_UNALIGNED, 32, inode);
        into.set(JAVA_LONG_UNALIGNED, 40, size);
        into.set(JAVA_LONG_UNALIGNED, 48, blocks);
        into.set(JAVA_INT_UNALIGNED, 128, (int) (device >>> 8 & 0xfff));
        into.set(JAVA_INT_UNALIGNED, 132, (int) ((device & 0xff) | (device >>> 12 & ~0xff)));
    }
}
