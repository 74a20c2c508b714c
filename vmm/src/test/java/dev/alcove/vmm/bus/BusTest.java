// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vmm.bus;

import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

class BusTest {
    /** Answers its id and the offset, and remembers writes. */
    private record Probe(int id, List<String> writes) implements PortDevice, MmioDevice {
        Probe(int id) {
            this(id, new ArrayList<>());
        }

        @Override
        public int read(int offset, int size) {
            return id << 16 | offset;
        }

        @Override
        public void write(int offset, int size, int value) {
            writes.add(offset + ":" + size + ":" + value);
        }

        @Override
        public long read(long offset, int size) {
            return ((long) id << 32) | offset;
        }

        @Override
        public void write(long offset, int size, long value) {
            writes.add(offset + ":" + size + ":" + value);
        }
    }

    @Test
    void portsWithoutADeviceFloat() {
        PortBus bus = new PortBus();
        Probe probe = new Probe(1);
        bus.add(0x3f8, 8, probe);
        assertEquals(0xff, bus.read(0x3f7, 1));
        assertEquals(0xffff, bus.read(0x400, 2));
        assertEquals(-1, bus.read(0x3fe, 4), "an access over the end of a device is nobody's");
        assertEquals(7, bus.read(0x3ff, 1));
        bus.write(0x3f9, 1, 0x1ff);
        bus.write(0x80, 1, 1);
        assertEquals(List.of("1:1:255"), probe.writes());
    }

    @Test
    void takenPortsAreRefused() {
        PortBus bus = new PortBus();
        bus.add(0xcf8, 8, new Probe(1));
        assertThrows(IllegalArgumentException.class, () -> bus.add(0xcff, 2, new Probe(2)));
        assertThrows(IllegalArgumentException.class, () -> bus.add(0xffff, 2, new Probe(2)));
    }

    @Test
    void mmioDevicesMove() {
        MmioBus bus = new MmioBus();
        Probe one = new Probe(1);
        assertTrue(bus.add(0xe000_0000L, 0x10_0000, one));
        assertFalse(bus.add(0xe00f_ffffL, 1, new Probe(2)));
        assertEquals(0x1_0000_0008L, bus.read(0xe000_0008L, 8));
        bus.remove(one);
        assertEquals(0xffff_ffffL, bus.read(0xe000_0008L, 4));
        assertTrue(bus.add(0xd000_0000L, 0x1000, one));
        bus.write(0xd000_0010L, 2, 0x12345);
        assertEquals(List.of("16:2:9029"), one.writes());
    }

    @Test
    void lookupsAgreeWithASearchOfAllRanges() {
        long seed = 20261120;
        Random random = new Random(seed);
        MmioBus bus = new MmioBus();
        long[] owner = new long[2048];
        for (int id = 1; id <= 200; id++) {
            int start = random.nextInt(2000);
            int size = 1 + random.nextInt(20);
            boolean free = true;
            for (int i = start; i < start + size; i++) {
                free &= owner[i] == 0;
            }
            assertEquals(free, bus.add(start, size, new Probe(id)), "seed " + seed + ", device " + id);
            for (int i = start; free && i < start + size; i++) {
                owner[i] = ((long) id << 32) | (i - start);
            }
        }
        for (int i = 0; i < owner.length; i++) {
            assertEquals(owner[i] == 0 ? 0xff : owner[i] & 0xff, bus.read(i, 1), "seed " + seed + ", address " + i);
        }
    }
}
