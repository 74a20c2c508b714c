// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vmm.device;

import dev.alcove.sys.BadInputException;
import dev.alcove.vmm.bus.PortDevice;
import java.util.concurrent.atomic.AtomicReferenceArray;
import org.jspecify.annotations.Nullable;

/**
 * PCI configuration mechanism 1 (PCI Local Bus Specification 3.0, 3.2.2.3.2): the address in a 32-bit latch at
 * 0xcf8, the data in a window of four ports at 0xcfc. One bus, 32 slots with one function each; slot 0 is the host
 * bridge itself.
 *
 * <p>Where no function is, a read gives all ones and a write is lost. The latch is one volatile word: two vCPUs that
 * use it at once must agree among themselves, as on a PC.
 */
public final class PciHost implements PortDevice {
    public static final int PORT = 0xcf8;
    public static final int PORTS = 8;

    private static final int SLOTS = 32;
    private static final int ADDRESS = 0;
    private static final int DATA = 4;
    private static final int ENABLE = 1 << 31;
    private static final int ADDRESS_BITS = 0x80ff_fffc;

    private final AtomicReferenceArray<@Nullable PciFunction> functions = new AtomicReferenceArray<>(SLOTS);
    private volatile int address;

    public PciHost() {
        functions.set(0, new HostBridge());
    }

    /**
     * Plugs a function into the first free slot.
     *
     * @return the slot
     */
    public int add(PciFunction function) {
        for (int slot = 1; slot < SLOTS; slot++) {
            if (functions.compareAndSet(slot, null, function)) {
                return slot;
            }
        }
        throw new BadInputException("all " + SLOTS + " slots of the PCI bus are taken");
    }

    /** Takes a function out; one that is not there is no error. */
    public void remove(PciFunction function) {
        for (int slot = 1; slot < SLOTS; slot++) {
            functions.compareAndSet(slot, function, null);
        }
    }

    @Override
    public int read(int offset, int size) {
        if (offset < DATA) {
            return offset == ADDRESS && size == 4 ? address : -1;
        }
        if (offset + size > PORTS || offset % size != 0) {
            return -1;
        }
        PciFunction function = selected();
        return function == null ? -1 : function.readConfig(register(offset), size);
    }

    @Override
    public void write(int offset, int size, int value) {
        if (offset < DATA) {
            if (offset == ADDRESS && size == 4) {
                address = value & ADDRESS_BITS;
            }
            return;
        }
        PciFunction function = offset + size > PORTS || offset % size != 0 ? null : selected();
        if (function != null) {
            function.writeConfig(register(offset), size, value);
        }
    }

    private int register(int offset) {
        return (address & 0xfc) + (offset - DATA);
    }

    private @Nullable PciFunction selected() {
        int latch = address;
        int bus = (latch >> 16) & 0xff;
        int slot = (latch >> 11) & 0x1f;
        int function = (latch >> 8) & 7;
        return (latch & ENABLE) != 0 && bus == 0 && function == 0 ? functions.get(slot) : null;
    }

    /** Slot 0: a host bridge without registers of its own. */
    private static final class HostBridge implements PciFunction {
        private static final int ID = 0x0008_1b36; // Red Hat, generic host bridge
        private static final int CLASS = 0x0600_0000;

        @Override
        public int readConfig(int offset, int size) {
            int word = switch (offset & ~3) {
                case 0x00 -> ID;
                case 0x08 -> CLASS;
                default -> 0;
            };
            return word >>> (8 * (offset & 3));
        }

        @Override
        public void writeConfig(int offset, int size, int value) {}
    }
}
