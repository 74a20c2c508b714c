// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.kvm;

import dev.alcove.sys.Errno;

/**
 * The machine check registers of one vCPU (arch/x86/kvm/x86.c, set_msr_mce): banks in which nothing ever reports an error
 * by itself. As with an AMD processor there is no corrected machine check interrupt.
 *
 * <p>Belongs to the thread that holds the vCPU's mutex.
 */
final class MachineCheck {
    /** KVM_MAX_MCE_BANKS. */
    static final int MOST_BANKS = 32;

    /** MCG_CTL_P and MCG_SER_P, beside the number of banks. */
    static final long SUPPORTED = 1L << 8 | 1L << 24;

    private static final long HAS_CONTROL = 1L << 8;
    private static final int CAPABILITY = 0x179;
    private static final int STATUS = 0x17a;
    private static final int CONTROL = 0x17b;
    private static final int FIRST_BANK = 0x400;
    private static final int BANK_REGISTERS = 4;
    private static final int FIRST_INTERRUPT = 0x280;
    private static final long BANKS = 0xff;
    private static final long EXTENDED_REGISTERS = 0xff0000;
    /** Bits of a bank's control that some guests leave out when they set all others. */
    private static final long OPTIONAL_ERRORS = 1L << 10 | 1;

    private final long[] banks = new long[BANK_REGISTERS * MOST_BANKS];
    private long capability = MOST_BANKS;
    private long status;
    private long control;

    /** KVM_X86_SETUP_MCE. */
    int setUp(long wanted) {
        long count = wanted & BANKS;
        if (count == 0 || count > MOST_BANKS || (wanted & ~(SUPPORTED | BANKS | EXTENDED_REGISTERS)) != 0) {
            return -Errno.EINVAL;
        }
        capability = wanted;
        if ((wanted & HAS_CONTROL) != 0) {
            control = -1;
        }
        for (int bank = 0; bank < count; bank++) {
            banks[BANK_REGISTERS * bank] = -1;
        }
        return 0;
    }

    /** Whether a register is one of these. */
    static boolean has(int index) {
        return (index >= CAPABILITY && index <= CONTROL) || isBank(index) || isInterrupt(index);
    }

    private static boolean isBank(int index) {
        return index >= FIRST_BANK && index < FIRST_BANK + BANK_REGISTERS * MOST_BANKS;
    }

    private static boolean isInterrupt(int index) {
        return index >= FIRST_INTERRUPT && index < FIRST_INTERRUPT + MOST_BANKS;
    }

    private int count() {
        return (int) (capability & BANKS);
    }

    /**
     * Reads a register.
     *
     * @param host whether the program asks, not the guest
     * @return false when there is none
     */
    boolean read(int index, boolean host, long[] answer) {
        if (isBank(index)) {
            int at = index - FIRST_BANK;
            answer[0] = banks[at];
            return at < BANK_REGISTERS * count();
        }
        if (isInterrupt(index)) {
            answer[0] = 0;
            return host && index - FIRST_INTERRUPT < count();
        }
        answer[0] = index == CAPABILITY ? capability : index == STATUS ? status : control;
        return index != CONTROL || host || (capability & HAS_CONTROL) != 0;
    }

    /**
     * Writes a register.
     *
     * @param host whether the program asks, not the guest
     * @param statusWritable whether the guest may write errors into banks (HWCR)
     * @return false when there is none, or it does not take the value
     */
    boolean write(int index, boolean host, boolean statusWritable, long value) {
        if (isBank(index)) {
            int at = index - FIRST_BANK;
            int register = at % BANK_REGISTERS;
            boolean allOrNothing = value == 0 || (value | OPTIONAL_ERRORS) == -1;
            boolean taken = at < BANK_REGISTERS * count()
                    && (register != 0 || allOrNothing)
                    && (register != 1 || value == 0 || host || statusWritable);
            if (taken) {
                banks[at] = value;
            }
            return taken;
        }
        if (isInterrupt(index)) {
            return host && value == 0 && index - FIRST_INTERRUPT < count();
        }
        if (index == STATUS) {
            status = value;
            return true;
        }
        boolean present = (capability & HAS_CONTROL) != 0 || (host && value == 0);
        boolean taken = index == CONTROL && present && (value == 0 || value == -1);
        if (taken) {
            control = value;
        }
        return taken;
    }
}
