// SPDX-License-Identifier: Apache-2.0
package dev.alcove.cpu;

/** An exception of the guest, on its way from the instruction that raises it to its delivery. One per processor. */
@SuppressWarnings("serial")
final class Fault extends RuntimeException {
    static final int DE = 0;
    static final int DB = 1;
    static final int BP = 3;
    static final int OF = 4;
    static final int UD = 6;
    static final int NM = 7;
    static final int DF = 8;
    static final int TS = 10;
    static final int NP = 11;
    static final int SS = 12;
    static final int GP = 13;
    static final int PF = 14;
    static final int MF = 16;
    static final int XM = 19;

    int vector;

    /** Negative when the vector has none. */
    int errorCode;

    Fault() {
        super(null, null, false, false);
    }
}
