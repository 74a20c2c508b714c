// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vmm.device;

import dev.alcove.kvm.Vm;
import dev.alcove.vmm.bus.MmioBus;
import java.util.function.IntSupplier;

/**
 * What a device is plugged into.
 *
 * @param vm for memslots and interrupts
 * @param mmio for registers that are trapped
 * @param routes for message signalled interrupts
 * @param window addresses for BARs
 * @param memslots gives memslot numbers that nobody has used
 */
public record Board(Vm vm, MmioBus mmio, InterruptRoutes routes, DeviceWindow window, IntSupplier memslots) {}
