// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.task;

import dev.alcove.kernel.file.OpenFile;
import dev.alcove.kernel.locking.LinesBefore;
import java.lang.foreign.MemorySegment;
import org.jspecify.annotations.Nullable;

/**
 * What a thread writes in each call: the files that it looked up, open until the call returns, and the window, a segment
 * that was handed to the call directly and may be accessed although it lies in no VMA. In a class of its own, so that the
 * subclass can keep what lies behind the object away from it.
 */
abstract class CallState extends LinesBefore {
    /** Where the files begin: what is before them in the array is space too. */
    static final int FIRST = 32;

    @Nullable MemorySegment window;
    long windowStart;
    long windowSize;
    @Nullable OpenFile[] borrowed = new OpenFile[FIRST + 4 + FIRST];
    int borrowedEnd = FIRST;
}
