// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vmm.conversion;

import jdk.jfr.Category;
import jdk.jfr.DataAmount;
import jdk.jfr.Description;
import jdk.jfr.Event;
import jdk.jfr.Label;
import jdk.jfr.Name;
import jdk.jfr.StackTrace;

/** One conversion in a recording of JDK Flight Recorder. Nothing is made while no recording wants it. */
@Name("dev.alcove.Conversion")
@Label("Conversion")
@Category("Alcove")
@Description("A guest's request to make memory private or shared, with the wait for its range")
@StackTrace(false)
final class ConversionEvent extends Event {
    private static final ConversionEvent PROBE = new ConversionEvent();

    @Label("Guest Physical Address")
    long gpa;

    @Label("Size")
    @DataAmount
    long size;

    @Label("To Private")
    boolean toPrivate;

    @Label("Changed")
    @Description("Bytes that changed their state")
    @DataAmount
    long changed;

    @Label("Slices")
    int slices;

    @Label("Runs")
    @Description("Separate pieces that changed: one call of each listener for each")
    int runs;

    @Label("Outcome")
    @Description("done, refused or unsafe")
    String outcome = "";

    /** Whether a recording wants such events. */
    static boolean wanted() {
        return PROBE.isEnabled();
    }
}
