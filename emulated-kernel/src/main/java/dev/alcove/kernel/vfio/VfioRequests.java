// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.vfio;

/** Request numbers of linux/vfio.h, {@code _IO(';', 100 + n)}, as constants that a switch takes. */
final class VfioRequests {
    static final int GET_INFO = 0x3b6b;
    static final int GET_REGION_INFO = 0x3b6c;
    static final int GET_IRQ_INFO = 0x3b6d;
    static final int SET_IRQS = 0x3b6e;
    static final int RESET = 0x3b6f;
    static final int GET_PCI_HOT_RESET_INFO = 0x3b70;
    static final int PCI_HOT_RESET = 0x3b71;
    static final int IOEVENTFD = 0x3b74;
    static final int FEATURE = 0x3b75;
    static final int BIND_IOMMUFD = 0x3b76;
    static final int ATTACH_IOMMUFD_PT = 0x3b77;
    static final int DETACH_IOMMUFD_PT = 0x3b78;

    /** Region {@code n} of a device file starts at offset {@code n << REGION_SHIFT}. */
    static final int REGION_SHIFT = 40;

    private VfioRequests() {}
}
