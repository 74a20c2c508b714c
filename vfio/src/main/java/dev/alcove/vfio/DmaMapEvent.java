// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vfio;

import jdk.jfr.Category;
import jdk.jfr.DataAmount;
import jdk.jfr.Description;
import jdk.jfr.Event;
import jdk.jfr.Label;
import jdk.jfr.Name;
import jdk.jfr.StackTrace;

/** Flight Recorder: guest memory was mapped for devices, or was to be. Its duration is that of the ioctls. */
@Name("dev.alcove.DmaMap")
@Label("DMA map")
@Category({"Alcove", "IOMMU"})
@Description("Guest memory was mapped for devices")
@StackTrace(false)
final class DmaMapEvent extends Event {
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
}
