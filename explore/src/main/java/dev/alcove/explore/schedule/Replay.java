// SPDX-License-Identifier: Apache-2.0
package dev.alcove.explore.schedule;

import java.util.List;

/** Follows given switches, where their place comes up and they are possible; elsewhere nobody switches unforced. */
public record Replay(List<Switch> switches) implements Chooser {
    public Replay {
        switches = List.copyOf(switches);
    }

    @Override
    public Strand choose(Strand last, List<Strand> enabled) {
        for (Switch each : switches) {
            if (each.isAt(last)) {
                for (Strand strand : enabled) {
                    if (strand.index() == each.to()) {
                        return strand;
                    }
                }
            }
        }
        return Chooser.unforced(last, enabled);
    }
}
