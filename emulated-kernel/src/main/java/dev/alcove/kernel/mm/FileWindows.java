// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.mm;

import dev.alcove.sys.Linux;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.jspecify.annotations.Nullable;

/**
 * Which frames are pages of a file of the host's instead of pages of the machine's own memory. The fast question,
 * whether there is any such frame at all, takes no lock; the rest is guarded by the monitor (a leaf).
 */
final class FileWindows {
    /**
     * Consecutive frames and the file's pages behind them.
     *
     * @param fd of the file; -1 for the machine's own memory
     * @param offset of frame {@code pfn} in the file, in bytes
     */
    record Window(long pfn, long count, int fd, long offset) {
        long end() {
            return pfn + count;
        }

        long offset(long frame) {
            return offset + ((frame - pfn) << Linux.PAGE_SHIFT);
        }

        Window part(long from, long to) {
            return new Window(from, to - from, fd, offset(from));
        }
    }

    private final TreeMap<Long, Window> windows = new TreeMap<>();
    private volatile boolean any;

    boolean none() {
        return !any;
    }

    synchronized void add(Window window) {
        windows.put(window.pfn(), window);
        any = true;
    }

    /** Takes [pfn, end) out; answers what was there. */
    synchronized List<Window> remove(long pfn, long end) {
        List<Window> removed = new ArrayList<>();
        for (Window window : overlapping(pfn, end)) {
            windows.remove(window.pfn());
            if (window.pfn() < pfn) {
                Window left = window.part(window.pfn(), pfn);
                windows.put(left.pfn(), left);
            }
            if (window.end() > end) {
                Window right = window.part(end, window.end());
                windows.put(right.pfn(), right);
            }
            removed.add(window.part(Math.max(pfn, window.pfn()), Math.min(end, window.end())));
        }
        any = !windows.isEmpty();
        return removed;
    }

    /** [pfn, end) in pieces of one file each, ascending; what is in no window is a piece of the machine's memory. */
    synchronized List<Window> pieces(long pfn, long end, int memory) {
        List<Window> pieces = new ArrayList<>();
        long at = pfn;
        for (Window window : overlapping(pfn, end)) {
            if (window.pfn() > at) {
                pieces.add(new Window(at, window.pfn() - at, memory, at << Linux.PAGE_SHIFT));
            }
            Window part = window.part(Math.max(pfn, window.pfn()), Math.min(end, window.end()));
            pieces.add(part);
            at = part.end();
        }
        if (at < end) {
            pieces.add(new Window(at, end - at, memory, at << Linux.PAGE_SHIFT));
        }
        return pieces;
    }

    private List<Window> overlapping(long pfn, long end) {
        Map.@Nullable Entry<Long, Window> before = windows.floorEntry(pfn);
        long from = before != null && before.getValue().end() > pfn ? before.getKey() : pfn;
        return List.copyOf(windows.subMap(from, Math.max(from, end)).values());
    }
}
