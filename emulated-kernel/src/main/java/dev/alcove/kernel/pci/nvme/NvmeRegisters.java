// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.pci.nvme;

/** The controller's registers (NVM Express 1.4, 3.1): offsets in BAR 0, and values. */
final class NvmeRegisters {
    static final int CAP = 0x00;
    static final int VS = 0x08;
    static final int INTMS = 0x0c;
    static final int INTMC = 0x10;
    static final int CC = 0x14;
    static final int CSTS = 0x1c;
    static final int AQA = 0x24;
    static final int ASQ = 0x28;
    static final int ACQ = 0x30;
    static final int DOORBELLS = 0x1000;
    static final int MSIX_TABLE = 0x2000;
    static final int MSIX_PENDING = 0x3000;
    static final int BAR_SIZE = 0x4000;

    /** Queues other than the admin queue. */
    static final int IO_QUEUES = 64;

    static final int MOST_ENTRIES = 2048;

    /**
     * Queues are contiguous and have up to 2048 entries, the host waits 7.5 s, the NVM command set, one or more command
     * sets, or admin commands only, pages of 4 KiB to 64 KiB.
     */
    static final long CAP_VALUE = (MOST_ENTRIES - 1) | 1 << 16 | 0xfL << 24 | 0xc1L << 37 | 4L << 52;

    static final int VS_VALUE = 0x10400;

    static final int CC_ENABLE = 1;
    static final int CSTS_READY = 1;
    static final int CSTS_FATAL = 2;
    static final int CSTS_SHUTDOWN = 0xc;
    static final int CSTS_SHUTDOWN_COMPLETE = 8;

    private static final int LARGEST_PAGES = 4;
    private static final int COMMAND_SETS = 0xc1;

    private NvmeRegisters() {}

    static int shutdown(int configuration) {
        return (configuration >>> 14) & 3;
    }

    /** Bytes of a page; only of a configuration that {@link #supports}. */
    static int pageSize(int configuration) {
        return 4096 << ((configuration >>> 7) & 0xf);
    }

    /** Whether the controller can do with the pages and the command set that a configuration names. */
    static boolean supports(int configuration) {
        return ((configuration >>> 7) & 0xf) <= LARGEST_PAGES
                && ((COMMAND_SETS >>> ((configuration >>> 4) & 7)) & 1) != 0;
    }

    /** Whether the sizes of entries are those that there are: 64 bytes in submission queues, 16 in completion queues. */
    static boolean entrySizes(int configuration) {
        return ((configuration >>> 16) & 0xff) == 0x46;
    }
}
