// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.kvm;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;
import java.util.concurrent.ScheduledFuture;
import org.jspecify.annotations.Nullable;

/**
 * A local APIC (Intel SDM volume 3, chapter 12) in xAPIC or x2APIC mode. The registers are held as the register page
 * of KVM_GET_LAPIC has them; register n is at byte 16 * n.
 *
 * <p>One time unit is a nanosecond: for the timer's bus clock and for the time stamp counter.
 *
 * <p>Lock: its own monitor, a leaf but for {@link Owner#kick}. Messages to other APICs are sent without it.
 */
final class Lapic {
    /** Where the xAPIC registers are after reset. */
    static final long DEFAULT_BASE = 0xfee00000L;

    static final int ID = 0x2;
    static final int VERSION = 0x3;
    static final int TPR = 0x8;
    static final int PPR = 0xa;
    static final int EOI = 0xb;
    static final int LDR = 0xd;
    static final int DFR = 0xe;
    static final int SVR = 0xf;
    static final int ISR = 0x10;
    static final int TMR = 0x18;
    static final int IRR = 0x20;
    static final int ESR = 0x28;
    static final int ICR = 0x30;

    /** Bits 13, 16, 17 and 20 to 31, which an x2APIC does not have. */
    private static final int ICR_RESERVED = 0xfff32000;

    static final int ICR2 = 0x31;
    static final int LVT_TIMER = 0x32;
    static final int LVT_LINT0 = 0x35;
    static final int LVT_ERROR = 0x37;
    static final int TIMER_INITIAL = 0x38;
    static final int TIMER_CURRENT = 0x39;
    static final int TIMER_DIVIDE = 0x3e;
    static final int SELF_IPI = 0x3f;

    private static final long BASE_BSP = 1 << 8;
    private static final long BASE_X2APIC = 1 << 10;
    private static final long BASE_ENABLE = 1 << 11;
    private static final int LVT_MASKED = 1 << 16;
    private static final int SVR_ENABLE = 1 << 8;

    /** Nanoseconds; shorter periodic timers are stretched, as by KVM's min_timer_period_us. */
    private static final long SHORTEST_PERIOD = 200_000;

    /** The vCPU of an APIC. */
    interface Owner {
        /** Something has come in that the vCPU must look at. Called from any thread, with the APIC's lock held. */
        void kick();

        /** The time stamp counter as the guest sees it. */
        long guestTsc();
    }

    /** Version 0x14, six LVT entries. */
    private static final int PLAIN_VERSION = 0x14 | 5 << 16;

    /** In the version register. */
    private static final int DIRECTED_EOI = 1 << 24;

    private final ApicBus bus;
    private final Owner owner;
    private final int vcpuId;
    private final boolean bsp;
    private final int[] registers = new int[64];
    private int version = PLAIN_VERSION;
    private long base;
    private boolean initPending;
    private boolean sipiPending;
    private int sipiVector;
    private boolean nmiPending;
    private long deadline;
    private long timerStart;
    private @Nullable ScheduledFuture<?> timer;

    /** Advances when the timer is set or cancelled, so that an expiry that comes too late is known. */
    private long timerGeneration;

    Lapic(ApicBus bus, Owner owner, int vcpuId, boolean bsp) {
        this.bus = bus;
        this.owner = owner;
        this.vcpuId = vcpuId;
        this.bsp = bsp;
        base = DEFAULT_BASE | BASE_ENABLE | (bsp ? BASE_BSP : 0);
        registers[ID] = vcpuId << 24;
        reset();
    }

    /** The state after INIT; ID and base stay. */
    synchronized void reset() {
        int id = registers[ID];
        Arrays.fill(registers, 0);
        registers[ID] = id;
        registers[VERSION] = version;
        registers[DFR] = -1;
        registers[SVR] = 0xff;
        for (int lvt = LVT_TIMER; lvt <= LVT_ERROR; lvt++) {
            registers[lvt] = LVT_MASKED;
        }
        if (bsp) {
            registers[LVT_LINT0] = ApicMessage.EXTINT << 8;
        }
        if (x2apic()) {
            setX2apicIds();
        }
        deadline = 0;
        cancelTimer();
    }

    /**
     * The guest's CPUID is known: with x2APIC, and no I/O APIC in the kernel, the version register offers to leave the
     * broadcast of EOIs out.
     */
    synchronized void features(boolean x2apicOffered) {
        version = x2apicOffered ? PLAIN_VERSION | DIRECTED_EOI : PLAIN_VERSION;
        registers[VERSION] = version;
    }

    private boolean x2apic() {
        return (base & BASE_X2APIC) != 0;
    }

