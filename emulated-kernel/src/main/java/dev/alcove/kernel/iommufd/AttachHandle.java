// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommufd;

/** One stay of a group behind a page table with one PASID; {@code device} is the one that brought it there. */
final class AttachHandle {
    final BoundDevice device;
    final HwPageTable hwpt;

    AttachHandle(BoundDevice device, HwPageTable hwpt) {
        this.device = device;
        this.hwpt = hwpt;
    }
}
