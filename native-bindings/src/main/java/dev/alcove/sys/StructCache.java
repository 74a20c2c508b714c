// SPDX-License-Identifier: Apache-2.0
package dev.alcove.sys;

import java.lang.foreign.Arena;
import java.lang.foreign.MemoryLayout;
import java.lang.foreign.MemorySegment;
import java.util.concurrent.atomic.AtomicReferenceArray;
import org.jspecify.annotations.Nullable;

/**
 * Idle structs of one kind for a hot ioctl, so that a call neither allocates nor waits for another thread's call.
 *
 * <p>{@link #take} hands out a struct that nobody else uses, {@link #give} puts it back. A taken struct holds what its
 * last user left there: the caller sets every field. Thread safe without locks. More users at once than
 * {@value #IDLE} get fresh structs, which the garbage collector frees.
 */
public final class StructCache {
    /** A power of two. */
    private static final int IDLE = 8;

    /** Two cache lines, as processors fetch them in pairs: threads that use structs of their own share none. */
    private static final int LINES = 128;

    /** Slots are this many references apart, and the first one from what lies before, so that they share no line either. */
    private static final int STRIDE = LINES / Integer.BYTES;

    private final MemoryLayout layout;
    private final AtomicReferenceArray<@Nullable MemorySegment> idle = new AtomicReferenceArray<>((IDLE + 1) * STRIDE);

    public StructCache(MemoryLayout layout) {
        this.layout = layout;
    }

    /** A struct for the caller alone. */
    public MemorySegment take() {
        int home = home();
        for (int i = 0; i < IDLE; i++) {
            int slot = slot(home + i);
            if (idle.getPlain(slot) != null) {
                MemorySegment struct = idle.getAndSet(slot, null);
                if (struct != null) {
                    return struct;
                }
            }
        }
        long padded = (layout.byteSize() + LINES - 1) & -LINES;
        return Arena.ofAuto().allocate(padded, LINES).asSlice(0, layout);
    }

    /** Takes a struct back; the caller must not use it any more. */
    public void give(MemorySegment struct) {
        int home = home();
        for (int i = 0; i < IDLE; i++) {
            int slot = slot(home + i);
            if (idle.getPlain(slot) == null && idle.compareAndSet(slot, null, struct)) {
                return;
            }
        }
    }

    /** Where the calling thread looks first. */
    private static int home() {
        return (int) Thread.currentThread().threadId();
    }

    private static int slot(int number) {
        return (number & IDLE - 1) * STRIDE + STRIDE;
    }
}
