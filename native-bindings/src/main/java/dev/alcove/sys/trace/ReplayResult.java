// SPDX-License-Identifier: Apache-2.0
package dev.alcove.sys.trace;

/**
 * The sums of a replay.
 *
 * @param calls that the trace holds, as far as it was replayed
 * @param compared calls that were made again
 * @param givenBack calls whose results are those of the record: runs of the guest, files of the machine
 * @param skipped calls that could not be made, because something that they use is missing after a difference
 * @param differences values that differ
 */
public record ReplayResult(long calls, long compared, long givenBack, long skipped, long differences) {}
