// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vfio;

import dev.alcove.bindings.vfio.vfio;
import dev.alcove.sys.StructCache;
import java.lang.foreign.MemorySegment;
import java.util.BitSet;
import java.util.OptionalInt;

import static java.lang.foreign.ValueLayout.JAVA_LONG;

/** The configuration space of a PCI function, little-endian, through its VFIO region. */
public final class VfioConfigSpace {
    /** Offsets of the header (PCI Local Bus Specification 3.0, 6.1). */
    public static final int VENDOR_ID = 0x00;
    public static final int DEVICE_ID = 0x02;
    public static final int COMMAND = 0x04;
    public static final int STATUS = 0x06;
    public static final int CLASS_REVISION = 0x08;
    public static final int HEADER_TYPE = 0x0e;
    public static final int BAR0 = 0x10;
    public static final int CAPABILITIES = 0x34;
    public static final int INTERRUPT_PIN = 0x3d;

    /** Bits of {@link #COMMAND}: I/O space, memory space, bus master. */
    public static final int COMMAND_IO = 1;
    public static final int COMMAND_MEMORY = 2;
    public static final int COMMAND_MASTER = 4;

    /** Ids of capabilities. */
    public static final int CAP_MSI = 0x05;
    public static final int CAP_EXPRESS = 0x10;
    public static final int CAP_MSIX = 0x11;

    private static final int STATUS_CAPABILITIES = 0x10;
    private static final int FIRST_CAPABILITY = 0x40;
    private static final int STANDARD_SIZE = 256;

    private final VfioDevice device;
    private final VfioRegion region;
    private final StructCache buffers = new StructCache(JAVA_LONG);

    /** Asks the device for its configuration region; after {@link VfioDevice#bind}. */
    public VfioConfigSpace(VfioDevice device) {
        this.device = device;
        this.region = device.regionInfo(vfio.VFIO_PCI_CONFIG_REGION_INDEX());
    }

    /** Bytes: 256, or 4096 for PCI Express. */
    public long size() {
        return region.size();
    }

    /**
     * Reads a value.
     *
     * @param width bytes: 1, 2 or 4
     * @return not sign-extended; all ones where nothing answers
     */
    public int read(int offset, int width) {
        MemorySegment buffer = buffers.take();
        try {
            buffer.set(JAVA_LONG, 0, -1L);
            device.readRegion(region, offset, buffer.asSlice(0, width));
            long value = buffer.get(JAVA_LONG, 0);
            return (int) (width == 4 ? value : value & ((1L << (8 * width)) - 1));
        } finally {
            buffers.give(buffer);
        }
    }

    /**
     * Writes a value.
     *
     * @param width bytes: 1, 2 or 4
     */
    public void write(int offset, int width, int value) {
        MemorySegment buffer = buffers.take();
        try {
            buffer.set(JAVA_LONG, 0, value);
            device.writeRegion(region, offset, buffer.asSlice(0, width));
        } finally {
            buffers.give(buffer);
        }
    }

    /** Where a capability begins, if the function has it; a chain that loops ends the search. */
    public OptionalInt capability(int id) {
        if ((read(STATUS, 2) & STATUS_CAPABILITIES) == 0) {
            return OptionalInt.empty();
        }
        BitSet seen = new BitSet(STANDARD_SIZE);
        int at = read(CAPABILITIES, 1) & ~3;
        while (at >= FIRST_CAPABILITY && !seen.get(at)) {
            if (read(at, 1) == id) {
                return OptionalInt.of(at);
            }
            seen.set(at);
            at = read(at + 1, 1) & ~3;
        }
        return OptionalInt.empty();
    }
}
