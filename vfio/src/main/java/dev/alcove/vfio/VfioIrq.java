// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vfio;

import dev.alcove.bindings.vfio.vfio;

/**
 * A kind of interrupt of a device ({@code struct vfio_irq_info}).
 *
 * @param index such as VFIO_PCI_MSI_IRQ_INDEX
 * @param flags {@code VFIO_IRQ_INFO_*}
 * @param count how many there are; 0 where the device has none
 */
public record VfioIrq(int index, int flags, int count) {
    public boolean eventfd() {
        return (flags & vfio.VFIO_IRQ_INFO_EVENTFD()) != 0;
    }

    public boolean maskable() {
        return (flags & vfio.VFIO_IRQ_INFO_MASKABLE()) != 0;
    }

    /** Whether the kernel masks it when it fires, and it must be unmasked after. */
    public boolean automasked() {
        return (flags & vfio.VFIO_IRQ_INFO_AUTOMASKED()) != 0;
    }

    /** Whether the number of enabled vectors is fixed once some are enabled. */
    public boolean noResize() {
        return (flags & vfio.VFIO_IRQ_INFO_NORESIZE()) != 0;
    }
}
