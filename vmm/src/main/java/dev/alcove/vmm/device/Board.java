// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vmm.device;

import dev.alcove.kvm.Vm;
import dev.alcove.memory.AddressSpace;
import dev.alcove.vmm.bus.MmioBus;

/**
 * What a device is plugged into.
 *
 * @param vm for interrupts
 * @param mmio for registers that are trapped
 * @param routes for message signalled interrupts
 * @param window addresses for BARs
 * @param space the guest's address space, for parts of BARs that the guest reaches without an exit
 */
public record Board(Vm vm, MmioBus mmio, InterruptRoutes routes, DeviceWindow window, AddressSpace space) {}
