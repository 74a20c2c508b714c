// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.pci;

import java.util.Locale;

/** Where a function is: domain 16 bits, bus 8, device 5, function 3. */
public record PciAddress(int domain, int bus, int device, int function) {
    /** The 16 bits by which an IOMMU knows the function. */
    public int requesterId() {
        return bus << 8 | device << 3 | function;
    }

    @Override
    public String toString() {
        return String.format(Locale.ROOT, "%04x:%02x:%02x.%x", domain, bus, device, function);
    }
}
