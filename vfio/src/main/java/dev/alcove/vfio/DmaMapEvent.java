// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vfio;

import jdk.jfr.Description;
import jdk.jfr.Label;
import jdk.jfr.Name;

/** Flight Recorder: guest memory was mapped for devices, or was to be. */
@Name("dev.alcove.DmaMap")
@Label("DMA map")
@Description("Guest memory was mapped for devices")
final class DmaMapEvent extends DmaEvent {}
