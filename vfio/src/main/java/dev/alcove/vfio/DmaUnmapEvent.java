// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vfio;

import jdk.jfr.Description;
import jdk.jfr.Label;
import jdk.jfr.Name;

/** Flight Recorder: guest memory was taken away from devices, or was to be. */
@Name("dev.alcove.DmaUnmap")
@Label("DMA unmap")
@Description("Guest memory was taken away from devices")
final class DmaUnmapEvent extends DmaEvent {}
