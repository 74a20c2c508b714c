// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.supervisor;

/**
 * A mapping that the program asked for and only this side can make: its thread is made to map another file than it
 * said, where it said.
 *
 * @param file own descriptor of the file, given to the thread for the moment and closed here; -1 when it has the file
 * @param number of the file with the thread, when it has it
 * @param address where it has to be when {@code fixed}, else where it might be
 * @param alignment bytes that the address is a multiple of unless it is {@code fixed}; a power of two, a page at least
 * @param length bytes
 * @param fixed MAP_FIXED, MAP_FIXED_NOREPLACE or 0
 * @param offset in the file
 */
record Insertion(
        int file, int number, long address, long alignment, long length, int protection, int fixed, long offset) {
    /** Bytes of an alignment at which large mappings of ordinary pages are cheap: 2 MiB. */
    static final long LARGE = 2L << 20;
}
