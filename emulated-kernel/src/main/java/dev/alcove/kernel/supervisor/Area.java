// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.supervisor;

import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import org.jspecify.annotations.Nullable;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

/**
 * A mapping of the program's, as procfs shows it.
 *
 * @param end first address behind it
 * @param offset of {@code start} in the file, in bytes
 * @param device of the file, as stat(2) has it
 * @param inode of the file; 0 for private anonymous memory
 */
record Area(
        long start, long end, boolean readable, boolean writable, boolean shared, long offset, long device, long inode) {
    private static final int PROCMAP_QUERY = 0xC0686611;
    private static final int QUERY_BYTES = 104;
    private static final int READABLE = 1;
    private static final int WRITABLE = 2;
    private static final int SHARED = 8;

    /**
     * The mapping at an address.
     *
     * @param maps a descriptor of /proc/PID/maps
     * @return null when nothing is mapped there, or the address space is gone
     */
    static @Nullable Area at(Host host, int maps, long address) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment query = arena.allocate(QUERY_BYTES, 8);
            query.set(JAVA_LONG, 0, QUERY_BYTES);
            query.set(JAVA_LONG, 16, address);
            int answer = host.calls.ioctl(maps, PROCMAP_QUERY, query);
            if (answer == -Errno.ENOTTY) {
                return search(host, maps, address);
            }
            if (answer < 0) {
                return null;
            }
            long flags = query.get(JAVA_LONG, 40);
            return new Area(
                    query.get(JAVA_LONG, 24),
                    query.get(JAVA_LONG, 32),
                    (flags & READABLE) != 0,
                    (flags & WRITABLE) != 0,
                    (flags & SHARED) != 0,
                    query.get(JAVA_LONG, 56),
                    device(query.get(JAVA_INT, 72), query.get(JAVA_INT, 76)),
                    query.get(JAVA_LONG, 64));
        }
    }

    /** Before Linux 6.11: by reading all of the text. */
    private static @Nullable Area search(Host host, int maps, long address) {
        host.calls.lseek(maps, 0, Linux.SEEK_SET);
        StringBuilder text = new StringBuilder();
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment buffer = arena.allocate(1 << 16);
            for (long got = host.calls.read(maps, buffer); got > 0; got = host.calls.read(maps, buffer)) {
                for (long i = 0; i < got; i++) {
                    text.append((char) buffer.get(JAVA_BYTE, i));
                }
            }
        }
        return text.toString().lines().map(Area::parse).filter(area -> area.covers(address)).findFirst().orElse(null);
    }

    /** One line: {@code start-end rwxp offset major:minor inode name}. */
    private static Area parse(String line) {
        String[] fields = line.split(" +", 6);
        int dash = fields[0].indexOf('-');
        int colon = fields[3].indexOf(':');
        return new Area(
                Long.parseUnsignedLong(fields[0].substring(0, dash), 16),
                Long.parseUnsignedLong(fields[0].substring(dash + 1), 16),
                fields[1].charAt(0) == 'r',
                fields[1].charAt(1) == 'w',
                fields[1].charAt(3) == 's',
                Long.parseUnsignedLong(fields[2], 16),
                device(
                        Integer.parseInt(fields[3].substring(0, colon), 16),
                        Integer.parseInt(fields[3].substring(colon + 1), 16)),
                Long.parseLong(fields[4]));
    }

    private static long device(int major, int minor) {
        return ((major & 0xfffL) << 8) | (minor & 0xffL) | ((minor & ~0xffL) << 12);
    }

    boolean covers(long address) {
        return Long.compareUnsigned(address, start) >= 0 && Long.compareUnsigned(address, end) < 0;
    }

    /** Whether an access is allowed. */
    boolean allows(boolean write) {
        return write ? writable : readable || writable;
    }

    /** The page of the file at an address. */
    long page(long address) {
        return (offset + (address - start)) >> Linux.PAGE_SHIFT;
    }
}
