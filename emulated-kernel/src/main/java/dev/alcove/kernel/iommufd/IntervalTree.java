// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommufd;

import java.util.ArrayList;
import java.util.List;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/**
 * Closed intervals of unsigned 64-bit numbers, each with a value; intervals may overlap. A treap that knows the greatest
 * end below each node: all operations are O(log n). Not thread safe.
 */
final class IntervalTree<V> {
    /** An interval in a tree. */
    static final class Span<V> {
        final long first;
        final long last;
        final V value;
        private final long sequence;
        private final int priority;
        private long maxLast;
        private @Nullable Span<V> left;
        private @Nullable Span<V> right;

        private Span(long first, long last, V value, long sequence, int priority) {
            this.first = first;
            this.last = last;
            this.value = value;
            this.sequence = sequence;
            this.priority = priority;
            this.maxLast = last;
        }

        private boolean before(Span<V> other) {
            int order = Long.compareUnsigned(first, other.first);
            return order != 0 ? order < 0 : sequence < other.sequence;
        }

        /** What is below reaches at least that far. */
        private void reach(long end) {
            if (Long.compareUnsigned(end, maxLast) > 0) {
                maxLast = end;
            }
        }

        private void update() {
            long max = last;
            if (left != null && Long.compareUnsigned(left.maxLast, max) > 0) {
                max = left.maxLast;
            }
            if (right != null && Long.compareUnsigned(right.maxLast, max) > 0) {
                max = right.maxLast;
            }
            maxLast = max;
        }
    }

    private @Nullable Span<V> root;
    private long nextSequence;
    private int random = 0x2545f491;
    private int size;

    int size() {
        return size;
    }

    boolean isEmpty() {
        return root == null;
    }

    Span<V> insert(long first, long last, V value) {
        random ^= random << 13;
        random ^= random >>> 17;
        random ^= random << 5;
        Span<V> span = new Span<>(first, last, value, nextSequence++, random);
        Span<V> parent = null;
        boolean toLeft = false;
        Span<V> node = root;
        while (node != null && node.priority >= span.priority) {
            node.reach(last);
            parent = node;
            toLeft = span.before(node);
            node = toLeft ? node.left : node.right;
        }
        split(node, span);
        link(parent, toLeft, span);
        size++;
        return span;
    }

    private void link(@Nullable Span<V> parent, boolean toLeft, @Nullable Span<V> child) {
        if (parent == null) {
            root = child;
        } else if (toLeft) {
            parent.left = child;
        } else {
            parent.right = child;
        }
    }

    /** Makes what is below a node the children of a new one: what is before it, and what is behind. */
    private static <V> void split(@Nullable Span<V> node, Span<V> span) {
        if (node == null) {
            return;
        }
        if (span.before(node)) {
            split(node.left, span);
            node.left = span.right;
            node.update();
            span.right = node;
        } else {
            split(node.right, span);
            node.right = span.left;
            node.update();
            span.left = node;
        }
        span.reach(node.maxLast);
    }

    /** Takes an interval out that {@link #insert} of this tree answered. */
    void remove(Span<V> span) {
        Span<V> parent = null;
        boolean toLeft = false;
        Span<V> node = root;
        // Whose greatest end is another's keeps it, and so do all above.
        while (node != null && node != span && node.maxLast != span.last) {
            parent = node;
            toLeft = span.before(node);
            node = toLeft ? node.left : node.right;
        }
        link(parent, toLeft, remove(node, span));
        size--;
    }

    private static <V> @Nullable Span<V> remove(@Nullable Span<V> node, Span<V> span) {
        if (node == null) {
            throw new AssertionError("the interval is not in this tree");
        }
        if (node == span) {
            return merge(node.left, node.right);
        }
        if (span.before(node)) {
            node.left = remove(node.left, span);
        } else {
            node.right = remove(node.right, span);
        }
        node.update();
        return node;
    }

    private static <V> @Nullable Span<V> merge(@Nullable Span<V> low, @Nullable Span<V> high) {
        if (low == null) {
            return high;
        }
        if (high == null) {
            return low;
        }
        if (low.priority > high.priority) {
            low.right = merge(low.right, high);
            low.update();
            return low;
        }
        high.left = merge(low, high.left);
        high.update();
        return high;
    }

    /** Of the intervals that overlap [from, to], the one that starts first; null when there is none. */
    @Nullable Span<V> first(long from, long to) {
        Span<V> node = root;
        while (node != null && Long.compareUnsigned(node.maxLast, from) >= 0) {
            if (node.left != null && Long.compareUnsigned(node.left.maxLast, from) >= 0) {
                node = node.left;
            } else if (Long.compareUnsigned(node.first, to) > 0) {
                return null;
            } else if (Long.compareUnsigned(node.last, from) >= 0) {
                return node;
            } else {
                node = node.right;
            }
        }
        return null;
    }

    boolean overlaps(long from, long to) {
        return first(from, to) != null;
    }

    /** All values, in the order of their starts. */
    List<V> values() {
        List<V> values = new ArrayList<>(size);
        forEach(root, span -> values.add(span.value));
        return values;
    }

    private static <V> void forEach(@Nullable Span<V> node, Consumer<Span<V>> consumer) {
        if (node != null) {
            forEach(node.left, consumer);
            consumer.accept(node);
            forEach(node.right, consumer);
        }
    }

    /** Takes all intervals out whose value is this very object. */
    void removeOwner(Object owner) {
        List<Span<V>> owned = new ArrayList<>();
        forEach(root, span -> {
            if (span.value == owner) {
                owned.add(span);
            }
        });
        owned.forEach(this::remove);
    }

    /** Receives a stretch that no interval covers. */
    interface Hole {
        /** Answers whether to go on. */
        boolean accept(long first, long last);
    }

    /** Walks the holes in [from, to], ascending, until the consumer has enough. */
    void holes(long from, long to, Hole hole) {
        long at = from;
        while (true) {
            Span<V> used = first(at, to);
            if (used == null) {
                hole.accept(at, to);
                return;
            }
            if (Long.compareUnsigned(used.first, at) > 0 && !hole.accept(at, used.first - 1)) {
                return;
            }
            if (Long.compareUnsigned(used.last, to) >= 0) {
                return;
            }
            at = used.last + 1;
        }
    }
}
