// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommufd.selftest;

import dev.alcove.kernel.iommufd.Command;
import dev.alcove.kernel.iommufd.IommufdContext;
import dev.alcove.kernel.task.Task;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/**
 * One IOMMU_TEST_CMD on its way through. Behind four words that all operations have, each lays out the struct as it likes:
 * fields are named by their offset.
 */
record TestCommand(IommufdContext context, Command command) {
    /** Bytes of the struct, and how many of them the caller must give. */
    static final int SIZE = 72;

    static final int LEAST = 68;

    /** The first field of an operation's own. */
    static final int BODY = 16;

    private static final int OPERATION = 4;
    private static final int ID = 8;

    int operation() {
        return word(OPERATION);
    }

    /** The object, or the file descriptor, that the operation is about. */
    int id() {
        return word(ID);
    }

    Task task() {
        return command.task();
    }

    int word(int offset) {
        return struct().get(ValueLayout.JAVA_INT, offset);
    }

    long longAt(int offset) {
        return struct().get(ValueLayout.JAVA_LONG, offset);
    }

    void setWord(int offset, int value) {
        struct().set(ValueLayout.JAVA_INT, offset, value);
    }

    void setLong(int offset, long value) {
        struct().set(ValueLayout.JAVA_LONG, offset, value);
    }

    /** Copies the struct back: 0 or {@code -EFAULT}. */
    long respond() {
        return command.respond();
    }

    private MemorySegment struct() {
        return command.struct();
    }
}
