// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommufd;

import java.util.ArrayList;
import java.util.List;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/**
 * Closed intervals of unsigned 64-bit numbers, each with a value; intervals may overlap. A B+ tree that knows the greatest
 * end below each node, and of each interval where it is: all operations are O(log n), and to take an interval out needs no
 * search. Not thread safe.
 *
 * <p>Intervals that start at the same number are in the order in which they came. A tree of one interval, as most are,
 * has no nodes.
 */
final class IntervalTree<V> implements Intervals<V> {
    /** Entries of a node, at most: as many as are looked at one after the other in less time than a miss takes. */
    private static final int WIDTH = 32;

    /** A node with less is joined with a neighbour, */
    private static final int LEAST = WIDTH / 4;

    /** where both have no more than that, so that the next insert does not cut them apart again. */
    private static final int MOST_JOINED = WIDTH * 3 / 4;

    /** What a node has: nodes below it, or at the lowest level intervals. */
    private abstract static class Entry<V> {
        @Nullable Node<V> parent;
    }

    /** An interval in a tree. */
    static final class Span<V> extends Entry<V> {
        final long first;
        final long last;
        final V value;

        private Span(long first, long last, V value) {
            this.first = first;
            this.last = last;
            this.value = value;
        }
    }

    private static final class Node<V> extends Entry<V> {
        private final boolean leaf;
        private int count;

        /** No interval below an entry starts before this, and none below those before it behind this. */
        private final long[] firsts = new long[WIDTH];

        /** The greatest end below each entry. */
        private final long[] lasts = new long[WIDTH];

        private final @Nullable Entry<V>[] entries = newEntries();

        Node(boolean leaf) {
            this.leaf = leaf;
        }

        @SuppressWarnings({"unchecked", "rawtypes"})
        private static <V> @Nullable Entry<V>[] newEntries() {
            return new Entry[WIDTH];
        }

        Entry<V> entry(int index) {
            Entry<V> entry = entries[index];
            if (entry == null) {
                throw new AssertionError("no entry " + index + " of " + count);
            }
            return entry;
        }

        Node<V> child(int index) {
            return (Node<V>) entry(index);
        }

        Span<V> span(int index) {
            return (Span<V>) entry(index);
        }

        int indexOf(Entry<V> entry) {
            for (int i = 0; i < count; i++) {
                if (entries[i] == entry) {
                    return i;
                }
            }
            throw new AssertionError("the entry is not in its node");
        }

        /** Entries that start at or before a number; for nodes, may. */
        int atMost(long first) {
            int index = 0;
            while (index < count && Long.compareUnsigned(firsts[index], first) <= 0) {
                index++;
            }
            return index;
        }

        /** The greatest end below this node. */
        long greatest() {
            long greatest = lasts[0];
            for (int i = 1; i < count; i++) {
                greatest = max(greatest, lasts[i]);
            }
            return greatest;
        }

        void put(int index, Entry<V> entry, long first, long last) {
            move(this, index, index + 1, count - index);
            firsts[index] = first;
            lasts[index] = last;
            entries[index] = entry;
            entry.parent = this;
            count++;
        }

        void take(int index) {
            move(this, index + 1, index, --count - index);
            entries[count] = null;
        }

        private void move(Node<V> to, int from, int at, int length) {
            System.arraycopy(firsts, from, to.firsts, at, length);
            System.arraycopy(lasts, from, to.lasts, at, length);
            System.arraycopy(entries, from, to.entries, at, length);
        }

        /** Gives entries from one on to the end of another node. */
        void give(int from, Node<V> to) {
            move(to, from, to.count, count - from);
            for (int i = from; i < count; i++) {
                entry(i).parent = to;
                entries[i] = null;
            }
            to.count += count - from;
            count = from;
        }
    }

    /** Null in a tree of at most one interval that never had more. */
    private @Nullable Node<V> root;

    /** The only interval of a tree without nodes. */
    private @Nullable Span<V> only;

    private static long max(long a, long b) {
        return Long.compareUnsigned(a, b) >= 0 ? a : b;
    }

    boolean isEmpty() {
        return root == null && only == null;
    }

    Span<V> insert(long first, long last, V value) {
        Span<V> span = new Span<>(first, last, value);
        if (isEmpty()) {
            only = span;
            return span;
        }
        Node<V> node = root;
        if (node == null) {
            node = new Node<>(true);
            root = node;
            Span<V> other = only;
            if (other != null) {
                node.put(0, other, other.first, other.last);
                only = null;
            }
        }
        while (!node.leaf) {
            int index = Math.max(node.atMost(first) - 1, 0);
            node.lasts[index] = max(node.lasts[index], last);
            if (index == 0 && Long.compareUnsigned(first, node.firsts[0]) < 0) {
                node.firsts[0] = first;
            }
            node = node.child(index);
        }
        add(node, node.atMost(first), span, first, last);
        return span;
    }

