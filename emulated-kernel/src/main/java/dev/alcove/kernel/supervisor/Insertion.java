// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.supervisor;

/**
 * A mapping that the program asked for and only this side can make: its thread is made to map another file than it
 * said, where it said.
 *
 * @param file own descriptor of the file, given to the thread for the moment and closed here; -1 when it has the file
 * @param number of the file with the thread, when it has it
 * @param address a multiple of the alignment; where it has to be when {@code fixed}
 * @param length bytes
 * @param fixed MAP_FIXED, MAP_FIXED_NOREPLACE or 0
 * @param offset in the file
 */
record Insertion(int file, int number, long address, long length, int protection, int fixed, long offset) {}
