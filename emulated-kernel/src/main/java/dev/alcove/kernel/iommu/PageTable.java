// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommu;

import dev.alcove.kernel.mm.Allocator;
import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import org.jspecify.annotations.Nullable;

/**
 * The radix tree of a domain: four levels of 512 entries; leaves at level 0 (4 KiB), 1 (2 MiB) and 2 (1 GiB). A leaf
 * entry is the frame number shifted left by 12, and the rights. A table that becomes empty is freed. Not thread safe.
 */
final class PageTable {
    private static final int BITS = 9;
    private static final int FANOUT = 1 << BITS;
    private static final int ROOT_LEVEL = 3;
    private static final int TOP_LEAF_LEVEL = 2;

    /** Receives one leaf entry. */
    interface Leaf {
        void accept(long page, long pfn, long pages, int rights);
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
    private final Node root = new Node(ROOT_LEVEL);
    private long mappedPages;

    PageTable(Allocator allocator) {
        this.allocator = allocator;
    }

    long mappedPages() {
        return mappedPages;
    }

    /** All or nothing. */
    int map(long page, long pfn, long pages, int rights, boolean large) {
        long done = 0;
        while (done < pages) {
            int level = large ? leafLevel(page + done | pfn + done, pages - done) : 0;
            int error = insert(page + done, level, (pfn + done) << Linux.PAGE_SHIFT | rights);
            if (error != 0) {
                unmap(page, done, null);
                return error;
            }
            done += pagesAt(level);
        }
        return 0;
    }

    private static int leafLevel(long alignment, long pages) {
        for (int level = TOP_LEAF_LEVEL; level > 0; level--) {
            if ((alignment & pagesAt(level) - 1) == 0 && pages >= pagesAt(level)) {
                return level;
            }
        }
        return 0;
    }

    private int insert(long page, int leafLevel, long entry) {
        Node node = root;
        for (int level = ROOT_LEVEL; level > leafLevel; level--) {
            int index = index(page, level);
            if (node.leaves[index] != 0) {
                return -Errno.EADDRINUSE;
            }
            Node child = node.child(index);
            if (child == null) {
                if (!allocator.charge("iommu page table")) {
                    removeEmptyTables(root, ROOT_LEVEL, page);
                    return -Errno.ENOMEM;
                }
                child = new Node(level - 1);
                setChild(node, index, child);
                node.used++;
            }
            node = child;
        }
        int index = index(page, leafLevel);
        if (node.leaves[index] != 0 || node.child(index) != null) {
            return -Errno.EADDRINUSE;
        }
        node.leaves[index] = entry;
        node.used++;
        mappedPages += pagesAt(leafLevel);
        return 0;
    }

    /** Passes over holes; stops before a large entry that the range covers only in part. Answers the pages unmapped. */
    long unmap(long page, long pages, @Nullable PfnSink removed) {
        long before = mappedPages;
        if (pages > 0) {
            unmapIn(root, ROOT_LEVEL, 0, page, page + pages, removed);
        }
        return before - mappedPages;
    }

    /** Whether the caller may go on behind this table. */
    private boolean unmapIn(Node node, int level, long base, long from, long to, @Nullable PfnSink removed) {
        long size = pagesAt(level);
        int first = from <= base ? 0 : (int) ((from - base) / size);
        for (int index = first; index < FANOUT; index++) {
            long start = base + index * size;
            if (start >= to) {
                return true;
            }
            long entry = node.leaves[index];
            Node child = node.child(index);
            if (entry != 0) {
                if (start < from || start + size > to) {
                    return false;
                }
                node.leaves[index] = 0;
                node.used--;
                mappedPages -= size;
                if (removed != null) {
                    removed.accept(start << Linux.PAGE_SHIFT, entry >>> Linux.PAGE_SHIFT, size);
                }
            } else if (child != null) {
                boolean goOn = unmapIn(child, level - 1, start, from, to, removed);
                if (child.used == 0) {
                    setChild(node, index, null);
                    node.used--;
                }
                if (!goOn) {
                    return false;
                }
            }
        }
        return true;
    }

    private static void removeEmptyTables(Node node, int level, long page) {
        int index = index(page, level);
        Node child = node.child(index);
        if (child == null) {
            return;
        }
        removeEmptyTables(child, level - 1, page);
        if (child.used == 0) {
            setChild(node, index, null);
            node.used--;
        }
    }

    /** The frame and rights of one page, also inside a large entry; 0 when nothing is mapped. */
    long walk(long page) {
        Node node = root;
        for (int level = ROOT_LEVEL; ; level--) {
            int index = index(page, level);
            long entry = node.leaves[index];
            if (entry != 0) {
                return entry + ((page & pagesAt(level) - 1) << Linux.PAGE_SHIFT);
            }
            Node child = node.child(index);
            if (child == null) {
                return 0;
            }
            node = child;
        }
    }

    /** Pages of the entry that maps a page, 0 when nothing is mapped. */
    long entryPages(long page) {
        Node node = root;
        for (int level = ROOT_LEVEL; ; level--) {
            int index = index(page, level);
            if (node.leaves[index] != 0) {
                return pagesAt(level);
            }
            Node child = node.child(index);
            if (child == null) {
                return 0;
            }
            node = child;
        }
    }

    void forEach(Leaf leaf) {
        forEachIn(root, ROOT_LEVEL, 0, leaf);
    }

    private static void forEachIn(Node node, int level, long base, Leaf leaf) {
        for (int index = 0; index < FANOUT; index++) {
            long start = base + index * pagesAt(level);
            long entry = node.leaves[index];
            Node child = node.child(index);
            if (entry != 0) {
                int rights = (int) entry & Linux.PAGE_SIZE - 1;
                leaf.accept(start, entry >>> Linux.PAGE_SHIFT, pagesAt(level), rights);
            } else if (child != null) {
                forEachIn(child, level - 1, start, leaf);
            }
        }
    }

    private static void setChild(Node node, int index, @Nullable Node child) {
        if (node.children == null) {
            throw new AssertionError("a table of the last level has no tables below it");
        }
        node.children[index] = child;
    }

    private static int index(long page, int level) {
        return (int) (page >>> (level * BITS)) & (FANOUT - 1);
    }

    private static long pagesAt(int level) {
        return 1L << (level * BITS);
    }
}
