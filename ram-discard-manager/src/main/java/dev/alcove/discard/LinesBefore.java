// SPDX-License-Identifier: Apache-2.0
package dev.alcove.discard;

/** Keeps the fields of a subclass two cache lines away from what lies before the object: a processor fetches lines in pairs. */
@SuppressWarnings("unused")
abstract class LinesBefore {
    private long p0;
    private long p1;
    private long p2;
    private long p3;
    private long p4;
    private long p5;
    private long p6;
    private long p7;
    private long p8;
    private long p9;
    private long p10;
    private long p11;
    private long p12;
    private long p13;
}
