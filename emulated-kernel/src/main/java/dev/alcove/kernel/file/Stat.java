// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.file;

/**
 * What fstat(2) tells of a file.
 *
 * @param mode type and permission bits
 * @param size bytes
 * @param blocks units of 512 bytes
 */
public record Stat(long inode, int mode, long size, long blocks) {
    public static final int S_IFCHR = 0020000;
    public static final int S_IFREG = 0100000;
    public static final int S_IFDIR = 0040000;
}