    private void setX2apicIds() {
        registers[ID] = vcpuId;
        registers[LDR] = (vcpuId >>> 4) << 16 | 1 << (vcpuId & 15);
    }

    /** IA32_APIC_BASE. */
    synchronized long base() {
        return base;
    }

    /** Sets IA32_APIC_BASE; false where the value is reserved or the change of mode is not allowed. */
    synchronized boolean setBase(long value, boolean fromHost) {
        long reserved = 0x2ff | -1L << MemoryRegion.PHYSICAL_BITS;
        boolean nowX2 = (value & BASE_X2APIC) != 0;
        boolean nowEnabled = (value & BASE_ENABLE) != 0;
        boolean wasEnabled = (base & BASE_ENABLE) != 0;
        boolean illegal = (nowX2 && !nowEnabled)
                || (!fromHost && ((x2apic() && nowEnabled && !nowX2) || (!wasEnabled && nowX2)));
        if ((value & reserved) != 0 || illegal) {
            return false;
        }
        boolean wasX2 = x2apic();
        base = value;
        if (nowX2 && !wasX2) {
            setX2apicIds();
        } else if ((!nowX2 && wasX2) || (nowEnabled && !wasEnabled)) {
            registers[ID] = vcpuId << 24;
        }
        return true;
    }

    /** Whether a guest physical address is one of the register page. */
    synchronized boolean covers(long gpa) {
        return (base & (BASE_ENABLE | BASE_X2APIC)) == BASE_ENABLE && (gpa & -4096L) == (base & 0xffffff000L);
    }

    /** Whether the APIC takes interrupts. */
    synchronized boolean enabled() {
        return (base & BASE_ENABLE) != 0 && (registers[SVR] & SVR_ENABLE) != 0;
    }

    /** The processor's priority, for the choice among several. */
    synchronized int priority() {
        return priorityNow();
    }

    /** Whether a message is for this APIC. */
    synchronized boolean matches(int destination, boolean logical) {
        if ((base & BASE_ENABLE) == 0) {
            return false;
        }
        if (destination == -1 || (!x2apic() && destination == 0xff)) {
            return true;
        }
        if (!logical) {
            return x2apic() ? destination == vcpuId : destination == registers[ID] >>> 24;
        }
        int ldr = registers[LDR];
        if (x2apic()) {
            return destination >>> 16 == ldr >>> 16 && (destination & ldr & 0xffff) != 0;
        }
        int own = ldr >>> 24;
        return registers[DFR] >>> 28 == 15
                ? (own & destination) != 0
                : own >>> 4 == destination >>> 4 && (own & destination & 15) != 0;
    }

    /** Takes a message; false when the APIC is off. */
    synchronized boolean accept(ApicMessage message) {
        switch (message.mode()) {
            case ApicMessage.FIXED, ApicMessage.LOWEST_PRIORITY -> {
                if (!enabled()) {
                    return false;
                }
                set(IRR, message.vector());
                if (message.levelTriggered()) {
                    set(TMR, message.vector());
                } else {
                    clear(TMR, message.vector());
                }
            }
            case ApicMessage.NMI -> nmiPending = true;
            case ApicMessage.INIT -> {
                if (message.levelTriggered() && !message.assertion()) {
                    return true;
                }
                initPending = true;
                sipiPending = false;
            }
            case ApicMessage.STARTUP -> {
                sipiVector = message.vector();
                sipiPending = true;
            }
            default -> {
                return true; // SMI and ExtINT: there is no source for them
            }
        }
        owner.kick();
        return true;
    }

    /** An NMI from user space or the bus. */
    synchronized void raiseNmi() {
        nmiPending = true;
        owner.kick();
    }

    /** Takes a pending NMI away. */
    synchronized boolean takeNmi() {
        boolean was = nmiPending;
        nmiPending = false;
        return was;
    }

    synchronized boolean hasNmi() {
        return nmiPending;
    }

    /** Whether INIT or a startup message waits. */
    synchronized boolean hasInitOrSipi() {
        return initPending || sipiPending;
    }

    /** Whether an INIT waits. */
    synchronized boolean hasInit() {
        return initPending;
    }

    /** Makes an INIT wait, or takes it back. */
    synchronized void setInit(boolean waits) {
        initPending = waits;
    }

    synchronized boolean takeInit() {
        boolean was = initPending;
        initPending = false;
        return was;
    }

    /** Takes the startup message; answers its vector, or -1. */
    synchronized int takeSipi() {
        int vector = sipiPending ? sipiVector : -1;
        sipiPending = false;
        return vector;
    }

    /** Makes a startup message wait (KVM_MP_STATE_SIPI_RECEIVED). */
    synchronized void setSipi() {
        sipiPending = true;
    }

