// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract.fuzz;

import dev.alcove.sys.Syscalls;
import java.util.List;
import java.util.SplittableRandom;
import java.util.function.Supplier;

/** A part of the kernel's interface: which calls there are to make, and how to make them. */
public interface Surface {
    /** As in {@code --surface}. */
    String name();

    /**
     * An endless sequence of calls. It may keep a model of what it has asked for, but never sees an answer: the same
     * random numbers give the same sequence for every kernel.
     */
    Supplier<Op> generator(SplittableRandom random);

    /**
     * Starts with fresh objects.
     *
     * @throws dev.alcove.sys.MissingFeatureException where the kernel lacks the surface
     */
    Session open(Syscalls syscalls);

    /**
     * Names of an op's operands, for people. A name with {@code @} in front is that of a kind of object: the operand
     * says which one, and ops with the same one have to do with each other.
     */
    default List<String> operandNames(String op) {
        return List.of();
    }
}
