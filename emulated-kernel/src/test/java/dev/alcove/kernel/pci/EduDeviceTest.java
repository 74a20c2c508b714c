// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.pci;

import dev.alcove.kernel.EmulatedKernel;
import dev.alcove.kernel.KernelProfile;
import dev.alcove.kernel.mm.MmioRegion;
import dev.alcove.sys.HostSyscalls;
import java.util.Objects;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

import static org.junit.jupiter.api.Assertions.assertEquals;

/** Transfers that QEMU answers by aborting: here they are dropped and counted, and the device goes on. */
@Timeout(30)
final class EduDeviceTest {
    private final EmulatedKernel kernel = new EmulatedKernel(KernelProfile.linux7_2(), new HostSyscalls());
    private final EduDevice edu = kernel.vfioPci().addEdu(new PciAddress(0, 0, 4, 0), 28);
    private final MmioRegion bar = Objects.requireNonNull(edu.bar(0));

    @BeforeEach
    void enable() {
        edu.configWrite(PciFunction.COMMAND, 2, PciFunction.COMMAND_MEMORY | PciFunction.COMMAND_MASTER);
    }

    @AfterEach
    void close() {
        kernel.close();
    }

    private void transfer(long source, long destination, long count, long command) {
        bar.write(EduRegisters.DMA_SOURCE, 8, source);
        bar.write(EduRegisters.DMA_DESTINATION, 8, destination);
        bar.write(EduRegisters.DMA_COUNT, 8, count);
        bar.write(EduRegisters.DMA_COMMAND, 8, command);
        while ((bar.read(EduRegisters.DMA_COMMAND, 8) & EduRegisters.COMMAND_RUN) != 0) {
            Thread.onSpinWait();
        }
    }

    @ParameterizedTest
    @CsvSource({
        "0x40000, 4097", "0x40001, 4096", "0x41000, 1", "0x3ffff, 1", "0, 1", "0x40000, -1",
        "0x40fff, 0x7fffffffffffffff", "-1, 8"
    })
    void aTransferOutOfTheBufferIsRejected(String device, String count) {
        transfer(Long.decode(device), 0x1000, Long.decode(count), 3);
        assertEquals(1, edu.rejectedTransfers());
        transfer(0x1000, Long.decode(device), Long.decode(count), 1);
        assertEquals(2, edu.rejectedTransfers());
        assertEquals(0, kernel.iommu().counters().blocked() + kernel.iommu().counters().completed());
    }

    @Test
    void aTransferToAnUnmappedAddressIsBlocked() {
        transfer(EduRegisters.BUFFER, 0x1000, 4096, 3);
        assertEquals(1, kernel.iommu().counters().blocked());
        assertEquals(0, edu.rejectedTransfers());
    }

    @Test
    void aTransferWithoutBusMasteringIsRejected() {
        edu.configWrite(PciFunction.COMMAND, 2, PciFunction.COMMAND_MEMORY);
        transfer(EduRegisters.BUFFER, 0x1000, 4096, 3);
        assertEquals(1, edu.rejectedTransfers());
    }

    @Test
    void registersTakeOnlyTheirWidth() {
        assertEquals(0, bar.read(EduRegisters.IDENTIFICATION, 1));
        assertEquals(0, bar.read(EduRegisters.IDENTIFICATION, 2));
        assertEquals(-1, bar.read(EduRegisters.IDENTIFICATION, 8));
        assertEquals(EduRegisters.IDENTITY, bar.read(EduRegisters.IDENTIFICATION, 4));
        assertEquals(0xffffffffL, bar.read(0xa0, 4));
    }
}
