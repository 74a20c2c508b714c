// SPDX-License-Identifier: Apache-2.0
package dev.alcove.discard;

import dev.alcove.discard.DiscardRules.Rule;
import java.util.EnumSet;
import java.util.List;
import java.util.Random;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

class DiscardRulesTest {
    /** In the order of the table's columns. */
    private static final List<Rule> RULES =
            List.of(Rule.DISABLE, Rule.UNCOORDINATED_DISABLE, Rule.REQUIRE, Rule.COORDINATED_REQUIRE);

    private final DiscardRules rules = new DiscardRules();

    /** Every set of rules that are held, and every rule that is wanted; the table is QEMU's. */
    @ParameterizedTest
    @CsvSource({
        "DISABLE,               true,  true,  false, false",
        "UNCOORDINATED_DISABLE, true,  true,  false, true",
        "REQUIRE,               false, false, true,  true",
        "COORDINATED_REQUIRE,   false, true,  true,  true",
    })
    void twoRulesGoTogetherOrNot(
            Rule wanted, boolean disable, boolean uncoordinated, boolean require, boolean coordinated) {
        boolean[] goes = {disable, uncoordinated, require, coordinated};
        for (int set = 0; set < 1 << goes.length; set++) {
            DiscardRules fresh = new DiscardRules();
            Set<Rule> held = EnumSet.noneOf(Rule.class);
            boolean free = true;
            for (int i = 0; i < goes.length; i++) {
                Rule rule = RULES.get(i);
                if ((set & 1 << i) != 0 && fresh.hold(rule, "holder").isDone()) {
                    held.add(rule);
                    free &= goes[i];
                }
            }
            Outcome outcome = fresh.hold(wanted, "late");
            assertEquals(free, outcome.isDone(), wanted + " with " + held);
            if (!free) {
                assertEquals(16, assertInstanceOf(Outcome.Refused.class, outcome).errno());
                assertThrows(IllegalStateException.class, () -> fresh.release(wanted, "late"));
                held.forEach(rule -> fresh.release(rule, "holder"));
                assertTrue(fresh.hold(wanted, "late").isDone());
            }
        }
    }

    /** Against four counters. */
    @ParameterizedTest
    @ValueSource(longs = {1, 2, 3, 4})
    void agreesWithCounters(long seed) {
        Random random = new Random(seed);
        int[] count = new int[4];
        for (int step = 0; step < 2000; step++) {
            int own = random.nextInt(4);
            Rule rule = RULES.get(own);
            String where = "seed " + seed + " step " + step + " " + rule;
            if (random.nextInt(3) == 0) {
                if (count[own] == 0) {
                    assertThrows(IllegalStateException.class, () -> rules.release(rule, "x"), where);
                } else {
                    rules.release(rule, "x");
                    count[own]--;
                }
            } else {
                boolean busy = switch (rule) {
                    case DISABLE -> count[2] + count[3] > 0;
                    case UNCOORDINATED_DISABLE -> count[2] > 0;
                    case REQUIRE -> count[0] + count[1] > 0;
                    case COORDINATED_REQUIRE -> count[0] > 0;
                };
                assertEquals(!busy, rules.hold(rule, "x").isDone(), where);
                count[own] += busy ? 0 : 1;
            }
            assertEquals(count[0] + count[1] > 0, rules.isDisabled(), where);
            assertEquals(count[2] + count[3] > 0, rules.isRequired(), where);
        }
    }

    @Test
    void aConfidentialGuestGoesWithADeviceThatFollows() {
        assertTrue(rules.hold(Rule.COORDINATED_REQUIRE, "private memory").isDone());
        assertTrue(rules.hold(Rule.UNCOORDINATED_DISABLE, "device 00:02.0").isDone());
        assertTrue(rules.hold(Rule.COORDINATED_REQUIRE, "virtio-mem").isDone());
        assertTrue(rules.isDisabled());
        Outcome.Refused refused = assertInstanceOf(Outcome.Refused.class, rules.hold(Rule.REQUIRE, "the balloon"));
        assertEquals(
                "the balloon needs discarding RAM without telling, but device 00:02.0 needs RAM that is not discarded"
                        + " without telling",
                refused.reason());
    }

    @Test
    void aConfidentialGuestDoesNotGoWithADeviceThatPinsAll() {
        assertTrue(rules.hold(Rule.COORDINATED_REQUIRE, "private memory").isDone());
        Outcome.Refused refused =
                assertInstanceOf(Outcome.Refused.class, rules.hold(Rule.DISABLE, "device 00:02.0"));
        assertEquals(
                "device 00:02.0 needs RAM that is never discarded, but private memory needs discarding RAM",
                refused.reason());
        assertFalse(rules.isDisabled());
    }

    @Test
    void aBalloonAsksBeforeEachPage() {
        assertFalse(rules.isDisabled());
        assertTrue(rules.hold(Rule.UNCOORDINATED_DISABLE, "device").isDone());
        assertTrue(rules.isDisabled());
        rules.release(Rule.UNCOORDINATED_DISABLE, "device");
        assertFalse(rules.isDisabled());
    }
}
