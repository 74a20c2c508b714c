// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract.fuzz;

import java.util.List;

/**
 * One call, or a small fixed group of calls. The operands are symbols: indexes of files, slots and pages, sizes,
 * flags; never descriptors or addresses, so that the same op means the same on every kernel.
 *
 * @param name what to do, in the words of one {@link Surface}
 */
public record Op(String name, List<Long> operands) {
    public Op {
        operands = List.copyOf(operands);
    }

    public static Op of(String name, long... operands) {
        Long[] boxed = new Long[operands.length];
        for (int i = 0; i < operands.length; i++) {
            boxed[i] = operands[i];
        }
        return new Op(name, List.of(boxed));
    }

    /** An operand; 0 where a hand-written recording has too few. */
    public long operand(int index) {
        return index < operands.size() ? operands.get(index) : 0;
    }

    /** An operand that is an index or a set of flags. */
    public int intOperand(int index) {
        return (int) operand(index);
    }
}
