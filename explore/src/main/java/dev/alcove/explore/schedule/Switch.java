// SPDX-License-Identifier: Apache-2.0
package dev.alcove.explore.schedule;

/**
 * A choice other than {@link Chooser#unforced}: at that place the baton goes elsewhere. The switches of a run are its
 * schedule.
 *
 * @param strand who went until then
 * @param operation the operation that it was at
 * @param count steps since that began
 * @param to who went on
 */
public record Switch(int strand, int operation, int count, int to) {
    boolean isAt(Strand last) {
        return strand == last.index() && operation == last.operation() && count == last.count();
    }
}
