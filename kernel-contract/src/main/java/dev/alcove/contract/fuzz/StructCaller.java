// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract.fuzz;

import dev.alcove.contract.fuzz.StructCall.Field;
import dev.alcove.contract.fuzz.StructCall.Kind;
import dev.alcove.sys.Linux;
import dev.alcove.sys.SyscallException;
import dev.alcove.sys.Syscalls;
import dev.alcove.sys.UserMappings;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.List;

/**
 * Performs {@link StructCall}s: lays the struct out in memory of the process, makes the call, and answers with what has
 * become of it: its numbers, and a hash of the bytes at and behind it, descriptors and addresses left out.
 *
 * <p>Memory: two pages for structs, two for the scratch buffer, one that cannot be touched.
 */
final class StructCaller implements AutoCloseable {
    private static final int PAGE = Linux.PAGE_SIZE;
    private static final int BUFFER = 2 * PAGE;
    private static final int END = 4 * PAGE;
    private static final int SEEN = 256;
    private static final long[] WILD = {8, 1L << 56, -PAGE};

    /** Symbols of a {@link Kind#BUFFER} field: none, the buffer, near its end, wild. */
    static final long NO_BUFFER = 0;

    static final long GOOD_BUFFER = 1;
    static final long SHORT_BUFFER = 2;
    static final long WILD_BUFFER = 3;
    private static final int SHORT = 8;

    private final Syscalls syscalls;
    private final Descriptors files;
    private final UserPages user;
    private final MemorySegment memory;

    /** Whether there may be anything in the memory behind the first {@value #SEEN} bytes. */
    private boolean dirty;

    StructCaller(Syscalls syscalls, Descriptors files, UserPages user) {
        this.syscalls = syscalls;
        this.files = files;
        this.user = user;
        int flags = Linux.MAP_PRIVATE | Linux.MAP_ANONYMOUS;
        long address = syscalls.mmap(0, END + PAGE, Linux.PROT_READ | Linux.PROT_WRITE, flags, -1, 0);
        if (Linux.isError(address)) {
            throw new SyscallException("mmap", "scratch memory", address);
        }
        syscalls.mmap(address + END, PAGE, Linux.PROT_NONE, flags | Linux.MAP_FIXED, -1, 0);
        this.memory = UserMappings.segment(address, END);
    }

    /** Makes the call of an op. */
    Answer perform(StructCall call, Op op) {
        int fd = files.get(op.operand(0));
        clear(call, op);
        long size = op.operand(1);
        long tail = op.operand(2);
        long place = op.operand(3);
        MemorySegment struct = memory.asSlice(0, BUFFER);
        struct.set(ValueLayout.JAVA_INT, 0, (int) size);
        List<Field> inputs = call.inputs();
        for (int i = 0; i < inputs.size(); i++) {
            put(struct, inputs.get(i), op.operand(StructCall.COMMON + i));
        }
        int words = StructCall.COMMON + inputs.size();
        for (int i = words; i < op.operands().size(); i++) {
            memory.set(ValueLayout.JAVA_LONG, BUFFER + 8L * (i - words), op.operand(i));
        }
        if (tail > 0 && call.size() + tail <= PAGE) {
            struct.set(ValueLayout.JAVA_BYTE, call.size() + tail - 1, (byte) 1);
        }
        if (place == 0) {
            return answer(call, op, struct, syscalls.ioctl(fd, call.request(), memory.address()));
        }
        if (place < 0) {
            return Answer.of(syscalls.ioctl(fd, call.request(), WILD[(int) (-1 - place) % WILD.length]));
        }
        long at = END - Math.min(place, PAGE);
        MemorySegment.copy(struct.toArray(ValueLayout.JAVA_BYTE), 0, memory, ValueLayout.JAVA_BYTE, at, END - (int) at);
        long answer = syscalls.ioctl(fd, call.request(), memory.address() + at);
        keepFiles(call, op, memory.asSlice(at), answer);
        return Answer.of(answer);
    }

