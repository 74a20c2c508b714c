// SPDX-License-Identifier: Apache-2.0
package dev.alcove.sys.trace;

/**
 * Which bits of a VFIO device's regions two kernels must agree on: those of PCI configuration space that neither the
 * machine's firmware nor its address map decides. Registers of the device itself are its own business.
 */
final class ConfigSpace {
    private static final int REGION_SHIFT = 40;
    private static final int CONFIG_REGION = 7;
    private static final int COMMAND = 4;
    /** Firmware decides on I/O decoding, and on reports of errors (SERR#). */
    private static final int COMMAND_LOW = 0x01;

    private static final int COMMAND_HIGH = 0x01;
    private static final int BARS = 0x10;
    private static final int BARS_END = 0x28;
    private static final int ROM = 0x30;
    private static final int ROM_END = 0x34;
    private static final int INTERRUPT_LINE = 0x3c;
    private static final int HEADER_END = 0x100;

    private ConfigSpace() {}

    /** Whether an access meets configuration space. */
    static boolean isMet(long offset) {
        return offset >>> REGION_SHIFT == CONFIG_REGION;
    }

    /** A name for what is there: {@code config[0x4]}. */
    static String name(long offset) {
        return "config[" + Values.hex(offset & (1L << REGION_SHIFT) - 1) + "]";
    }

    /** Clears the bits that are not compared. */
    static byte[] compared(long offset, byte[] data) {
        byte[] visible = data.clone();
        long start = offset & (1L << REGION_SHIFT) - 1;
        for (int i = 0; i < visible.length; i++) {
            visible[i] &= (byte) ~hidden(start + i);
        }
        return visible;
    }

    private static int hidden(long at) {
        if (at >= HEADER_END) {
            return 0;
        }
        return switch ((int) at) {
            case COMMAND -> COMMAND_LOW;
            case COMMAND + 1 -> COMMAND_HIGH;
            case INTERRUPT_LINE -> 0xff;
            default -> (at >= BARS && at < BARS_END) || (at >= ROM && at < ROM_END) ? 0xff : 0;
        };
    }
}
