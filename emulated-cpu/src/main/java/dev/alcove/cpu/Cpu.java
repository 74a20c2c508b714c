// SPDX-License-Identifier: Apache-2.0
package dev.alcove.cpu;

import org.jspecify.annotations.Nullable;

/**
 * One x86-64 processor.
 *
 * <p>All methods but {@link #attention()} belong to the thread that runs it. Processors share guest memory and nothing
 * else.
 */
public final class Cpu {
    private static final int NO_EVENT = -1;
    /** Added to the vector of an external interrupt in {@link #pendingEvent()}. */
    public static final int EXTERNAL = 0x100;

    private static final int NMI = 2;

    private final Core core;
    private final Interpreter interpreter;
    private final Decoder decoder;

    /** Vector of the event to deliver next, with {@link #EXTERNAL} for an interrupt, or {@link #NO_EVENT}. */
    private int event = NO_EVENT;

    private int eventError;
    private boolean windowRequested;
    private boolean stopped;

    /** Whether {@link CpuState} agrees with the registers; changes by the owner must survive a look at it. */
    private boolean synchronised = true;

    /** CR0, CR3, CR4 and EFER as they were when the state was last in agreement. */
    private final long[] paging = new long[4];

    /** A processor in its power-on state. */
    public Cpu(GuestBus bus) {
        core = new Core(bus);
        interpreter = new Interpreter(core);
        decoder = new Decoder(core);
        stateChanged();
    }

    /**
     * Runs guest code until something has to be done outside. Never throws because of what the guest does.
     *
     * <p>Device writes that the last instruction has left over are delivered first, one each time. Then
     * {@link GuestBus#attend} is called, before any instruction.
     */
    public CpuExit run() {
        CpuExit write = core.devices.nextWrite();
        if (write != null) {
            return write;
        }
        core.codeChanged();
        core.attention = true;
        synchronised = false;
        for (; ; ) {
            CpuExit exit = step();
            if (exit != null) {
                return exit;
            }
        }
    }

    /** Attends, delivers, and runs blocks until something happens; null to go on. */
    private @Nullable CpuExit step() {
        boolean shadow = core.shadow;
        Block block = null;
        boolean solo = false;
        try {
            if (core.attention || (windowRequested && interruptible())) {
                core.attention = false;
                windowRequested &= !interruptible();
                boolean go = core.bus.attend(this);
                if (!go) {
                    return new CpuExit.Interrupted();
                }
                synchronised = false;
            }
            if (stopped) {
                return new CpuExit.Shutdown();
            }
            if (event != NO_EVENT && !deliverEvent()) {
                return shutdown();
            }
            shadow = core.shadow;
            boolean trap = (core.flags.system & Flags.TF) != 0;
            solo = shadow || trap || core.code.isSolo(core.linearIp());
            block = block(solo);
            core.shadow = false;
            core.devices.begin(solo);
            interpreter.run(block);
            core.devices.done();
            core.mmu.emulate(false);
            if (trap && core.exit == null && !core.devices.hasWrites()) {
                core.state.dr[6] |= 0x4000;
                throw core.fault(Fault.DB, -1);
            }
        } catch (Fault f) {
            core.devices.done();
            core.mmu.emulate(false);
            return fault(f);
        } catch (Leave leave) {
            core.shadow = shadow;
            return left(leave, block, solo);
        } catch (RuntimeException | InternalError e) {
            core.shadow = shadow;
            return new CpuExit.InternalError("unforeseen at 0x" + Long.toHexString(core.rip) + ": " + e, bytes());
        }
        if (core.exit != null) {
            CpuExit exit = core.exit;
            core.exit = null;
            return exit;
        }
        return core.devices.nextWrite();
    }

    private @Nullable CpuExit left(Leave leave, @Nullable Block block, boolean solo) {
        CpuExit exit = leave.exit;
        if (exit == null) {
            core.code.makeSolo(core.linearIp());
            if (core.faulted != null && !solo && block != null) {
                core.code.drop(core.faulted);
            }
            return null;
        }
        if (!core.devices.awaiting()) {
            core.mmu.emulate(false);
        }
        if (exit instanceof CpuExit.InternalError e) {
            return new CpuExit.InternalError(e.message() + " at 0x" + Long.toHexString(core.rip), bytes());
        }
        return exit;
    }

    private @Nullable CpuExit fault(Fault f) {
        try {
            return core.exceptions.raise(f.vector, f.errorCode) ? null : shutdown();
        } catch (Leave leave) {
            return left(leave, null, true);
        }
    }

    private CpuExit shutdown() {
        stopped = true;
        return new CpuExit.Shutdown();
    }

    /** An event stays pending until its delivery is complete. */
    private boolean deliverEvent() {
        core.mmu.emulate(false);
        boolean alive = core.exceptions.raise(event & 255, eventError);
        event = NO_EVENT;
        return alive;
    }

    /** The block at the instruction pointer, its translation and bytes checked. */
    private Block block(boolean solo) {
        int mode = solo ? core.mode | Core.SOLO : core.mode;
        Mmu mmu = core.mmu;
        CodeCache code = core.code;
        Block b = code.find(core.rip, mode);
        if (b != null && b.generation == mmu.generation) {
            return b;
        }
        checkIp();
        long linear = core.linearIp();
        long host = mmu.hostForFetch(linear);
        if (b != null && b.generation >= 0 && b.host == host && sameSecondPage(b, linear)) {
            if (b.contents == code.contents || b.unchanged()) {
                b.contents = code.contents;
                b.generation = mmu.generation;
                return b;
            }
            code.drop(b);
        }
        b = decoder.decode(core.rip, mode, host);
        b.generation = mmu.generation;
        b.contents = code.contents;
        if (code.add(b)) {
            mmu.flushStores();
        }
        return b;
    }