    /**
     * Clears what the call before can have left. A struct alone never reaches past what is looked at; the kernel may fill
     * the buffer, and an op of an odd size or place, or of an unknown request, may have written anywhere.
     */
    private void clear(StructCall call, Op op) {
        boolean wide = op.operand(1) != call.size() || op.operand(2) != 0 || op.operand(3) != 0
                || call.buffered() || call.fields().isEmpty();
        (dirty ? memory : memory.asSlice(0, SEEN)).fill((byte) 0);
        dirty = wide;
    }

    /** Gives the files that a call has made to their symbols: else nobody could close them. */
    private void keepFiles(StructCall call, Op op, MemorySegment struct, long answer) {
        for (Field field : call.fields()) {
            if (field.kind() == Kind.NEW_FILE && answer == 0) {
                int operand = StructCall.COMMON + call.inputs().indexOf(field);
                files.set(op.operand(operand), (int) get(struct, field));
            }
        }
    }

    private void put(MemorySegment struct, Field field, long operand) {
        set(struct, field, switch (field.kind()) {
            case VALUE -> operand;
            case USER -> user.address(operand);
            case FILE -> files.get(operand);
            case BUFFER -> buffer(operand);
            case OUT, NEW_FILE -> 0;
        });
    }

    private long buffer(long symbol) {
        if (symbol == GOOD_BUFFER) {
            return memory.address() + BUFFER;
        }
        if (symbol == SHORT_BUFFER) {
            return memory.address() + END - SHORT;
        }
        return symbol == WILD_BUFFER ? WILD[1] : 0;
    }

    private Answer answer(StructCall call, Op op, MemorySegment struct, long answer) {
        Answer.Builder built = Answer.with(answer);
        keepFiles(call, op, struct, answer);
        for (Field field : call.fields()) {
            switch (field.kind()) {
                case VALUE, OUT -> built.and(field.name(), get(struct, field));
                case NEW_FILE, USER, FILE, BUFFER -> set(struct, field, 0);
            }
        }
        built.and("struct", hash(struct.asSlice(0, SEEN)));
        if (call.buffered()) {
            built.and("buffer", hash(memory.asSlice(BUFFER, SEEN)));
        }
        return built.build();
    }

    /** A hash of bytes that is the same on every machine; one copy first, since each access costs a lab's JVM a lot. */
    static long hash(MemorySegment bytes) {
        int words = (int) (bytes.byteSize() / Long.BYTES);
        long[] copy = new long[words];
        MemorySegment.copy(bytes, ValueLayout.JAVA_LONG_UNALIGNED, 0, copy, 0, words);
        long hash = 0;
        for (long word : copy) {
            hash = Digest.mix(hash, word);
        }
        for (long i = (long) words * Long.BYTES; i < bytes.byteSize(); i++) {
            hash = Digest.mix(hash, bytes.get(ValueLayout.JAVA_BYTE, i));
        }
        return hash;
    }

    private static void set(MemorySegment struct, Field field, long value) {
        switch (field.width()) {
            case 2 -> struct.set(ValueLayout.JAVA_SHORT_UNALIGNED, field.offset(), (short) value);
            case 4 -> struct.set(ValueLayout.JAVA_INT_UNALIGNED, field.offset(), (int) value);
            default -> struct.set(ValueLayout.JAVA_LONG_UNALIGNED, field.offset(), value);
        }
    }

    private static long get(MemorySegment struct, Field field) {
        return switch (field.width()) {
            case 2 -> struct.get(ValueLayout.JAVA_SHORT_UNALIGNED, field.offset()) & 0xffffL;
            case 4 -> struct.get(ValueLayout.JAVA_INT_UNALIGNED, field.offset()) & 0xffffffffL;
            default -> struct.get(ValueLayout.JAVA_LONG_UNALIGNED, field.offset());
        };
    }

    @Override
    public void close() {
        syscalls.munmap(memory.address(), END + PAGE);
    }
}
