// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.kvm;

import dev.alcove.cpu.CpuState;
import java.util.HashMap;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * The model specific registers of one vCPU. Those that the processor holds are reachable here only for the ioctls; the
 * guest's accesses to them never leave the processor.
 *
 * <p>Belongs to the thread that holds the vCPU's mutex.
 */
final class Msrs {
    static final int TSC = 0x10;
    static final int APIC_BASE = 0x1b;
    static final int TSC_DEADLINE = 0x6e0;
    private static final int X2APIC_FIRST = 0x800;
    private static final int X2APIC_LAST = 0x8ff;
    private static final int MISC_ENABLE = 0x1a0;
    private static final int EFER = 0xc0000080;

    private static final int WALL_CLOCK = 0x11;
    private static final int SYSTEM_TIME = 0x12;
    private static final int WALL_CLOCK_NEW = 0x4b564d00;
    private static final int SYSTEM_TIME_NEW = 0x4b564d01;
    private static final int HWCR = 0xc0010015;
    /** McStatusWrEn of HWCR. */
    private static final long STATUS_WRITABLE = 1L << 18;

    /** What KVM_GET_MSR_INDEX_LIST names. */
    private static final int[] LIST = {
        0x174, 0x175, 0x176, 0xc0000081, 0xc0000083, 0xc0000082, 0xc0000084, 0xc0000102, 0xc0000103, TSC, 0x277,
        EFER, 0xc0000100, 0xc0000101, APIC_BASE, TSC_DEADLINE, MISC_ENABLE, 0x2ff, 0x17a,
    };

    private final CpuState state;
    private final @Nullable Lapic lapic;
    private final TimeSource time;

    private final MachineCheck machineCheck = new MachineCheck();

    /** Registers that only keep what is written. */
    private final Map<Integer, Long> stored = new HashMap<>();

    /** The time stamp counter before the guest's offset. */
    @FunctionalInterface
    interface TimeSource {
        long tsc();
    }

    Msrs(CpuState state, @Nullable Lapic lapic, TimeSource time) {
        this.state = state;
        this.lapic = lapic;
        this.time = time;
        stored.put(0x17, 0L); // PLATFORM_ID
        stored.put(0x3a, 1L); // FEAT_CTL, locked
        stored.put(0x8b, 0x100000000L); // UCODE_REV
        stored.put(0xfe, 0x508L); // MTRRCAP: 8 variable ranges, fixed ranges, WC
        stored.put(MISC_ENABLE, 1L);
        stored.put(0x2ff, 0L); // MTRR_DEF_TYPE
        stored.put(0x250, 0L);
        stored.put(0x258, 0L);
        stored.put(0x259, 0L);
        for (int i = 0; i < 16; i++) {
            stored.put(0x200 + i, 0L);
        }
        for (int i = 0; i < 8; i++) {
            stored.put(0x268 + i, 0L);
        }
        stored.put(0xc0010010, 0L); // SYSCFG
        stored.put(HWCR, 0L);
    }

    MachineCheck machineCheck() {
        return machineCheck;
    }

    static int[] list() {
        return LIST.clone();
    }

    /** RDMSR of the guest, for what the processor does not hold; false raises #GP. */
    boolean guestRead(int index, long[] answer) {
        Lapic apic = lapic;
        if (apic != null) {
            if (index == APIC_BASE) {
                answer[0] = apic.base();
                return true;
            }
            if (index == TSC_DEADLINE) {
                answer[0] = apic.deadline();
                return true;
            }
            if (index >= X2APIC_FIRST && index <= X2APIC_LAST) {
                int register = index - X2APIC_FIRST;
                if ((apic.base() & 1 << 10) == 0 || !Lapic.readable(register)) {
                    return false;
                }
                if (register == Lapic.TPR) {
                    apic.setTpr((int) state.cr8 << 4 | (apic.tpr() & (apic.tpr() >> 4 == state.cr8 ? 15 : 0)));
                }
                answer[0] = apic.read(register);
                return true;
            }
        } else if (index == APIC_BASE || index == TSC_DEADLINE) {
            answer[0] = index == TSC_DEADLINE ? 0 : Lapic.DEFAULT_BASE | 1 << 11 | 1 << 8;
            return true;
        }
        if (MachineCheck.has(index)) {
            return machineCheck.read(index, false, answer);
        }
        Long value = stored.get(index);
        answer[0] = value == null ? 0 : value;
        return value != null;
    }

