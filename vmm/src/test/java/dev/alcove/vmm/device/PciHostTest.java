// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vmm.device;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;

import static org.junit.jupiter.api.Assertions.assertEquals;

class PciHostTest {
    /** Configuration space that is plain memory. */
    private static final class Plain implements PciFunction {
        final ByteBuffer config = ByteBuffer.allocate(CONFIG_BYTES).order(ByteOrder.LITTLE_ENDIAN);

        @Override
        public int readConfig(int offset, int size) {
            return switch (size) {
                case 1 -> config.get(offset) & 0xff;
                case 2 -> config.getShort(offset) & 0xffff;
                default -> config.getInt(offset);
            };
        }

        @Override
        public void writeConfig(int offset, int size, int value) {
            switch (size) {
                case 1 -> config.put(offset, (byte) value);
                case 2 -> config.putShort(offset, (short) value);
                default -> config.putInt(offset, value);
            }
        }
    }

    private final PciHost host = new PciHost();
    private final Plain device = new Plain();

    private void select(int slot, int function, int register) {
        host.write(0, 4, 0x8000_0000 | slot << 11 | function << 8 | register);
    }

    @Test
    void accessesOfEverySizeReachTheFunction() {
        int slot = host.add(device);
        assertEquals(1, slot);
        select(slot, 0, 0x40);
        host.write(4, 4, 0x44332211);
        assertEquals(0x11, host.read(4, 1));
        assertEquals(0x44, host.read(7, 1));
        assertEquals(0x4433, host.read(6, 2));
        host.write(5, 1, 0xee);
        assertEquals(0x4433ee11, host.read(4, 4));
        assertEquals(-1, host.read(5, 2), "a split access is nobody's");
        assertEquals(-1, host.read(6, 4), "nor is one over the end");
    }

    @Test
    void whatIsNotThereReadsAllOnes() {
        host.add(device);
        select(0, 0, 0);
        assertEquals(0x0008_1b36, host.read(4, 4));
        assertEquals(0x1b36, host.read(4, 2) & 0xffff);
        select(2, 0, 0);
        assertEquals(-1, host.read(4, 4));
        select(1, 3, 0);
        assertEquals(-1, host.read(4, 4));
        host.write(0, 4, 0x0000_0800); // not enabled
        assertEquals(-1, host.read(4, 4));
        host.write(0, 4, 0x8001_0800); // bus 1
        assertEquals(-1, host.read(4, 4));
    }

    @Test
    void onlyADoubleWordIsAnAddress() {
        select(1, 0, 0x3c);
        host.write(0, 1, 0xff);
        host.write(2, 2, 0);
        assertEquals(0x8000_083c, host.read(0, 4));
        host.write(0, 4, -1);
        assertEquals(0x80ff_fffc, host.read(0, 4), "reserved bits read as zero");
    }

    @Test
    void debugExitGetsTheValue() {
        AtomicInteger value = new AtomicInteger(-1);
        new DebugExit(value::set).write(0, 4, DebugExit.SUCCESS);
        assertEquals(0x10, value.get());
    }
}
