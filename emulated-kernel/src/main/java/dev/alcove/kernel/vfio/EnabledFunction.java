// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.vfio;

import dev.alcove.kernel.pci.PciFunction;

/**
 * A function that vfio-pci has taken over for the user of an open device file (vfio_pci_core_enable). All files of a
 * device share it, from the first open to the last close.
 */
final class EnabledFunction {
    private final PciFunction function;
    private final VfioInterrupts interrupts;
    private final VfioRegions regions;
    private final VfioIoeventfds ioeventfds;
    private final VfioFeatures features;
    private final VfioDmaBufs dmaBufs;
    private final VfioConfigSpace config;
    /** The configuration header as it was. */
    private final byte[] header;

    private EnabledFunction(VfioDevice device, byte[] header) {
        this.function = device.function();
        this.header = header;
        this.config = new VfioConfigSpace(function);
        this.interrupts = new VfioInterrupts(function, device.allocator());
        VfioDmaBufs buffers = new VfioDmaBufs(device);
        this.dmaBufs = buffers;
        this.regions = new VfioRegions(function, config, interrupts, device.iommu(), on -> buffers.move(!on));
        this.ioeventfds = new VfioIoeventfds(
                function, config, regions, !device.profile().atLeast(6, 14), device.allocator());
        this.features = new VfioFeatures(device.profile().vfioDmaBuf() ? dmaBufs : null);
    }

    /** Takes the function over: decoding on, bus mastering off, all else as it is. */
    static EnabledFunction enable(VfioDevice device) {
        PciFunction function = device.function();
        if (function.resettable()) {
            function.reset();
        }
        function.changeCommand(
                PciFunction.COMMAND_MASTER | PciFunction.COMMAND_INTX_DISABLE, PciFunction.COMMAND_MEMORY);
        EnabledFunction enabled = new EnabledFunction(device, function.configCopy());
        function.setSink(enabled.interrupts);
        return enabled;
    }

    PciFunction function() {
        return function;
    }

    VfioInterrupts interrupts() {
        return interrupts;
    }

    VfioRegions regions() {
        return regions;
    }

    VfioIoeventfds ioeventfds() {
        return ioeventfds;
    }

    VfioFeatures features() {
        return features;
    }

    /** Gives the function back as it was, without bus mastering and without interrupts. */
    void disable() {
        dmaBufs.move(true);
        function.changeCommand(PciFunction.COMMAND_MASTER, 0);
        interrupts.close();
        ioeventfds.close();
        function.setSink(null);
        if (function.resettable()) {
            function.reset();
        }
        for (int offset = 0; offset < PciFunction.HEADER_SIZE; offset++) {
            function.configWrite(offset, 1, header[offset]);
        }
    }

    /** Resets the function while nobody can reach its registers. */
    void reset() {
        dmaBufs.move(true);
        function.reset();
        boolean reachable;
        synchronized (function) {
            reachable = config.memoryEnabled();
        }
        if (reachable) {
            dmaBufs.move(false);
        }
    }
}