    /** WRMSR of the guest; false raises #GP. */
    boolean guestWrite(int index, long value) {
        Lapic apic = lapic;
        if (apic != null) {
            if (index == APIC_BASE) {
                return apic.setBase(value, false);
            }
            if (index == TSC_DEADLINE) {
                apic.setDeadline(value);
                return true;
            }
            if (index >= X2APIC_FIRST && index <= X2APIC_LAST) {
                int register = index - X2APIC_FIRST;
                if ((apic.base() & 1 << 10) == 0 || !apic.write(register, value)) {
                    return false;
                }
                if (register == Lapic.TPR) {
                    state.cr8 = value >>> 4 & 15;
                }
                return true;
            }
        } else if (index == APIC_BASE || index == TSC_DEADLINE) {
            return true;
        }
        if (MachineCheck.has(index)) {
            boolean writable = (stored.getOrDefault(HWCR, 0L) & STATUS_WRITABLE) != 0;
            return machineCheck.write(index, false, writable, value);
        }
        if (index == 0xfe) {
            return false;
        }
        return stored.computeIfPresent(index, (key, old) -> value) != null;
    }

    /** KVM_GET_MSRS of one register; false when there is none. */
    boolean get(int index, long[] answer) {
        switch (index) {
            case TSC -> answer[0] = time.tsc() + state.tscOffset;
            case 0x174 -> answer[0] = state.sysenterCs;
            case 0x175 -> answer[0] = state.sysenterEsp;
            case 0x176 -> answer[0] = state.sysenterEip;
            case 0x277 -> answer[0] = state.pat;
            case EFER -> answer[0] = state.efer;
            case 0xc0000081 -> answer[0] = state.star;
            case 0xc0000082 -> answer[0] = state.lstar;
            case 0xc0000083 -> answer[0] = state.cstar;
            case 0xc0000084 -> answer[0] = state.fmask;
            case 0xc0000100 -> answer[0] = state.segment[CpuState.FS].base;
            case 0xc0000101 -> answer[0] = state.segment[CpuState.GS].base;
            case 0xc0000102 -> answer[0] = state.kernelGsBase;
            case 0xc0000103 -> answer[0] = state.tscAux;
            case WALL_CLOCK, SYSTEM_TIME, WALL_CLOCK_NEW, SYSTEM_TIME_NEW -> answer[0] = 0;
            default -> {
                return MachineCheck.has(index)
                        ? machineCheck.read(index, true, answer)
                        : guestRead(index, answer);
            }
        }
        return true;
    }

    /** KVM_SET_MSRS of one register; false when there is none or it does not take the value. */
    boolean set(int index, long value) {
        switch (index) {
            case TSC -> state.tscOffset = value - time.tsc();
            case 0x174 -> state.sysenterCs = value;
            case 0x175 -> state.sysenterEsp = value;
            case 0x176 -> state.sysenterEip = value;
            case 0x277 -> state.pat = value;
            case EFER -> {
                if ((value & ~0xd01L) != 0) {
                    return false;
                }
                state.efer = (value & ~0x400L) | (state.efer & 0x400L);
            }
            case 0xc0000081 -> state.star = value;
            case 0xc0000082 -> state.lstar = value;
            case 0xc0000083 -> state.cstar = value;
            case 0xc0000084 -> state.fmask = value;
            case 0xc0000100 -> state.segment[CpuState.FS].base = value;
            case 0xc0000101 -> state.segment[CpuState.GS].base = value;
            case 0xc0000102 -> state.kernelGsBase = value;
            case 0xc0000103 -> state.tscAux = value;
            case APIC_BASE -> {
                return lapic == null || lapic.setBase(value, true);
            }
            // Clocks that the hypervisor keeps up: they can be off.
            case WALL_CLOCK, SYSTEM_TIME, WALL_CLOCK_NEW, SYSTEM_TIME_NEW -> {
                return value == 0;
            }
            default -> {
                return MachineCheck.has(index)
                        ? machineCheck.write(index, true, true, value)
                        : guestWrite(index, value);
            }
        }
        return true;
    }
}
