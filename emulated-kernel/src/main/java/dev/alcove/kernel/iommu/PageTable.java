// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommu;

import dev.alcove.kernel.mm.Allocator;
import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.util.concurrent.atomic.AtomicReferenceArray;
import org.jspecify.annotations.Nullable;

/**
 * The radix tree of a domain, with 512 entries in each table. A leaf is the address of its first byte and flags in the
 * bits below the smallest page: rights, whether it is dirty, and how many entries side by side (a power of two, all of
 * them the same but for the dirty flag) are one page. A table is freed by an unmap that covers all of it, or by a large
 * page that takes its place: what is mapped and unmapped again and again keeps its tables.
 *
 * <p>Locks: the caller's. Calls that change or read different regions of {@link #regionShift} may come at the same time,
 * where each stays in its region: no two regions share a table of the lowest level, and of one above they have entries of
 * their own and a count that is atomic. Tables above the lowest level come and go only when the caller has everything.
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

    /** What {@link #map} answers, with nothing changed, when it needs everything. */
    static final int NEEDS_ALL = 1;

    private static final class Node {
        private static final VarHandle USED;

        static {
            try {
                USED = MethodHandles.lookup().findVarHandle(Node.class, "used", int.class);
            } catch (ReflectiveOperationException e) {
                throw new ExceptionInInitializerError(e);
            }
        }

        final long[] leaves = new long[FANOUT];
        final @Nullable Node @Nullable [] children;
        private int used;

        Node(int level) {
            children = level == 0 ? null : new Node[FANOUT];
        }

        @Nullable Node child(int index) {
            return children == null ? null : children[index];
        }

        boolean isEmpty() {
            return used == 0;
        }

        /** Counts entries that are used from now on, or, where it is negative, no longer. */
        void use(int entries) {
            if (children == null) {
                used += entries;
            } else {
                USED.getAndAdd(this, entries);
            }
        }
    }

    private final Allocator allocator;
    private final int pageShift;
    private final int rootLevel;
    private final long pageSizes;
    private final Node root;
    /** By level, the empty table that was freed last: who maps and unmaps in turn would make one each time. */
    private final AtomicReferenceArray<@Nullable Node> spare;

    PageTable(Allocator allocator, PageFormat format) {
        this.allocator = allocator;
        this.pageShift = format.pageShift();
        this.rootLevel = format.levels() - 1;
        this.pageSizes = format.pageSizes();
        this.root = new Node(rootLevel);
        this.spare = new AtomicReferenceArray<>(rootLevel);
    }

    /** The binary logarithm of what has tables of the lowest level for itself, at most; less than a table above maps. */
    int regionShift() {
        return pageShift + BITS;
    }

    /** Walks the table for it. */
    long mappedBytes() {
        long[] bytes = new long[1];
        forEach((iova, address, length, rights) -> bytes[0] += length);
        return bytes[0];
    }

    /**
     * All or nothing.
     *
     * @param all whether the caller has everything
     */
    int map(long iova, long address, long length, int rights, boolean large, boolean all) {
        long allowed = large ? pageSizes : pageSizes & ((Linux.PAGE_SIZE << 1) - 1);
        for (long done = 0; done < length; ) {
            long size = pageSize(allowed, (iova + done) | (address + done), length - done);
            long bytes = Math.min((length - done) & -size, reach(allowed, size, iova + done));
            int error = size == 0 ? -Errno.EINVAL : insert(iova + done, size, bytes, (address + done) | rights, all);
            if (error != 0) {
                unmap(iova, done, null);
                return error;
            }
            done += bytes;
        }
        return 0;
    }

    /** The largest page that is aligned and fits, 0 when none does. */
    private static long pageSize(long sizes, long alignment, long length) {
        long aligned = sizes & ((Long.lowestOneBit(alignment) << 1) - 1);
        return Long.highestOneBit(aligned & ((Long.highestOneBit(length) << 1) - 1));
    }

    /** Bytes from an IOVA on to where its table ends or a page larger than {@code size} could begin. */
    private long reach(long sizes, long size, long iova) {
        long table = 1L << (pageShift + (leafLevel(size) + 1) * BITS);
        long larger = Long.lowestOneBit(sizes & -(size << 1));
        long step = larger == 0 ? table : Math.min(larger, table);
        return step - (iova & (step - 1));
    }

    /** The level of the table with the entries of a page; all those of a page larger than its entries stand side by side. */
    private int leafLevel(long size) {
        return Math.min((Long.numberOfTrailingZeros(size) - pageShift) / BITS, rootLevel);
    }

    /** Pages of {@code size}, {@code bytes} of them, that stand in one table. */
    private int insert(long iova, long size, long bytes, long entry, boolean all) {
        int leafLevel = leafLevel(size);
        int span = Long.numberOfTrailingZeros(size) - pageShift - leafLevel * BITS;
        Node node = root;
        for (int level = rootLevel; level > leafLevel; level--) {
            int index = index(iova, level);
            if (node.leaves[index] != 0) {
                return -Errno.EADDRINUSE;
            }
            Node child = node.child(index);
            if (child == null) {
                if (level > 1 && !all) {
                    return NEEDS_ALL;
                }
                if (!allocator.charge("iommu page table")) {
                    if (all) {
                        removeEmptyTables(root, rootLevel, iova);
                    }
                    return -Errno.ENOMEM;
                }
                Node freed = spare.getAndSet(level - 1, null);
                child = freed != null ? freed : new Node(level - 1);
                setChild(node, index, child);
                node.use(1);
            }
            node = child;
        }
        int index = index(iova, leafLevel);
        int end = index + (int) (bytes >>> (pageShift + leafLevel * BITS));
        for (int i = index; i < end; i++) {
            Node child = node.child(i);
            if (node.leaves[i] != 0 || (child != null && !mapsNothing(child))) {
                return -Errno.EADDRINUSE;
            }
        }
        for (int i = index; i < end && leafLevel > 0; i++) {
            if (node.child(i) != null) {
                setChild(node, i, null);
                node.use(-1);
            }
        }
        long leaf = entry | ((long) span << SPAN_SHIFT);
        for (int i = index; i < end; i++) {
            node.leaves[i] = leaf + ((long) (i - index) >>> span) * size;
        }
        node.use(end - index);
        return 0;
    }

    /** Passes over holes; stops before a large entry that the range covers only in part. Answers the bytes unmapped. */
    long unmap(long iova, long length, @Nullable UnmapSink removed) {
        long unmapped = length > 0 ? unmapIn(root, rootLevel, 0, iova, iova + length, removed) : 0;
        return unmapped < 0 ? ~unmapped : unmapped;
    }

    /** The bytes unmapped; their complement, which is negative, when the caller may not go on behind this table. */
    private long unmapIn(Node node, int level, long base, long from, long to, @Nullable UnmapSink removed) {
        int shift = pageShift + level * BITS;
        long unmapped = 0;
        for (int index = from <= base ? 0 : (int) ((from - base) >>> shift); index < FANOUT; index++) {
            long start = base + ((long) index << shift);
            if (start >= to) {
                return unmapped;
            }
            long entry = node.leaves[index];
            Node child = node.child(index);
            if (entry != 0) {
                int span = spanOf(entry);
                long size = 1L << (shift + span);
                if (start < from || (start & (size - 1)) != 0 || start + size > to) {
                    return ~unmapped;
                }
                clear(node, index, 1 << span);
                unmapped += size;
                if (removed != null) {
                    removed.accept(start, addressOf(entry), size);
                }
                index += (1 << span) - 1;
            } else if (child != null) {
                long below = unmapIn(child, level - 1, start, from, to, removed);
                unmapped += below < 0 ? ~below : below;
                if (child.isEmpty() && start >= from && start + (1L << shift) <= to) {
                    free(node, level, index, child);
                }
                if (below < 0) {
                    return ~unmapped;
                }
            }
        }
        return unmapped;
    }

    private static boolean mapsNothing(Node node) {
        for (int index = 0; index < FANOUT && !node.isEmpty(); index++) {
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
        node.use(-count);
    }

    private void removeEmptyTables(Node node, int level, long iova) {
        int index = index(iova, level);
        Node child = node.child(index);
        if (child == null) {
            return;
        }
        removeEmptyTables(child, level - 1, iova);
        if (child.isEmpty()) {
            free(node, level, index, child);
        }
    }

    private void free(Node node, int level, int index, Node empty) {
        setChild(node, index, null);
        node.use(-1);
        spare.set(level - 1, empty);
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
