// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommufd;

/** A driver's part of a hardware queue. */
@FunctionalInterface
public interface HwQueueDriver {
    /** Takes the queue from the hardware; its memory is still pinned. */
    void destroy();
}
