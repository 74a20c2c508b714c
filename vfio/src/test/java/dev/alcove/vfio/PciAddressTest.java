// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vfio;

import dev.alcove.sys.BadInputException;
import dev.alcove.sys.HostSyscalls;
import dev.alcove.sys.MissingFeatureException;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

class PciAddressTest {
    @ParameterizedTest
    @CsvSource({
        "00:04.0, 0000:00:04.0",
        "0000:3b:1f.7, 0000:3b:1f.7",
        "1:2:3.4, 0001:02:03.4",
        "ABCD:EF:0a.1, abcd:ef:0a.1",
    })
    void isReadAndWritten(String text, String canonical) {
        PciAddress address = PciAddress.parse(text);
        assertEquals(canonical, address.toString());
        assertEquals(address, PciAddress.parse(canonical));
    }

    @ParameterizedTest
    @ValueSource(strings = {"", "04.0", "00:04", "00:04.8", "00:20.0", "100:00:04.0.", "10000:00:00.0", "00:04.0 ", "é"})
    void whatIsNoAddressIsRefusedWithAHint(String text) {
        BadInputException thrown = assertThrows(BadInputException.class, () -> PciAddress.parse(text));
        assertNotNull(thrown.hint());
    }

    @Test
    void addressesAreInBusOrder() {
        assertTrue(PciAddress.parse("00:1f.7").compareTo(PciAddress.parse("01:00.0")) < 0);
        assertTrue(PciAddress.parse("1:00:00.0").compareTo(PciAddress.parse("ff:1f.7")) > 0);
    }

    @Test
    void aHostWithoutTheDeviceSaysSo() {
        HostSyscalls syscalls = new HostSyscalls();
        for (VfioDevices.Entry entry : VfioDevices.list(syscalls)) {
            assertEquals(entry, VfioDevices.find(syscalls, entry.address()));
        }
        PciAddress missing = PciAddress.parse("fffe:fd:1c.6");
        assertThrows(MissingFeatureException.class, () -> VfioDevices.find(syscalls, missing));
        assertThrows(MissingFeatureException.class, () -> VfioDevice.open(syscalls, missing));
    }
}
