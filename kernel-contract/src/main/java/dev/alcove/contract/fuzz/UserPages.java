// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract.fuzz;

import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import dev.alcove.sys.SyscallException;
import dev.alcove.sys.Syscalls;
import dev.alcove.sys.UserMappings;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/**
 * A range of user addresses that a sequence maps into, unmaps from, and hands to the kernel by symbol. A symbol of zero
 * or more is a distance in bytes from its start, one below zero a wild address. Knows what may be touched: where nothing
 * is mapped an access would end the JVM.
 *
 * <p>A session must make its other mappings before a sequence starts, or give them fixed places: a kernel may put them
 * into a hole of this range.
 */
public final class UserPages implements AutoCloseable {
    private static final int PAGE = Linux.PAGE_SIZE;

    /** Far below where kernels place mappings by themselves, so that nothing else moves into a hole. */
    private static final long HINT = 0x2000_0000_0000L;

    /** None depends on how many bits of a user address the processor has: 47 or 56. */
    private static final long[] WILD = {
        0, 0x1000, 0x1001, 1L << 56, Long.MIN_VALUE, 0xffff_8880_0000_0000L, 0xffff_ffff_8000_0000L, -PAGE
    };

    private final Syscalls syscalls;
    private final int pages;
    private final long base;

    /** PROT_ bits of each page; -1 where nothing is mapped. */
    private final int[] protection;

    /** Which pages are private memory that may be written. */
    private final boolean[] owned;

    /** How many wild addresses there are: -1 to -{@value}. */
    public static final int WILD_ADDRESSES = 8;

    /** @param pages how many there are; none may be touched before it is mapped */
    public UserPages(Syscalls syscalls, int pages) {
        this.syscalls = syscalls;
        this.pages = pages;
        this.protection = new int[pages];
        this.owned = new boolean[pages];
        int flags = Linux.MAP_PRIVATE | Linux.MAP_ANONYMOUS | Linux.MAP_NORESERVE;
        base = syscalls.mmap(HINT, (long) pages * PAGE, Linux.PROT_NONE, flags, -1, 0);
        if (Linux.isError(base)) {
            throw new SyscallException("mmap", pages + " pages of addresses", base);
        }
    }

    /** How many pages of addresses there are. */
    public int pages() {
        return pages;
    }

    /** The address that a symbol stands for. */
    public long address(long symbol) {
        return symbol >= 0 ? base + symbol : WILD[(int) ((-1 - symbol) & WILD_ADDRESSES - 1)];
    }

    /**
     * mmap(2) at a place, after munmap(2) of it.
     *
     * @param page where
     * @param length bytes; what would reach past the range is cut off
     * @param flags without MAP_FIXED, which is added
     * @return 0 or a negated errno
     */
    public int map(long page, long length, int protection, int flags, int fd, long offset) {
        long at = Math.floorMod(page, (long) pages);
        long bytes = Math.min(length, (pages - at) * PAGE);
        long count = (bytes + PAGE - 1) / PAGE;
        if (count > 0) {
            unmap(at, count);
        }
        long answer = syscalls.mmap(base + at * PAGE, bytes, protection, flags | Linux.MAP_FIXED, fd, offset);
        if (Linux.isError(answer)) {
            return (int) answer;
        }
        boolean own = (flags & Linux.MAP_PRIVATE) != 0 && (flags & Linux.MAP_ANONYMOUS) != 0;
        for (int i = (int) at; i < at + count; i++) {
            this.protection[i] = protection;
            owned[i] = own && (protection & Linux.PROT_WRITE) != 0;
        }
        own(at, count);
        return 0;
    }

    /**
     * Writes a zero to pages of private memory. Before the first write they are all one page of zeroes, and which ones
     * are still shows in KVM's dirty logs, while no emulation can know that an access was only a read.
     */
    private void own(long page, long count) {
        for (int i = (int) page; i < page + count; i++) {
            if (owned[i]) {
                access(base + (long) i * PAGE, true, 0);
            }
        }
    }

    /** munmap(2) of whole pages, as far as they are in the range. */
    public int unmap(long page, long count) {
        long at = Math.floorMod(page, (long) pages);
        long end = Math.min(pages, at + count);
        for (long i = at; i < end; i++) {
            protection[(int) i] = -1;
            owned[(int) i] = false;
        }
        return syscalls.munmap(base + at * PAGE, Math.max(0, end - at) * PAGE);
    }

    /** madvise(2) of whole pages, as far as they are in the range. */
    public int advise(long page, long count, int advice) {
        long at = Math.floorMod(page, (long) pages);
        long pagesThere = Math.max(0, Math.min(pages - at, count));
        int answer = syscalls.madvise(base + at * PAGE, pagesThere * PAGE, advice);
        if (advice == Linux.MADV_DONTNEED) {
            own(at, pagesThere);
        }
        return answer;
    }

    /** Reads a 32-bit word as the user: its value; {@code -EFAULT} where nothing is mapped, {@code -EIO} for SIGBUS. */
    public Answer read(long symbol) {
        return touch(symbol, Linux.PROT_READ, 0);
    }

    /** Writes a 32-bit word as the user; answers as {@link #read} does. */
    public Answer write(long symbol, int value) {
        return touch(symbol, Linux.PROT_WRITE, value);
    }

    @SuppressWarnings("ThreadPriorityCheck") // not for the scheduler's sake
    private Answer touch(long symbol, int right, int value) {
        if (symbol < 0 || symbol >= (long) pages * PAGE || !allows(symbol, right)) {
            return Answer.of(-Errno.EFAULT);
        }
        try {
            int found = access(base + (symbol & -4), right == Linux.PROT_WRITE, value);
            // The JVM reports SIGBUS at its next chance, which this is.
            Thread.yield();
            return Answer.with(0).and("word", found & 0xffffffffL).build();
        } catch (InternalError sigbus) {
            return Answer.of(-Errno.EIO);
        }
    }

    private boolean allows(long symbol, int right) {
        int allowed = protection[(int) (symbol / PAGE)];
        return allowed >= 0 && (allowed & right) != 0;
    }

    private static int access(long address, boolean write, int value) {
        MemorySegment word = UserMappings.segment(address, 4);
        if (write) {
            word.set(ValueLayout.JAVA_INT, 0, value);
            return 0;
        }
        return word.get(ValueLayout.JAVA_INT, 0);
    }

    @Override
    public void close() {
        syscalls.munmap(base, (long) pages * PAGE);
    }
}
