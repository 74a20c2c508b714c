// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommufd;

import java.util.List;

/**
 * Page requests that are answered together.
 *
 * @param device who asks
 * @param handle where it was attached when it asked; compared by identity
 * @param requests at least one, the last one last
 */
record PageRequestGroup(BoundDevice device, AttachHandle handle, List<PageRequest> requests) {
    static final int SUCCESS = 0;
    static final int INVALID = 1;

    /** Answers the device. */
    void respond(int code) {
        device.device.driver().respond(device.device, requests.getLast().pasid(), requests.getLast().group(), code);
    }
}
