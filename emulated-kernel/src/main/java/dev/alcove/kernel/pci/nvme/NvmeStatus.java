// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.pci.nvme;

/**
 * Status fields of completions (NVM Express 1.4, 4.6.1): code in bits 0 to 7, type in bits 8 to 10, and bit 14 where it is
 * of no use to try again. Where the specification leaves a choice, and where QEMU differs, they are QEMU's.
 */
final class NvmeStatus {
    static final int DO_NOT_RETRY = 0x4000;

    static final int SUCCESS = 0;
    static final int INVALID_OPCODE = 0x01 | DO_NOT_RETRY;
    static final int INVALID_FIELD = 0x02 | DO_NOT_RETRY;
    static final int DATA_TRANSFER_ERROR = 0x04;
    static final int INTERNAL_ERROR = 0x06;
    static final int ABORT_REQUESTED = 0x07;
    static final int INVALID_NAMESPACE = 0x0b | DO_NOT_RETRY;
    static final int SEQUENCE_ERROR = 0x0c | DO_NOT_RETRY;
    static final int INVALID_PRP_OFFSET = 0x13 | DO_NOT_RETRY;
    static final int LBA_OUT_OF_RANGE = 0x80 | DO_NOT_RETRY;
    static final int INVALID_COMPLETION_QUEUE = 0x100 | DO_NOT_RETRY;
    static final int INVALID_QUEUE = 0x101 | DO_NOT_RETRY;
    static final int INVALID_QUEUE_SIZE = 0x102 | DO_NOT_RETRY;
    static final int EVENT_LIMIT_EXCEEDED = 0x105;
    static final int INVALID_VECTOR = 0x108 | DO_NOT_RETRY;
    static final int INVALID_QUEUE_DELETION = 0x10c;
    static final int FEATURE_NOT_SAVEABLE = 0x10d | DO_NOT_RETRY;
    static final int FEATURE_NOT_CHANGEABLE = 0x10e | DO_NOT_RETRY;
    static final int FEATURE_NOT_PER_NAMESPACE = 0x10f | DO_NOT_RETRY;
    static final int COMPARE_FAILURE = 0x285 | DO_NOT_RETRY;

    /** The command is not over: no completion now. */
    static final int PENDING = -1;

    private NvmeStatus() {}
}
