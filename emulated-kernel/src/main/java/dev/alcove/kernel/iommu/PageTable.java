// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommu;

import dev.alcove.kernel.mm.Allocator;
import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import org.jspecify.annotations.Nullable;

/**
 * The radix tree of a domain, with 512 entries in each table. A leaf is the address of its first byte and flags in the
 * bits below the smallest page: rights, whether it is dirty, and how many entries side by side (a power of two, all of
 * them the same but for the dirty flag) are one page. A table is freed by an unmap that covers all of it, or by a large
 * page that takes its place: what is mapped and unmapped again and again keeps its tables. Not thread safe.
 */
final class PageTable {
    private static final int BITS = PageFormat.LEVEL_BITS;
    private static final int FANOUT = 1 << BITS;
    private static final int RIGHTS = IommuDomain.READ | IommuDomain.WRITE;
    private static final int DIRTY = 4;
    private static final int SPAN_SHIFT = 3;
    private static final int SPAN_MASK = 0xf;

    /** Receives one page. */
    interface Leaf {
        void accept(long iova, long address, long length, int rights);
    }

    private static final class Node {
        final long[] leaves = new long[FANOUT];
        final @Nullable Node @Nullable [] children;
        int used;

        Node(int level) {
            children = level == 0 ? null : new Node[FANOUT];
        }

        @Nullable Node child(int index) {
            return children == null ? null : children[index];
        }
    }

    private final Allocator allocator;
    private final int pageShift;
    private final int rootLevel;
    private final long pageSizes;
    private final Node root;
    /** By level, the empty table that was freed last: who maps and unmaps in turn would make one each time. */
    private final @Nullable Node[] spare;
    private long mappedBytes;

    PageTable(Allocator allocator, PageFormat format) {
        this.allocator = allocator;
        this.pageShift = format.pageShift();
        this.rootLevel = format.levels() - 1;
        this.pageSizes = format.pageSizes();
        this.root = new Node(rootLevel);
        this.spare = new Node[rootLevel];
    }

    long mappedBytes() {
        return mappedBytes;
    }

    /** All or nothing. */
    int map(long iova, long address, long length, int rights, boolean large) {
        long allowed = large ? pageSizes : pageSizes & ((Linux.PAGE_SIZE << 1) - 1);
        for (long done = 0; done < length; ) {
            long size = pageSize(allowed, (iova + done) | (address + done), length - done);
            int error = size == 0 ? -Errno.EINVAL : insert(iova + done, size, (address + done) | rights);
            if (error != 0) {
                unmap(iova, done, null);
                return error;
            }
            done += size;
        }
        return 0;
    }

    /** The largest page that is aligned and fits, 0 when none does. */
    private static long pageSize(long sizes, long alignment, long length) {
        long aligned = sizes & ((Long.lowestOneBit(alignment) << 1) - 1);
        return Long.highestOneBit(aligned & ((Long.highestOneBit(length) << 1) - 1));
    }

    private int insert(long iova, long size, long entry) {
        int order = Long.numberOfTrailingZeros(size) - pageShift;
        int leafLevel = Math.min(order / BITS, rootLevel);
        int span = order - leafLevel * BITS;
        Node node = root;
        for (int level = rootLevel; level > leafLevel; level--) {
            int index = index(iova, level);
            if (node.leaves[index] != 0) {
                return -Errno.EADDRINUSE;
            }
            Node child = node.child(index);
            if (child == null) {
                if (!allocator.charge("iommu page table")) {
                    removeEmptyTables(root, rootLevel, iova);
                    return -Errno.ENOMEM;
                }
                Node freed = spare[level - 1];
                child = freed != null ? freed : new Node(level - 1);
                spare[level - 1] = null;
                setChild(node, index, child);
                node.used++;
            }
            node = child;
        }
        int index = index(iova, leafLevel);
        int end = index + (1 << span);
        for (int i = index; i < end; i++) {
            Node child = node.child(i);
            if (node.leaves[i] != 0 || (child != null && !mapsNothing(child))) {
                return -Errno.EADDRINUSE;
            }
        }
        for (int i = index; i < end && leafLevel > 0; i++) {
            if (node.child(i) != null) {
                setChild(node, i, null);
                node.used--;
            }
        }
        for (int i = index; i < end; i++) {
            node.leaves[i] = entry | ((long) span << SPAN_SHIFT);
        }
        node.used += end - index;
        mappedBytes += size;
        return 0;
    }

    /** Passes over holes; stops before a large entry that the range covers only in part. Answers the bytes unmapped. */
    long unmap(long iova, long length, @Nullable UnmapSink removed) {
        long before = mappedBytes;
        if (length > 0) {
            unmapIn(root, rootLevel, 0, iova, iova + length, removed);
        }
        return before - mappedBytes;
    }

    /** Whether the caller may go on behind this table. */
    private boolean unmapIn(Node node, int level, long base, long from, long to, @Nullable UnmapSink removed) {
        int shift = pageShift + level * BITS;
        for (int index = from <= base ? 0 : (int) ((from - base) >>> shift); index < FANOUT; index++) {
            long start = base + ((long) index << shift);
            if (start >= to) {
                return true;
            }
            long entry = node.leaves[index];
            Node child = node.child(index);
            if (entry != 0) {
                int span = spanOf(entry);
                long size = 1L << (shift + span);
                if (start < from || (start & (size - 1)) != 0 || start + size > to) {
                    return false;
                }
                clear(node, index, 1 << span);
                mappedBytes -= size;
                if (removed != null) {
                    removed.accept(start, addressOf(entry), size);
                }
                index += (1 << span) - 1;
            } else if (child != null) {
                boolean goOn = unmapIn(child, level - 1, start, from, to, removed);
                if (child.used == 0 && start >= from && start + (1L << shift) <= to) {
                    free(node, level, index, child);
                }
                if (!goOn) {
                    return false;
                }
            }
        }
        return true;
    }

