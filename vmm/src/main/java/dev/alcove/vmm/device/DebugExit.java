// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vmm.device;

import dev.alcove.vmm.bus.PortDevice;
import java.util.function.IntConsumer;

/**
 * The debug exit port, as QEMU's {@code isa-debug-exit} at 0xf4: a write of v ends the VM. QEMU then exits with
 * (v &lt;&lt; 1) | 1, which is never 0, so the value {@link #SUCCESS} stands for a guest that is content.
 */
public final class DebugExit implements PortDevice {
    public static final int PORT = 0xf4;
    public static final int PORTS = 4;

    /** The value with which a guest reports success. */
    public static final int SUCCESS = 0x10;

    private final IntConsumer onExit;

    /** @param onExit gets the guest's value, on the thread of the vCPU that wrote it */
    public DebugExit(IntConsumer onExit) {
        this.onExit = onExit;
    }

    @Override
    public int read(int offset, int size) {
        return 0;
    }

    @Override
    public void write(int offset, int size, int value) {
        onExit.accept(value);
    }
}
