// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.fault;

import org.jspecify.annotations.Nullable;

/**
 * What is to fail in one thread: its fail-nth and its make-it-fail. The thread counts down, anybody may write; as in
 * the kernel, who writes at the same moment wins or loses.
 */
final class TaskFaults {
    private volatile int nth;
    private volatile boolean marked;
    private volatile @Nullable String failed;

    /** Failures to come until the one that is wanted, unsigned; 0 when none is. */
    int nth() {
        return nth;
    }

    void setNth(int wanted) {
        if (wanted != 0) {
            failed = null;
        }
        nth = wanted;
    }

    boolean marked() {
        return marked;
    }

    void setMarked(boolean wanted) {
        marked = wanted;
    }

    /** What has failed last; null when nothing has since fail-nth was set. */
    @Nullable String failed() {
        return failed;
    }

    /** One attempt goes by: whether it is the one to fail. Only for a thread that waits for one. */
    boolean countDown(String what) {
        int left = nth - 1;
        nth = left;
        if (left != 0) {
            return false;
        }
        failed = what;
        return true;
    }

    /** Whether it can be forgotten. */
    boolean idle() {
        return nth == 0 && !marked && failed == null;
    }
}
