// SPDX-License-Identifier: Apache-2.0
package dev.alcove.discard;

import dev.alcove.discard.RunTree.Inner;
import dev.alcove.discard.RunTree.Leaf;
import java.util.ArrayList;
import java.util.List;

/**
 * Makes one tree of several that lie one behind the other: runs that touch over a border become one, and all nodes that can
 * be are shared.
 */
final class TreeJoin {
    /** Nodes right above the leaves, in order. */
    private final List<RunTree> parents = new ArrayList<>();
    /** Leaves behind them. */
    private final List<RunTree> leaves = new ArrayList<>();

    private TreeJoin() {}

    /** One tree of these, of which the runs ascend. */
    static RunTree of(RunTree[] trees) {
        if (trees.length == 1) {
            return trees[0];
        }
        TreeJoin join = new TreeJoin();
        RunTree before = RunTree.EMPTY;
        // Where the last run of the tree before really ends.
        long end = -1;
        for (RunTree tree : trees) {
            RunTree rest = tree;
            if (tree.runs() > 0 && tree.first() == end) {
                end = RangeSet.runEnd(tree, tree.first(), Long.MAX_VALUE);
                rest = tree.runs() == 1 ? RunTree.EMPTY : RangeSet.removed(tree, tree.first(), end);
            }
            if (rest.runs() > 0) {
                join.add(longer(before, end));
                before = rest;
                end = lastEnd(rest);
            }
        }
        join.add(longer(before, end));
        return join.root();
    }

    private static RunTree longer(RunTree tree, long end) {
        long now = lastEnd(tree);
        return now == end ? tree : RangeSet.added(tree, now, end);
    }

    /** Where the last run ends; -1 without one. */
    private static long lastEnd(RunTree tree) {
        RunTree node = tree;
        while (node instanceof Inner inner) {
            node = inner.get(inner.width() - 1);
        }
        return node instanceof Leaf leaf && leaf.width() > 0 ? leaf.end(leaf.width() - 1) : -1;
    }

    private void add(RunTree node) {
        if (node instanceof Inner inner) {
            if (inner.get(0) instanceof Leaf) {
                leavesDone();
                parents.add(inner);
                return;
            }
            for (int i = 0; i < inner.width(); i++) {
                add(inner.get(i));
            }
        } else if (node.runs() > 0) {
            leaves.add(node);
        }
    }

    private void leavesDone() {
        parents.addAll(List.of(RunTree.packed(leaves.toArray(RunTree[]::new), leaves.size())));
        leaves.clear();
    }

    private RunTree root() {
        if (!parents.isEmpty()) {
            leavesDone();
        }
        RunTree[] nodes = (parents.isEmpty() ? leaves : parents).toArray(RunTree[]::new);
        while (nodes.length > 1) {
            nodes = RunTree.packed(nodes, nodes.length);
        }
        return nodes.length == 0 ? RunTree.EMPTY : nodes[0];
    }
}