    /** Puts an entry into a node whose ancestors know of the entry's end already; a full node becomes two. */
    private void add(Node<V> node, int index, Entry<V> entry, long first, long last) {
        if (node.count < WIDTH) {
            node.put(index, entry, first, last);
            return;
        }
        Node<V> right = new Node<>(node.leaf);
        node.give(WIDTH / 2, right);
        if (index <= node.count) {
            node.put(index, entry, first, last);
        } else {
            right.put(index - node.count, entry, first, last);
        }
        Node<V> parent = node.parent;
        int at = 0;
        if (parent == null) {
            parent = new Node<>(false);
            parent.put(0, node, node.firsts[0], node.greatest());
            root = parent;
        } else {
            at = parent.indexOf(node);
            parent.lasts[at] = node.greatest();
        }
        add(parent, at + 1, right, right.firsts[0], right.greatest());
    }

    /** Takes an interval out that {@link #insert} of this tree answered. */
    void remove(Span<V> span) {
        Node<V> leaf = span.parent;
        if (leaf != null) {
            delete(leaf, leaf.indexOf(span));
            span.parent = null;
        } else if (span == only) {
            only = null;
        } else {
            throw new AssertionError("the interval is not in this tree");
        }
    }

    private void delete(Node<V> node, int index) {
        long last = node.lasts[index];
        node.take(index);
        Node<V> parent = node.parent;
        if (parent == null) {
            shrinkRoot(node);
        } else if (node.count == 0) {
            delete(parent, parent.indexOf(node));
        } else {
            // Nearly always the entry behind reaches further, and nothing changes above.
            if (index == node.count || Long.compareUnsigned(node.lasts[node.count - 1], last) < 0) {
                retreat(node, last);
            }
            if (node.count < LEAST) {
                join(parent, parent.indexOf(node));
            }
        }
    }

    private void shrinkRoot(Node<V> node) {
        Node<V> top = node;
        while (!top.leaf && top.count == 1) {
            top = top.child(0);
            top.parent = null;
        }
        root = top.count == 0 ? null : top;
    }

    /** Tells the nodes above that what reached to a number has gone from a node. */
    private static <V> void retreat(Node<V> node, long last) {
        Node<V> below = node;
        for (Node<V> above = below.parent; above != null; above = below.parent) {
            long greatest = below.greatest();
            if (greatest == last) {
                return;
            }
            int index = above.indexOf(below);
            if (above.lasts[index] == greatest) {
                return;
            }
            above.lasts[index] = greatest;
            below = above;
        }
    }

    /** Joins a child of a node with a neighbour where the two are small enough. */
    private void join(Node<V> parent, int index) {
        if (index + 1 < parent.count && parent.child(index).count + parent.child(index + 1).count <= MOST_JOINED) {
            joinNext(parent, index);
        } else if (index > 0 && parent.child(index - 1).count + parent.child(index).count <= MOST_JOINED) {
            joinNext(parent, index - 1);
        }
    }

    private void joinNext(Node<V> parent, int index) {
        parent.child(index + 1).give(0, parent.child(index));
        parent.lasts[index] = max(parent.lasts[index], parent.lasts[index + 1]);
        delete(parent, index + 1);
    }

    @Override
    public @Nullable Span<V> first(long from, long to) {
        Node<V> node = root;
        if (node == null) {
            Span<V> span = only;
            boolean overlaps = span != null
                    && Long.compareUnsigned(span.first, to) <= 0
                    && Long.compareUnsigned(span.last, from) >= 0;
            return overlaps ? span : null;
        }
        // The leftmost that reaches as far as the range; none behind it starts before it.
        while (true) {
            int index = 0;
            while (index < node.count && Long.compareUnsigned(node.lasts[index], from) < 0) {
                index++;
            }
            if (index == node.count || Long.compareUnsigned(node.firsts[index], to) > 0) {
                return null;
            }
            if (node.leaf) {
                return node.span(index);
            }
            node = node.child(index);
        }
    }

    /** All values, in the order of their starts. */
    List<V> values() {
        List<V> values = new ArrayList<>();
        forEach(span -> values.add(span.value));
        return values;
    }

    private void forEach(Consumer<Span<V>> consumer) {
        if (only != null) {
            consumer.accept(only);
        } else if (root != null) {
            forEach(root, consumer);
        }
    }

    private static <V> void forEach(Node<V> node, Consumer<Span<V>> consumer) {
        for (int i = 0; i < node.count; i++) {
            if (node.leaf) {
                consumer.accept(node.span(i));
            } else {
                forEach(node.child(i), consumer);
            }
        }
    }

    /** Takes all intervals out whose value is this very object. */
    void removeOwner(Object owner) {
        List<Span<V>> owned = new ArrayList<>();
        forEach(span -> {
            if (span.value == owner) {
                owned.add(span);
            }
        });
        owned.forEach(this::remove);
    }
}
