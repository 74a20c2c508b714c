// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vfio;

import dev.alcove.discard.Outcome;
import jdk.jfr.Category;
import jdk.jfr.DataAmount;
import jdk.jfr.Event;
import jdk.jfr.Label;
import jdk.jfr.StackTrace;

/** What map and unmap events have in common. Their duration is that of the ioctls. */
@Category({"Alcove", "IOMMU"})
@StackTrace(false)
abstract class DmaEvent extends Event {
    @Label("IOVA")
    @jdk.jfr.MemoryAddress
    long iova;

    @Label("Size")
    @DataAmount
    long size;

    @Label("Strategy")
    String strategy = "";

    @Label("System calls")
    long ioctls;

    @Label("Outcome")
    String outcome = "";

    /** Fills the event and records it. */
    final void commit(long from, long bytes, MapStrategy how, long calls, Outcome answer) {
        end();
        iova = from;
        size = bytes;
        strategy = how.name();
        ioctls = calls;
        outcome = answer.toString();
        commit();
    }
}
