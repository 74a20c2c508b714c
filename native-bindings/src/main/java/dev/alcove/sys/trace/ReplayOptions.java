// SPDX-License-Identifier: Apache-2.0
package dev.alcove.sys.trace;

import java.time.Duration;
import java.util.Map;

/**
 * How to replay.
 *
 * @param paths recorded paths and what to open in their place: the character devices of the devices that stand for the
 *     recorded ones
 * @param sameDevices whether those devices are of the recorded models, so that what they answer is compared
 * @param mayLack whether a device file that cannot be opened is something that the host lacks, and no difference
 * @param limit how long one call may take
 */
public record ReplayOptions(Map<String, String> paths, boolean sameDevices, boolean mayLack, Duration limit) {}
