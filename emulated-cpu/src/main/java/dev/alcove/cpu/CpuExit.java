// SPDX-License-Identifier: Apache-2.0
package dev.alcove.cpu;

/** Why {@link Cpu#run} came back. */
public sealed interface CpuExit {
    /**
     * A port access that nobody on the bus answered. An {@code in} is completed by {@link Cpu#completeRead} before
     * the next run; an {@code out} is complete already.
     *
     * @param size 1, 2 or 4 bytes
     * @param value what is written, zero for a read
     */
    record Io(boolean write, int port, int size, long value) implements CpuExit {}

    /** A device register access that nobody on the bus answered; completed as for {@link Io}. */
    record Mmio(boolean write, long gpa, int size, long value) implements CpuExit {}

    /** {@code hlt} was executed; the instruction pointer is behind it. */
    record Halt() implements CpuExit {}

    /**
     * {@code vmcall} or {@code vmmcall} was executed; the instruction pointer is behind it and the arguments are in
     * the registers. The owner writes the result to RAX.
     */
    record Hypercall() implements CpuExit {}

    /** The bus answered {@link GuestBus#BLOCKED}; the instruction has not been executed and is tried again. */
    record MemoryFault(long gpa, boolean write, boolean fetch) implements CpuExit {}

    /**
     * The delivery of an interrupt or exception needs memory (the IDT, a stack) where there is only device space. Nothing
     * has changed; the next run meets it again.
     *
     * @param gpa of the access
     */
    record DeliveryToDevice(long gpa) implements CpuExit {}

    /** A triple fault. */
    record Shutdown() implements CpuExit {}

    /** The bus asked to leave in {@link GuestBus#attend}. */
    record Interrupted() implements CpuExit {}

    /**
     * A limit of this emulator: the instruction is valid, but not implemented.
     *
     * @param bytes the bytes of the instruction, as far as they are known
     */
    @SuppressWarnings({"JavaLangClash", "ArrayRecordComponent"}) // KVM's word for it; nobody compares these
    record InternalError(String message, byte[] bytes) implements CpuExit {}
}
