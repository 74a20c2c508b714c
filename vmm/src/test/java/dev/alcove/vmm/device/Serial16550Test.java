// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vmm.device;

import java.io.ByteArrayOutputStream;
import java.nio.charset.StandardCharsets;
import org.junit.jupiter.api.Test;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

class Serial16550Test {
    private final ByteArrayOutputStream sink = new ByteArrayOutputStream();
    private final Serial16550 uart = new Serial16550(sink);

    private int in(int register) {
        return uart.read(register, 1);
    }

    private void out(int register, int value) {
        uart.write(register, 1, value);
    }

    @Test
    void bytesGoOut() {
        for (byte b : "Hi\n".getBytes(StandardCharsets.US_ASCII)) {
            assertEquals(0x60, in(5) & 0x60, "the transmitter is ready");
            out(0, b);
        }
        assertEquals("Hi\n", sink.toString(StandardCharsets.US_ASCII));
    }

    @Test
    void theDivisorLatchHidesDataAndIer() {
        out(3, 0x83);
        out(0, 0x34);
        out(1, 0x12);
        assertEquals(0x34, in(0));
        assertEquals(0x12, in(1));
        out(3, 3);
        out(1, 0xff);
        assertEquals(0x0f, in(1), "IER has four bits");
        assertEquals(0, sink.size());
    }

    /** What Linux's autoconfig() looks at. */
    @Test
    void aDriversProbeFindsA16550A() {
        out(7, 0x5a);
        assertEquals(0x5a, in(7));
        out(4, 0x1a); // loopback, OUT2 and RTS
        assertEquals(0x90, in(6) & 0xf0);
        out(4, 0);
        out(2, 1);
        assertEquals(0xc0, in(2) & 0xc0, "a FIFO that works");
        out(2, 0);
        assertEquals(0, in(2) & 0xc0);
    }

    @Test
    void loopbackReturnsBytes() {
        out(2, 1);
        out(4, 0x10);
        for (int i = 0; i < 17; i++) {
            out(0, i);
        }
        assertEquals(0x63, in(5), "data and an overrun");
        assertEquals(0x61, in(5), "reading LSR clears the overrun");
        for (int i = 0; i < 16; i++) {
            assertEquals(i, in(0));
        }
        assertEquals(0x60, in(5));
        assertEquals(0, sink.size());
    }

    @Test
    void inputFillsTheFifo() {
        assertTrue(uart.receive('a'));
        assertFalse(uart.receive('b'), "without FIFO there is room for one byte");
        out(1, 1);
        assertEquals(4, in(2));
        assertEquals('a', in(0));
        assertEquals(1, in(2));
    }

    @Test
    void interruptIdentificationReportsTheTransmitterOnce() {
        out(1, 2);
        assertEquals(2, in(2));
        assertEquals(1, in(2));
        out(0, 'x');
        assertEquals(2, in(2));
        assertEquals(1, in(2));
    }
}