    synchronized void setSipiVector(int vector) {
        sipiVector = vector & 0xff;
    }

    // Interrupts.

    private static int bit(int vector) {
        return 1 << (vector & 31);
    }

    private void set(int array, int vector) {
        registers[array + (vector >>> 5)] |= bit(vector);
    }

    private void clear(int array, int vector) {
        registers[array + (vector >>> 5)] &= ~bit(vector);
    }

    private int highest(int array) {
        for (int i = 7; i >= 0; i--) {
            int word = registers[array + i];
            if (word != 0) {
                return i * 32 + 31 - Integer.numberOfLeadingZeros(word);
            }
        }
        return -1;
    }

    private int priorityNow() {
        int inService = highest(ISR);
        int tpr = registers[TPR];
        return inService >= 0 && (inService & 0xf0) > (tpr & 0xf0) ? inService & 0xf0 : tpr;
    }

    /** Task priority, 8 bits. */
    synchronized int tpr() {
        return registers[TPR];
    }

    synchronized void setTpr(int value) {
        registers[TPR] = value & 0xff;
    }

    /** The vector that the processor may take now, or -1. */
    synchronized int pending() {
        if (!enabled()) {
            return -1;
        }
        int vector = highest(IRR);
        return vector >= 0 && (vector & 0xf0) > (priorityNow() & 0xf0) ? vector : -1;
    }

    /** Whether a vector waits that only the task priority keeps back. */
    synchronized boolean heldByTaskPriority() {
        int vector = highest(IRR);
        return vector >= 0 && (vector & 0xf0) <= (registers[TPR] & 0xf0) && (vector & 0xf0) > (highest(ISR) & 0xf0);
    }

    /** The processor takes the interrupt. */
    synchronized void acknowledge(int vector) {
        clear(IRR, vector);
        set(ISR, vector);
    }

    /** Whether the PIC's interrupts pass through LINT0. */
    synchronized boolean acceptsExternal() {
        return (base & BASE_ENABLE) == 0 || (registers[LVT_LINT0] & (LVT_MASKED | 7 << 8)) == ApicMessage.EXTINT << 8;
    }

    // Registers.

    /** Reads a register by its number (offset / 16). */
    synchronized long read(int register) {
        return switch (register) {
            case PPR -> priorityNow();
            case TIMER_CURRENT -> remaining();
            case ICR -> x2apic()
                    ? (long) registers[ICR2] << 32 | (registers[ICR] & 0xffffffffL)
                    : registers[ICR] & 0xffffffffL;
            default -> register < 64 ? registers[register] & 0xffffffffL : 0;
        };
    }

    /** Whether an x2APIC register may be read. */
    static boolean readable(int register) {
        return switch (register) {
            case ID, VERSION, TPR, PPR, LDR, SVR, ESR, ICR, TIMER_INITIAL, TIMER_CURRENT, TIMER_DIVIDE -> true;
            default -> (register >= ISR && register < ESR) || (register >= LVT_TIMER && register <= LVT_ERROR);
        };
    }

    /** Writes a register; false where it may not be written in x2APIC mode. */
    boolean write(int register, long value) {
        ApicMessage message = null;
        int shorthand = 0;
        synchronized (this) {
            int v = (int) value;
            switch (register) {
                case TPR -> registers[TPR] = v & 0xff;
                case EOI -> {
                    int vector = highest(ISR);
                    if (vector >= 0) {
                        clear(ISR, vector);
                        owner.kick();
                    }
                }
                case ID, LDR, DFR -> {
                    if (x2apic()) {
                        return false;
                    }
                    registers[register] = register == DFR ? v | 0x0fffffff : v & 0xff000000;
                }
                case SVR -> {
                    registers[SVR] = v & 0x1ff;
                    if ((v & SVR_ENABLE) == 0) {
                        for (int lvt = LVT_TIMER; lvt <= LVT_ERROR; lvt++) {
                            registers[lvt] |= LVT_MASKED;
                        }
                    }
                }
                case ESR -> registers[ESR] = 0;
                case ICR2 -> registers[ICR2] = v & 0xff000000;
                case ICR -> {
                    if (x2apic() && (v & ICR_RESERVED) != 0) {
                        return false;
                    }
                    registers[ICR] = v & ~(1 << 12);
                    int destination = registers[ICR2] >>> 24;
                    if (x2apic()) {
                        registers[ICR2] = (int) (value >>> 32);
                        destination = registers[ICR2];
                    }
                    message = new ApicMessage(
                            destination,
                            (v & 1 << 11) != 0,
                            v >>> 8 & 7,
                            v & 0xff,
                            (v & 1 << 14) != 0,
                            (v & 1 << 15) != 0);
                    shorthand = v >>> 18 & 3;
                }
                case SELF_IPI -> {
                    if (!x2apic()) {
                        return false;
                    }
                    message = new ApicMessage(0, false, ApicMessage.FIXED, v & 0xff, true, false);
                    shorthand = 1;
                }
                case TIMER_INITIAL -> {
                    if (timerMode() != 2) {
                        registers[TIMER_INITIAL] = v;
                        startTimer();
                    }
                }
                case TIMER_DIVIDE -> registers[TIMER_DIVIDE] = v & 0xb;
                case LVT_TIMER -> {
                    int old = timerMode();
                    registers[LVT_TIMER] = maskedIfOff(v & 0x710ff);
                    if (timerMode() != old) {
                        cancelTimer();
                        registers[TIMER_INITIAL] = 0;
                        deadline = 0;
                    }
                }
                default -> {
                    if (register <= LVT_TIMER || register > LVT_ERROR) {
                        return !x2apic();
                    }
                    registers[register] = maskedIfOff(v & 0x1f7ff);
                }
            }
        }
        if (message != null) {
            send(message, shorthand);
        }
        return true;
    }

