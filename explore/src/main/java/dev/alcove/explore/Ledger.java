// SPDX-License-Identifier: Apache-2.0
package dev.alcove.explore;

import dev.alcove.explore.schedule.Violation;
import dev.alcove.sys.Errno;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * What the guests and devices were told, against what they should have been: the answers of hypercalls against the
 * final state, words in memory against what was written. Belongs to whoever has the baton.
 */
final class Ledger {
    /** What a device finds in pages that nobody converts, times the page's number. */
    static final int PATTERN = 0x01234567;

    /**
     * A conversion that somebody asked for.
     *
     * @param begin the step at which it began
     * @param end the step at which it had ended
     */
    private record Asked(String who, long pages, boolean toPrivate, int begin, int end) {}

    /** One that is under way. */
    private record Running(long pages, boolean toPrivate, int begin) {}

    private final Layout layout;
    private final long privateAtStart;
    private final boolean failing;
    private final @Nullable Running[] running;
    private final List<Asked> granted = new ArrayList<>();

    // Of pages that belong to one vCPU.
    private long privates;
    private final int[] words;
    private long unknown;
    private int refusals;

    Ledger(Storm storm, int strands) {
        layout = storm.layout();
        privateAtStart = storm.privateAtStart();
        failing = storm.fault() != null;
        privates = privateAtStart;
        words = new int[layout.pages()];
        running = new Running[strands];
    }

    /** A strand asks for a conversion. */
    void begin(int strand, long pages, boolean toPrivate, int step) {
        running[strand] = new Running(pages, toPrivate, step);
    }

    /** The conversion is over. */
    void end(int strand, String who, boolean done, int step) {
        Running was = running[strand];
        running[strand] = null;
        if (was != null && done) {
            granted.add(new Asked(who, was.pages, was.toPrivate, was.begin, step));
            long own = was.pages & ownPages();
            long changed = own & (was.toPrivate ? ~privates : privates);
            privates = was.toPrivate ? privates | own : privates & ~own;
            for (int page = 0; page < words.length; page++) {
                if ((changed >>> page & 1) != 0) {
                    words[page] = 0;
                }
            }
            // The old side of a page may have been kept, when the kernel failed to free it: its words are there again.
            unknown |= failing ? changed : 0;
        }
    }

    private long ownPages() {
        long bits = 0;
        for (int page = 0; page < layout.pages(); page++) {
            bits |= layout.isOwn(page) ? 1L << page : 0;
        }
        return bits;
    }

    /** Pages of which a conversion is under way. */
    long inFlight() {
        long bits = 0;
        for (Running each : running) {
            bits |= each == null ? 0 : each.pages;
        }
        return bits;
    }

    /** A guest is about to write. */
    void stored(int page, int value) {
        words[page] = value;
        unknown &= ~(1L << page);
    }

    /** A guest has read. */
    @Nullable Violation loaded(String who, int page, int value) {
        boolean known = layout.isOwn(page) && (unknown >>> page & 1) == 0;
        int expected = layout.isStill(page) ? page * PATTERN : words[page];
        return (known || layout.isStill(page)) && value != expected
                ? new Violation("a guest has lost data", who + " reads 0x" + Integer.toHexString(value)
                        + " at gpa 0x" + Long.toHexString((long) page * Layout.PAGE) + ", expected 0x"
                        + Integer.toHexString(expected))
                : null;
    }

    /**
     * What a hypercall may answer, when nothing fails: 0, or -EINVAL where a page is none of the machine's. What is
     * no memory at all is shared already.
     */
    @Nullable Violation answered(String who, Op.Convert op, int answer, long engine) {
        String what = who + ": " + op.text() + " answered " + answer;
        boolean inside = op.page() + op.pages() <= layout.pages() || (op.page() >= layout.pages() && !op.toPrivate());
        if (answer != engine) {
            return new Violation("a guest gets another answer than the engine gave", what + ", the engine said " + engine);
        }
        // One thing fails, so one conversion may be refused for it.
        boolean refusedByChance = failing && answer == -Errno.EAGAIN && refusals++ == 0;
        return answer != (inside ? 0 : -Errno.EINVAL) && !refusedByChance
                ? new Violation("a hypercall has the wrong answer", what)
                : null;
    }

    /** Whether the final state is what the last of the granted requests wanted, in an order that they can have had. */
    @Nullable Violation compare(long privatePages) {
        for (int page = 0; page < layout.pages(); page++) {
            boolean isPrivate = (privatePages >>> page & 1) != 0;
            if (!explains(page, isPrivate)) {
                StringBuilder wanted = new StringBuilder();
                for (Asked each : granted) {
                    if ((each.pages >>> page & 1) != 0) {
                        wanted.append(", ").append(each.who).append(" (steps ").append(each.begin).append(" to ")
                                .append(each.end).append(each.toPrivate ? ") private" : ") shared");
                    }
                }
                return new Violation("the final state is not what was granted", "gpa 0x"
                        + Long.toHexString((long) page * Layout.PAGE) + " is " + (isPrivate ? "private" : "shared") + wanted);
            }
        }
        return null;
    }

    private boolean explains(int page, boolean isPrivate) {
        List<Asked> of = granted.stream().filter(each -> (each.pages >>> page & 1) != 0).toList();
        if (of.isEmpty()) {
            return isPrivate == ((privateAtStart >>> page & 1) != 0);
        }
        return of.stream().anyMatch(last -> last.toPrivate == isPrivate
                && of.stream().noneMatch(other -> other.toPrivate != isPrivate && other.begin > last.end));
    }
}