    private void checkIp() {
        if (!core.is64()) {
            core.rip &= 0xffffffffL;
            if ((core.mode & Core.FLAT) == 0
                    && Long.compareUnsigned(core.rip, core.state.cs().limit & 0xffffffffL) > 0) {
                throw core.gp(0);
            }
        }
    }

    private boolean sameSecondPage(Block b, long linear) {
        return b.secondPage == 0 || core.mmu.hostForFetch((linear & -4096) + 4096) == b.secondPage;
    }

    /** The bytes at the instruction pointer, as far as they can be read without consequences. */
    private byte[] bytes() {
        try {
            long linear = core.linearIp();
            byte[] b = new byte[(int) Math.min(15, 4096 - (linear & 4095))];
            HostMemory.read(core.mmu.hostForFetch(linear), b, 0, b.length);
            return b;
        } catch (RuntimeException | InternalError e) {
            return new byte[0];
        }
    }

    /** Delivers the data for the read that the last exit asked for. */
    public void completeRead(long value) {
        core.devices.complete(value);
    }

    /** Asks for a call of {@link GuestBus#attend} soon, also during the next run. Any thread. */
    public void attention() {
        core.attention = true;
    }

    /** Asks for one call of {@link GuestBus#attend} as soon as {@link #interruptible()} is true. */
    public void requestInterruptWindow() {
        windowRequested = true;
    }

    /** Forgets all that {@link GuestBus#page} has answered, and all cached page-table entries. */
    public void flushTranslations() {
        core.mmu.flushPhysical();
    }

    /** Forgets all decoded code. */
    public void flushCode() {
        core.code.flush();
        core.mmu.flush();
    }

    /** Where the next instruction is; unlike {@link #state()} it brings nothing up to date, and may be asked in a run. */
    public long instructionPointer() {
        return core.rip;
    }

    /** Number of instructions executed so far; a repeated string instruction counts once for each continuation. */
    public long instructions() {
        return core.retired;
    }

    /**
     * The state, always the same object, brought up to date. Changes count when {@link #stateChanged()} has been
     * called; after a run ask again before reading or changing it.
     */
    public CpuState state() {
        CpuState s = core.state;
        if (synchronised) {
            return s;
        }
        synchronised = true;
        rememberPaging();
        System.arraycopy(core.r, 0, s.gpr, 0, 16);
        s.rip = core.rip;
        s.rflags = core.flags.get();
        return s;
    }

    /**
     * To be called after a change of {@link #state()}. A new instruction pointer cancels a read that waits for its
     * data and the interrupt shadow; device writes stay.
     */
    public void stateChanged() {
        CpuState s = state();
        System.arraycopy(s.gpr, 0, core.r, 0, 16);
        if (core.rip != s.rip) {
            core.rip = s.rip;
            core.shadow = false;
            core.devices.reset();
            core.mmu.emulate(false);
        }
        core.flags.set(s.rflags);
        core.cpl = (s.cr0 & Core.CR0_PE) == 0 ? 0 : s.ss().dpl;
        stopped = false;
        core.mmu.user(core.cpl == 3);
        core.updateMode();
        if (s.cr0 != paging[0] || s.cr3 != paging[1] || s.cr4 != paging[2] || s.efer != paging[3]) {
            core.mmu.flush();
            rememberPaging();
        }
    }

    private void rememberPaging() {
        CpuState s = core.state;
        paging[0] = s.cr0;
        paging[1] = s.cr3;
        paging[2] = s.cr4;
        paging[3] = s.efer;
    }

    /** Whether an interrupt can be delivered before the next instruction. */
    public boolean interruptible() {
        return event == NO_EVENT && !core.shadow && (core.flags.system & Flags.IF) != 0;
    }

    /** Whether an injected event waits for its delivery. */
    public boolean eventPending() {
        return event != NO_EVENT;
    }

    /** Vector of the event that waits for its delivery, an interrupt's with {@link #EXTERNAL} added; -1 for none. */
    public int pendingEvent() {
        return event;
    }

    /** Error code of {@link #pendingEvent()}, below zero for none. */
    public int pendingErrorCode() {
        return eventError;
    }

    /** Takes back an event that waits for its delivery. */
    public void cancelEvent() {
        event = NO_EVENT;
    }

    /** Whether the last instruction keeps interrupts back for one more ({@code sti}, {@code mov ss}). */
    public boolean interruptShadow() {
        return core.shadow;
    }

    /** Sets {@link #interruptShadow()}. */
    public void setInterruptShadow(boolean shadow) {
        core.shadow = shadow;
    }

    /**
     * Delivers an external interrupt before the next instruction. The caller has asked {@link #interruptible()}.
     *
     * @param vector 0 to 255
     */
    public void injectInterrupt(int vector) {
        event = (vector & 255) | EXTERNAL;
        eventError = -1;
    }

    /** Delivers an exception before the next instruction; {@code errorCode} below zero for none. */
    public void injectException(int vector, int errorCode) {
        event = vector & 255;
        eventError = errorCode;
    }

    /** Delivers a non-maskable interrupt before the next instruction. */
    public void injectNmi() {
        event = NMI;
        eventError = -1;
    }
}
