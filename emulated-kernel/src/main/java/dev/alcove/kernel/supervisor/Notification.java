// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.supervisor;

/**
 * A call of the program that waits for an answer.
 *
 * @param id of the notification
 * @param tid the thread that calls
 * @param number of the system call
 */
record Notification(long id, int tid, int number, long a, long b, long c, long d, long e, long f) {}