    private int maskedIfOff(int lvt) {
        return (registers[SVR] & SVR_ENABLE) == 0 ? lvt | LVT_MASKED : lvt;
    }

    private void send(ApicMessage message, int shorthand) {
        switch (shorthand) {
            case 0 -> bus.deliver(message);
            case 1 -> accept(message);
            case 2 -> bus.broadcast(message, null);
            default -> bus.broadcast(message, this);
        }
    }

    /** The register page of KVM_GET_LAPIC. */
    synchronized void save(MemorySegment page) {
        registers[TIMER_CURRENT] = (int) remaining();
        registers[PPR] = priorityNow();
        for (int i = 0; i < 64; i++) {
            page.set(ValueLayout.JAVA_INT_UNALIGNED, i * 16L, registers[i]);
        }
    }

    /** Takes over the register page of KVM_SET_LAPIC. */
    synchronized void restore(MemorySegment page) {
        for (int i = 0; i < 64; i++) {
            registers[i] = page.get(ValueLayout.JAVA_INT_UNALIGNED, i * 16L);
        }
        registers[VERSION] = version;
        if (x2apic()) {
            setX2apicIds();
        }
        startTimer();
        owner.kick();
    }

    // Timer.

    private int timerMode() {
        return registers[LVT_TIMER] >>> 17 & 3;
    }

    private long period() {
        int code = (registers[TIMER_DIVIDE] & 3) | (registers[TIMER_DIVIDE] >>> 1 & 4);
        return (registers[TIMER_INITIAL] & 0xffffffffL) << (code + 1 & 7);
    }

    private long remaining() {
        long period = period();
        if (period == 0 || timerMode() == 2) {
            return 0;
        }
        long elapsed = System.nanoTime() - timerStart;
        long left = timerMode() == 1 ? period - elapsed % period : Math.max(0, period - elapsed);
        int code = (registers[TIMER_DIVIDE] & 3) | (registers[TIMER_DIVIDE] >>> 1 & 4);
        return left >>> (code + 1 & 7);
    }

    private void cancelTimer() {
        timerGeneration++;
        if (timer != null) {
            timer.cancel(false);
            timer = null;
        }
    }

    private void startTimer() {
        cancelTimer();
        timerStart = System.nanoTime();
        if (period() != 0 && timerMode() < 2) {
            arm(timerMode() == 1 ? Math.max(period(), SHORTEST_PERIOD) : period());
        }
    }

    private void arm(long nanos) {
        long generation = timerGeneration;
        timer = bus.schedule(() -> expire(generation), Math.max(0, nanos));
    }

    private synchronized void expire(long generation) {
        if (generation != timerGeneration) {
            return;
        }
        timer = null;
        if ((registers[LVT_TIMER] & LVT_MASKED) == 0 && enabled()) {
            set(IRR, registers[LVT_TIMER] & 0xff);
            owner.kick();
        }
        if (timerMode() == 1 && period() != 0) {
            timerStart += period();
            arm(Math.max(timerStart + period() - System.nanoTime(), SHORTEST_PERIOD));
        } else if (timerMode() == 2) {
            deadline = 0;
        }
    }

    /** IA32_TSC_DEADLINE; zero outside that timer mode and when the timer is not armed. */
    synchronized long deadline() {
        return timerMode() == 2 ? deadline : 0;
    }

    synchronized void setDeadline(long value) {
        if (timerMode() != 2) {
            return;
        }
        cancelTimer();
        deadline = value;
        if (value != 0) {
            arm(value - owner.guestTsc());
        }
    }
}