    private static boolean mapsNothing(Node node) {
        for (int index = 0; index < FANOUT && node.used > 0; index++) {
            Node child = node.child(index);
            if (node.leaves[index] != 0 || (child != null && !mapsNothing(child))) {
                return false;
            }
        }
        return true;
    }

    private static void clear(Node node, int index, int count) {
        for (int i = index; i < index + count; i++) {
            node.leaves[i] = 0;
        }
        node.used -= count;
    }

    private void removeEmptyTables(Node node, int level, long iova) {
        int index = index(iova, level);
        Node child = node.child(index);
        if (child == null) {
            return;
        }
        removeEmptyTables(child, level - 1, iova);
        if (child.used == 0) {
            free(node, level, index, child);
        }
    }

    private void free(Node node, int level, int index, Node empty) {
        setChild(node, index, null);
        node.used--;
        spare[level - 1] = empty;
    }

    /** The address behind an IOVA (both of the smallest page) with its rights; 0 when nothing is mapped. */
    long walk(long iova) {
        Node node = root;
        for (int level = rootLevel; ; level--) {
            int index = index(iova, level);
            long entry = node.leaves[index];
            if (entry != 0) {
                long inPage = (1L << (pageShift + level * BITS + spanOf(entry))) - 1;
                return (addressOf(entry) + (iova & inPage & -(1L << pageShift))) | (entry & RIGHTS);
            }
            Node child = node.child(index);
            if (child == null) {
                return 0;
            }
            node = child;
        }
    }

    /** Bytes of the page that maps an IOVA, 0 when nothing is mapped. */
    long pageSizeAt(long iova) {
        Node node = root;
        for (int level = rootLevel; ; level--) {
            int index = index(iova, level);
            long entry = node.leaves[index];
            if (entry != 0) {
                return 1L << (pageShift + level * BITS + spanOf(entry));
            }
            Node child = node.child(index);
            if (child == null) {
                return 0;
            }
            node = child;
        }
    }

    /** Sets the dirty flag of one entry of a page; whether anything is mapped there. */
    boolean markDirty(long iova) {
        Node node = root;
        for (int level = rootLevel; ; level--) {
            int index = index(iova, level);
            if (node.leaves[index] != 0) {
                node.leaves[index] |= DIRTY;
                return true;
            }
            Node child = node.child(index);
            if (child == null) {
                return false;
            }
            node = child;
        }
    }

    /**
     * Tells where dirty pages begin in a range, and makes the pages clean if asked to. The lengths are those of Linux 7.2: a
     * page of one entry counts in full even where the range covers less of it; of one of several entries the last is
     * missing.
     */
    void readDirty(long iova, long length, boolean clear, DirtySink sink) {
        readDirtyIn(root, rootLevel, 0, iova, iova + length, clear, sink);
    }

    private void readDirtyIn(Node node, int level, long base, long from, long to, boolean clear, DirtySink sink) {
        int shift = pageShift + level * BITS;
        for (int index = from <= base ? 0 : (int) ((from - base) >>> shift); index < FANOUT; index++) {
            long start = base + ((long) index << shift);
            if (start >= to) {
                return;
            }
            long entry = node.leaves[index];
            Node child = node.child(index);
            if (entry != 0) {
                int first = index & -(1 << spanOf(entry));
                int end = first + (1 << spanOf(entry));
                if (takeDirty(node, first, end, clear)) {
                    long stop = end - first == 1
                            ? Math.max(start, from) + (1L << shift)
                            : Math.min(to, base + (((long) end - 1) << shift));
                    sink.accept(Math.max(start, from), stop - Math.max(start, from));
                }
                index = end - 1;
            } else if (child != null) {
                readDirtyIn(child, level - 1, start, from, to, clear, sink);
            }
        }
    }

    private static boolean takeDirty(Node node, int first, int end, boolean clear) {
        boolean dirty = false;
        for (int i = first; i < end; i++) {
            dirty |= (node.leaves[i] & DIRTY) != 0;
            if (clear) {
                node.leaves[i] &= ~DIRTY;
            }
        }
        return dirty;
    }

    void forEach(Leaf leaf) {
        forEachIn(root, rootLevel, 0, leaf);
    }

    private void forEachIn(Node node, int level, long base, Leaf leaf) {
        int shift = pageShift + level * BITS;
        for (int index = 0; index < FANOUT; index++) {
            long start = base + ((long) index << shift);
            long entry = node.leaves[index];
            Node child = node.child(index);
            if (entry != 0) {
                leaf.accept(start, addressOf(entry), 1L << (shift + spanOf(entry)), (int) entry & RIGHTS);
                index += (1 << spanOf(entry)) - 1;
            } else if (child != null) {
                forEachIn(child, level - 1, start, leaf);
            }
        }
    }

    private long addressOf(long entry) {
        return entry & -(1L << pageShift);
    }

    /** The binary logarithm of the entries that are one page. */
    private static int spanOf(long entry) {
        return ((int) entry >>> SPAN_SHIFT) & SPAN_MASK;
    }

    private static void setChild(Node node, int index, @Nullable Node child) {
        if (node.children == null) {
            throw new AssertionError("a table of the last level has no tables below it");
        }
        node.children[index] = child;
    }

    private int index(long iova, int level) {
        return (int) (iova >>> (pageShift + level * BITS)) & (FANOUT - 1);
    }
}
