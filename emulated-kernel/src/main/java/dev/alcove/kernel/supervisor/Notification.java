// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.supervisor;

/**
 * A call of the program that waits for an answer.
 *
 * @param id of the notification
 * @param tid the thread that calls
 * @param number of the system call
 */
record Notification(long id, int tid, int number, long a, long b, long c, long d, long e, long f) {
    /** No notification: the thread has been stopped before the call. */
    static final long NONE = 0;

    /** As if it were a read or write of one buffer. */
    Notification moving(int one, long address, long length) {
        return new Notification(id, tid, one, a, address, length, 0, 0, 0);
    }
}
