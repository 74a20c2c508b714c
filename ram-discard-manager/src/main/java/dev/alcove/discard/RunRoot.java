// SPDX-License-Identifier: Apache-2.0
package dev.alcove.discard;

/** What the reference to a region's runs holds: a tree, or one of two trees, as long as a {@link Crossing} is on its way. */
sealed interface RunRoot permits RunTree, Crossing.Part {
    /** What is in the set at this moment; the same object as long as nothing changes. */
    RunTree tree();
}
