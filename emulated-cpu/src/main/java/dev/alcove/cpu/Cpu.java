// SPDX-License-Identifier: Apache-2.0
package dev.alcove.cpu;

/** One x86-64 processor. All methods but {@link #attention()} belong to the thread that runs it. */
public final class Cpu {
    private final CpuState state = new CpuState();
    private volatile boolean attention;

    /** A processor in its power-on state. */
    public Cpu(GuestBus bus) {}

    /** Runs guest code until something has to be done outside. Never throws because of what the guest does. */
    public CpuExit run() {
        return new CpuExit.InternalError("not built yet", new byte[0]);
    }

    /** Delivers the data for the read that the last exit asked for. */
    public void completeRead(long value) {}

    /** Asks for a call of {@link GuestBus#attend} soon. Any thread. */
    public void attention() {
        attention = true;
    }

    /** Asks for one call of {@link GuestBus#attend} as soon as {@link #interruptible()} is true. */
    public void requestInterruptWindow() {}

    /** Forgets all that {@link GuestBus#page} has answered, and all cached page-table entries. */
    public void flushTranslations() {}

    /** Forgets all decoded code. */
    public void flushCode() {}

    /** Number of instructions executed so far. */
    public long instructions() {
        return 0;
    }

    /** The state, up to date until the next run. */
    public CpuState state() {
        return state;
    }

    /** To be called after a change of {@link #state()}. */
    public void stateChanged() {}

    /** Whether an interrupt can be delivered before the next instruction. */
    public boolean interruptible() {
        return !attention;
    }

    /** Delivers an external interrupt before the next instruction. */
    public void injectInterrupt(int vector) {}

    /** Delivers an exception before the next instruction; {@code errorCode} below zero for none. */
    public void injectException(int vector, int errorCode) {}

    /** Delivers a non-maskable interrupt before the next instruction. */
    public void injectNmi() {}
}
