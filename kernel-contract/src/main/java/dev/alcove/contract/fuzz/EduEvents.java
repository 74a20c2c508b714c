// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract.fuzz;

import dev.alcove.sys.Linux;
import dev.alcove.sys.Syscalls;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.concurrent.locks.LockSupport;

/**
 * The eventfds of a sequence, and a guess at which interrupts are on their way to them. A real kernel takes an interrupt
 * on a processor of its choice, which an emulated machine on a busy host may not run for a while: where one is due it is
 * waited for, so that the answer does not depend on that.
 */
final class EduEvents implements AutoCloseable {
    private static final int PATIENCE_MILLIS = 2000;
    private static final long DRAIN_NANOS = 100_000_000;
    private static final int PIN = 0;
    private static final int MESSAGES = 1;
    private static final int NONE = -1;

    /** A trigger that the kernel still has, but no symbol. */
    private static final int LOST = -2;

    private static final int ACTION = 0x38;
    private static final int MASK = 8;
    private static final int UNMASK = 0x10;
    private static final int TRIGGER = 0x20;
    private static final int INTX_DISABLE = 0x400;
    private static final int MASTER = 4;
    private static final int PENDING = 8;
    private static final int MESSAGE_CONTROL = 0x42;

    private final Syscalls syscalls;
    private final Descriptors files;
    private final Arena arena = Arena.ofConfined();
    private final MemorySegment word = arena.allocate(8, 8);
    private final long[] counts = new long[VfioDraws.EVENTS];
    private long device = NONE;
    private int mode = NONE;
    private long trigger = NONE;
    private boolean masked;
    private boolean disabled;
    private boolean messagesOn;
    private boolean unmaskedByEvent;

    /** Whether a message has come before the first trigger, which gets it. */
    private boolean kept;

    private boolean triggered;

    EduEvents(Syscalls syscalls, Descriptors files) {
        this.syscalls = syscalls;
        this.files = files;
    }

    private EduRegisters edu() {
        return new EduRegisters(syscalls, files.get(device));
    }

    private boolean pending() {
        return (edu().read(EduRegisters.CONFIG + EduRegisters.STATUS, 2) & PENDING) != 0;
    }

    /** The device has been bound to through a file. */
    void bound(long file) {
        device = file;
        mode = NONE;
        disabled = false;
        unmaskedByEvent = false;
    }

    /** A file has been closed, and another one opened in its place perhaps. */
    void closed(long file) {
        if (file == device) {
            mode = NONE;
            device = NONE;
        }
        if (file == trigger) {
            trigger = LOST;
        }
    }

    /** VFIO_DEVICE_SET_IRQS has succeeded. */
    void set(long flags, long index, long count, long symbol, boolean value) {
        boolean none = (flags & 7) == 1;
        boolean event = (flags & 7) == 4;
        if (index == PIN && (flags & ACTION) == MASK && (none || value)) {
            masked = true;
        } else if (index == PIN && (flags & ACTION) == UNMASK) {
            unmaskedByEvent = event ? files.get(symbol) >= 0 : unmaskedByEvent;
            if (!event && (none || value)) {
                unmask();
            }
        } else if ((flags & ACTION) == TRIGGER && index <= MESSAGES) {
            if (event && count != 0) {
                trigger = files.get(symbol) < 0 ? NONE : symbol;
                if (mode == NONE) {
                    mode = (int) index;
                    masked = disabled;
                    messagesOn = true;
                    kept = false;
                    triggered = false;
                }
                triggered |= trigger != NONE;
                if (kept && trigger != NONE) {
                    kept = false;
                    await();
                }
            } else if (none && count == 0) {
                mode = NONE;
                unmaskedByEvent = false;
            }
        }
    }

    /** VFIO_DEVICE_SET_IRQS has failed: a trigger of messages that cannot be replaced is gone. */
    void refused(long flags, long index) {
        if (mode == MESSAGES && index == MESSAGES && flags == (TRIGGER | 4)) {
            trigger = NONE;
        }
    }

    private void unmask() {
        masked = masked && (disabled || pending());
    }

    /** The configuration space has been written. */
    void configured(long offset, long bytes) {
        if (offset <= MESSAGE_CONTROL && offset + bytes >= MESSAGE_CONTROL) {
            messagesOn = (edu().read(EduRegisters.CONFIG + MESSAGE_CONTROL, 2) & 1) != 0;
        }
        boolean now = (edu().read(EduRegisters.CONFIG + EduRegisters.COMMAND, 2) & INTX_DISABLE) != 0;
        if (now && !disabled) {
            disabled = true;
            masked = true;
        } else if (!now && disabled) {
            disabled = false;
            unmask();
        }
    }

    /** The device has raised an interrupt: waits for it where it is due. */
    void raised() {
        if (mode == MESSAGES) {
            long command = edu().read(EduRegisters.CONFIG + EduRegisters.COMMAND, 2);
            if (messagesOn && (command & MASTER) != 0) {
                kept |= !triggered;
                await();
            }
        } else if (mode == PIN && !masked && !disabled && pending()) {
            masked = true;
            await();
        }
    }

    /** An eventfd has been signalled on which the kernel acts. */
    void signalled(long symbol) {
        if (symbol == VfioDraws.UNMASK && unmaskedByEvent && mode == PIN && masked && !disabled) {
            unmask();
            if (masked) {
                await();
            }
        }
    }

    private void await() {
        int event = files.get(trigger);
        if (event >= 0) {
            MemorySegment poll = word;
            poll.set(ValueLayout.JAVA_INT, 0, event);
            poll.set(ValueLayout.JAVA_INT, 4, Linux.POLLIN);
            syscalls.poll(poll, PATIENCE_MILLIS);
        } else {
            // Nothing tells when it is there; but it must not come when there is a trigger again.
            LockSupport.parkNanos(DRAIN_NANOS);
        }
    }

    /** Takes what the eventfds have counted, to be told by the next {@link #tell}. */
    void collect() {
        for (int i = 0; i < counts.length; i++) {
            word.fill((byte) 0);
            if (syscalls.read(files.get(VfioDraws.EVENT + i), word) == Long.BYTES) {
                counts[i] += word.get(ValueLayout.JAVA_LONG, 0);
            }
        }
    }

    /** Adds what the eventfds have counted since the last time. */
    Answer.Builder tell(Answer.Builder answer) {
        collect();
        for (int i = 0; i < counts.length; i++) {
            answer.and("event" + i, counts[i]);
            counts[i] = 0;
        }
        return answer;
    }

    @Override
    public void close() {
        arena.close();
    }
}
