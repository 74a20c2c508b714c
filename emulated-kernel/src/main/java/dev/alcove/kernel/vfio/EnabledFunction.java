// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.vfio;

import dev.alcove.kernel.pci.PciFunction;

/**
 * A function that vfio-pci has taken over for the user of an open device file (vfio_pci_core_enable). All files of a
 * device share it, from the first open to the last close.
 */
record EnabledFunction(
        PciFunction function,
        VfioInterrupts interrupts,
        VfioRegions regions,
        VfioIoeventfds ioeventfds,
        VfioFeatures features,
        VfioDmaBufs dmaBufs,
        byte[] header) {
    /** Takes the function over: decoding on, bus mastering off, all else as it is. */
    static EnabledFunction enable(VfioDevice device) {
        PciFunction function = device.function();
        function.changeCommand(
                PciFunction.COMMAND_MASTER | PciFunction.COMMAND_INTX_DISABLE, PciFunction.COMMAND_MEMORY);
        byte[] header = function.configCopy();
        VfioConfigSpace config = new VfioConfigSpace(function);
        VfioInterrupts interrupts = new VfioInterrupts(function);
        VfioRegions regions = new VfioRegions(function, config, interrupts);
        function.setSink(interrupts);
        VfioDmaBufs dmaBufs = new VfioDmaBufs(device, regions);
        config.onDecoding(on -> dmaBufs.move(!on));
        return new EnabledFunction(
                function,
                interrupts,
                regions,
                new VfioIoeventfds(function, config, regions),
                new VfioFeatures(device.profile().vfioDmaBuf() ? dmaBufs : null),
                dmaBufs,
                header);
    }

    /** Gives the function back as it was, without bus mastering and without interrupts. */
    void disable() {
        dmaBufs.move(true);
        function.changeCommand(PciFunction.COMMAND_MASTER, 0);
        interrupts.close();
        ioeventfds.close();
        function.setSink(null);
        for (int offset = 0; offset < PciFunction.HEADER_SIZE; offset++) {
            function.configWrite(offset, 1, header[offset]);
        }
    }
}
