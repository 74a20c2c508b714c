// SPDX-License-Identifier: Apache-2.0
package dev.alcove.explore;

import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * The program of a vCPU in machine code, 32 bits without paging. Each operation begins right after a jump or an exit,
 * which is where a vCPU takes its steps; what comes out of it goes to a port.
 */
final class GuestCode {
    /** The first of the ports, {@link #PORTS} for each vCPU. */
    static final int FIRST_PORT = 0x500;

    static final int PORTS = 16;
    /** What an operation came to. */
    static final int RESULT = 0;
    /** A page that is touched: its number times two, plus one for private. */
    static final int TOUCH = 4;
    /** The program has ended. */
    static final int END = 8;

    private static final int MAP_GPA_RANGE = 12;
    private static final int ENCRYPTED = 1 << 4;

    private final int port;
    private byte[] bytes = new byte[256];
    private int size;
    private final int origin;
    private final Map<Long, Op> starts = new HashMap<>();

    /** @param origin where it will lie, a guest physical address */
    GuestCode(int cpu, int origin, List<? extends Op> ops) {
        this.port = FIRST_PORT + cpu * PORTS;
        this.origin = origin;
        for (Op op : ops) {
            starts.put((long) origin + size, op);
            emit(op);
        }
        out(END);
    }

    private void emit(Op op) {
        switch (op) {
            case Op.Store(int _, int page, int value) -> {
                emit(0xc7, 0x05);
                word(page * Layout.PAGE);
                word(value);
                emit(0xeb, 0);
            }
            case Op.Load(int _, int page) -> {
                emit(0xa1);
                word(page * Layout.PAGE);
                out(RESULT);
            }
            case Op.Convert(int _, int page, int pages, boolean toPrivate) -> {
                move(0, MAP_GPA_RANGE);
                move(3, page * Layout.PAGE);
                move(1, pages);
                move(2, toPrivate ? ENCRYPTED : 0);
                emit(0x0f, 0x01, 0xc1); // vmcall
                out(RESULT);
            }
            case Op.Touch(int _, int page, boolean asPrivate) -> {
                move(0, page * 2 + (asPrivate ? 1 : 0));
                out(TOUCH);
            }
            case Op.Dma _, Op.Plug _, Op.Unplug _ -> throw new IllegalArgumentException("not of a vCPU: " + op);
        }
    }

    /** EAX goes to a port. */
    private void out(int which) {
        move(2, port + which);
        emit(0xef);
    }

    /** mov of a constant into one of EAX, ECX, EDX, EBX. */
    private void move(int register, int value) {
        emit(0xb8 + register);
        word(value);
    }

    private void word(int value) {
        emit(value, value >>> 8, value >>> 16, value >>> 24);
    }

    private void emit(int... values) {
        if (size + values.length > bytes.length) {
            bytes = Arrays.copyOf(bytes, 2 * bytes.length);
        }
        for (int value : values) {
            bytes[size++] = (byte) value;
        }
    }

    int origin() {
        return origin;
    }

    byte[] bytes() {
        return Arrays.copyOf(bytes, size);
    }

    /** The operation that begins at an instruction; null where none does. */
    @Nullable Op startingAt(long rip) {
        return starts.get(rip);
    }
}
