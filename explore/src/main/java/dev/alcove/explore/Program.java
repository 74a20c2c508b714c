// SPDX-License-Identifier: Apache-2.0
package dev.alcove.explore;

import java.util.List;

/**
 * What one thread does.
 *
 * @param name of the thread
 * @param ops in order
 */
record Program(String name, List<? extends Op> ops) {
    Program {
        ops = List.copyOf(ops);
    }
}
