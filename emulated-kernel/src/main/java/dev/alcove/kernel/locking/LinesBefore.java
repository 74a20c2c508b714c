// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.locking;

/**
 * Keeps the fields of a subclass two cache lines, which processors fetch in pairs, away from what lies before the object.
 * For what one thread writes all the time, where objects of its kind lie side by side: the collector puts them so.
 */
@SuppressWarnings("unused")
public abstract class LinesBefore {
    private long p0, p1, p2, p3, p4, p5, p6, p7, p8, p9, p10, p11, p12, p13, p14, p15;

    /** Nothing but space. */
    protected LinesBefore() {}
}
