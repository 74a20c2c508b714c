// SPDX-License-Identifier: Apache-2.0
package dev.alcove.discard;

import java.util.ArrayList;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;

/**
 * Who may take memory away from a machine's RAM, and who cannot live with that. One object for each machine.
 *
 * <p>The rules are those of QEMU: a discard is coordinated when a {@link RamDiscardManager} tells everybody of it
 * first, and uncoordinated when the memory just goes.
 *
 * <pre>
 * wants                  is refused with EBUSY while somebody holds
 * DISABLE                REQUIRE or COORDINATED_REQUIRE
 * UNCOORDINATED_DISABLE  REQUIRE
 * REQUIRE                DISABLE or UNCOORDINATED_DISABLE
 * COORDINATED_REQUIRE    DISABLE
 * </pre>
 *
 * <p>For example: a VFIO device whose mapper listens to the managers holds UNCOORDINATED_DISABLE, one that pins all
 * memory once and for all holds DISABLE. Private memory and virtio-mem hold COORDINATED_REQUIRE, hence both go with the
 * first device and not with the second. A balloon that must work holds REQUIRE; one that may as well do nothing asks
 * {@link #isDisabled} before each page instead.
 *
 * <p>Thread safe; the monitor guards the holders, and nothing is called under it.
 */
public final class DiscardRules {
    private static final int EBUSY = 16;

    /** What somebody needs. */
    public enum Rule {
        /** Nobody discards anything. */
        DISABLE("RAM that is never discarded"),
        /** Nobody discards anything without telling. */
        UNCOORDINATED_DISABLE("RAM that is not discarded without telling"),
        /** Discards work, and nobody is told. */
        REQUIRE("discarding RAM without telling"),
        /** Discards work, and everybody is told first. */
        COORDINATED_REQUIRE("discarding RAM");

        private final String words;

        Rule(String words) {
            this.words = words;
        }

        private List<Rule> excludes() {
            return switch (this) {
                case DISABLE -> List.of(REQUIRE, COORDINATED_REQUIRE);
                case UNCOORDINATED_DISABLE -> List.of(REQUIRE);
                case REQUIRE -> List.of(DISABLE, UNCOORDINATED_DISABLE);
                case COORDINATED_REQUIRE -> List.of(DISABLE);
            };
        }
    }

    /** Guarded by the monitor: the names of those who hold a rule, as often as they hold it. */
    private final Map<Rule, List<String>> holders = new EnumMap<>(Rule.class);


    /**
     * Holds a rule until {@link #release}; any number may hold the same one.
     *
     * @param who for a person
     * @return refused with EBUSY, and by whom: nothing is held
     */
    public synchronized Outcome hold(Rule rule, String who) {
        for (Rule other : rule.excludes()) {
            List<String> present = holders(other);
            if (!present.isEmpty()) {
                return new Outcome.Refused(
                        EBUSY,
                        who + " needs " + rule.words + ", but " + String.join(", ", present) + " needs " + other.words);
            }
        }
        holders(rule).add(who);
        return Outcome.done();
    }

    /**
     * Gives back one hold.
     *
     * @throws IllegalStateException this name does not hold the rule
     */
    public synchronized void release(Rule rule, String who) {
        if (!holders(rule).remove(who)) {
            throw new IllegalStateException(who + " does not hold " + rule);
        }
    }

    /** Whether a discard that nobody is told of would break somebody. */
    public synchronized boolean isDisabled() {
        return !holders(Rule.DISABLE).isEmpty() || !holders(Rule.UNCOORDINATED_DISABLE).isEmpty();
    }

    /** Whether somebody discards RAM, with or without telling. */
    public synchronized boolean isRequired() {
        return !holders(Rule.REQUIRE).isEmpty() || !holders(Rule.COORDINATED_REQUIRE).isEmpty();
    }

    private List<String> holders(Rule rule) {
        return holders.computeIfAbsent(rule, _ -> new ArrayList<>());
    }
}
