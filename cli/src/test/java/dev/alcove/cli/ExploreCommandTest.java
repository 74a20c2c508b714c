// SPDX-License-Identifier: Apache-2.0
package dev.alcove.cli;

import java.io.PrintWriter;
import java.io.StringWriter;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

import static org.junit.jupiter.api.Assertions.assertEquals;

class ExploreCommandTest {
    private final StringWriter errors = new StringWriter();

    private int run(String line) {
        return Alcove.execute(line.split(" "), new PrintWriter(errors, true));
    }

    @Test
    void aFewSeeds() {
        assertEquals(0, run("explore storm --seeds 5"), errors.toString());
        assertEquals(0, run("explore storm --seed 6..8 --cpus 3 --fail-nth --profile 6.12"), errors.toString());
    }

    @Test
    void whoWaitsHearsHowFarItIs() {
        assertEquals(
                "250 of 1000 seeds in 10 s, no violation so far; the rest takes about 30 s",
                ExploreCommand.StormCommand.progress(new SeedRange(1, 1000), 250, 10_000_000_000L));
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "explore",
                "explore rain",
                "explore storm --seeds 0",
                "explore storm --seeds x",
                "explore storm --seeds 3 --seed 4",
                "explore storm --cpus 9",
                "explore storm --profile 5.4"
            })
    void badUsage(String line) {
        assertEquals(2, run(line));
    }
}
