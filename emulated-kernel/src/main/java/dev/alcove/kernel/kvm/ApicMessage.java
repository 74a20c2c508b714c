// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.kvm;

/**
 * An interrupt message between local APICs, or from a device (Intel SDM volume 3, 12.6 and 12.11).
 *
 * @param destination APIC ID or logical destination
 * @param logical destination mode
 * @param mode one of the constants
 * @param vector 0 to 255
 * @param assertion for INIT: whether it is asserted
 * @param levelTriggered trigger mode
 */
record ApicMessage(int destination, boolean logical, int mode, int vector, boolean assertion, boolean levelTriggered) {
    static final int FIXED = 0;
    static final int LOWEST_PRIORITY = 1;
    static final int SMI = 2;
    static final int NMI = 4;
    static final int INIT = 5;
    static final int STARTUP = 6;
    static final int EXTINT = 7;

    /** Decodes a message signalled interrupt; {@code addressHigh} holds destination bits 8 to 31 in x2APIC format. */
    static ApicMessage ofMsi(int addressLow, int addressHigh, int data) {
        int destination = (addressLow >>> 12 & 0xff) | (addressHigh & 0xffffff00);
        return new ApicMessage(
                destination, (addressLow & 4) != 0, data >>> 8 & 7, data & 0xff, true, (data & 1 << 15) != 0);
    }
}
