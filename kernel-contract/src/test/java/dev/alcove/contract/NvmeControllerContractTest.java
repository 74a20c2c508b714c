// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract;

import org.junit.jupiter.api.Timeout;

import static dev.alcove.contract.Checks.ok;
import static dev.alcove.contract.NvmeUnderTest.*;
import static org.junit.jupiter.api.Assertions.assertEquals;

/** Registers of an NVMe controller: what it can, enable and disable, shutdown, and what is no start. */
@Surface("NVMe")
@Timeout(60)
final class NvmeControllerContractTest {
    @EveryKernel
    void tellsWhatItCan(KernelUnderTest kernel) {
        try (NvmeUnderTest nvme = new NvmeUnderTest(kernel)) {
            assertEquals(0x00401820_0f0107ffL, nvme.read(CAP, 8));
            assertEquals(0x0f0107ffL, nvme.read(CAP, 4));
            assertEquals(0x00401820L, nvme.read(CAP + 4, 4));
            assertEquals(0x10400, nvme.read(VS, 4));
            assertEquals(0, nvme.read(0x20, 4), "NSSR");
            assertEquals(0, nvme.read(DOORBELLS, 4), "doorbells cannot be read");
            nvme.write(CAP, 8, 0);
            nvme.write(VS, 4, 0);
            assertEquals(0x00401820_0f0107ffL, nvme.read(CAP, 8));
            assertEquals(0x10400, nvme.read(VS, 4));
        }
    }

    @EveryKernel
    void isDisabledWhenItIsOpened(KernelUnderTest kernel) {
        try (NvmeUnderTest nvme = new NvmeUnderTest(kernel)) {
            nvme.start();
            nvme.write(INTMS, 4, 1);
        }
        try (NvmeUnderTest nvme = new NvmeUnderTest(kernel)) {
            assertEquals(0, nvme.read(CC, 4));
            assertEquals(0, nvme.read(CSTS, 4));
            assertEquals(0, nvme.read(INTMS, 4));
        }
    }

    @EveryKernel
    void isEnabledAndDisabled(KernelUnderTest kernel) {
        try (NvmeUnderTest nvme = new NvmeUnderTest(kernel)) {
            for (int round = 0; round < 3; round++) {
                nvme.start();
                assertEquals(ENABLE, nvme.read(CC, 4));
                assertEquals(0, nvme.admin(IDENTIFY, 0, ANSWER, 0, 1).status());
            }
            nvme.stop();
            assertEquals(0, nvme.read(CSTS, 4));
            assertEquals(0, nvme.read(CC, 4));
        }
    }

    @EveryKernel
    void theAdminQueuesAreAsTheyWereWritten(KernelUnderTest kernel) {
        try (NvmeUnderTest nvme = new NvmeUnderTest(kernel)) {
            nvme.write(AQA, 4, 0x001f000f);
            nvme.write(ASQ, 8, 0x1234_5000_6000L);
            nvme.write(ACQ, 4, 0x7000);
            nvme.write(ACQ + 4, 4, 0x8);
            assertEquals(0x001f000fL, nvme.read(AQA, 4));
            assertEquals(0x1234_5000_6000L, nvme.read(ASQ, 8));
            assertEquals(0x1234L, nvme.read(ASQ + 4, 4));
            assertEquals(0x8_0000_7000L, nvme.read(ACQ, 8));
        }
    }

    @EveryKernel
    void theMaskIsSetAndClearedByBits(KernelUnderTest kernel) {
        try (NvmeUnderTest nvme = new NvmeUnderTest(kernel)) {
            nvme.write(INTMS, 4, 0x30);
            nvme.write(INTMS, 4, 0x5);
            assertEquals(0x35, nvme.read(INTMS, 4));
            assertEquals(0x35, nvme.read(INTMC, 4));
            nvme.write(INTMC, 4, 0x11);
            assertEquals(0x24, nvme.read(INTMC, 4));
            nvme.write(INTMC, 4, -1);
            assertEquals(0, nvme.read(INTMS, 4));
        }
    }

    @EveryKernel
    void aQueueThatIsNotAlignedIsFatal(KernelUnderTest kernel) {
        try (NvmeUnderTest nvme = new NvmeUnderTest(kernel)) {
            nvme.stop();
            nvme.write(ASQ, 8, IOVA + 0x800);
            nvme.write(CC, 4, ENABLE);
            nvme.await("fatal", () -> nvme.read(CSTS, 4) != 0);
            assertEquals(FATAL, nvme.read(CSTS, 4));
            nvme.start();
        }
    }

    @EveryKernel
    void queuesOfOneEntryAreFatal(KernelUnderTest kernel) {
        try (NvmeUnderTest nvme = new NvmeUnderTest(kernel)) {
            for (int sizes : new int[] {0, 15, 15 << 16}) {
                nvme.stop();
                nvme.write(AQA, 4, sizes);
                nvme.write(CC, 4, ENABLE);
                nvme.await("fatal", () -> nvme.read(CSTS, 4) != 0);
                assertEquals(FATAL, nvme.read(CSTS, 4), "AQA " + Integer.toHexString(sizes));
            }
            nvme.start();
        }
    }

    @EveryKernel
    void pagesAndCommandSetsThatThereAreNotAreFatal(KernelUnderTest kernel) {
        try (NvmeUnderTest nvme = new NvmeUnderTest(kernel)) {
            for (int configuration : new int[] {5 << 7, 15 << 7, 1 << 4, 5 << 4}) {
                nvme.stop();
                nvme.write(CC, 4, ENABLE | configuration);
                nvme.await("fatal", () -> nvme.read(CSTS, 4) != 0);
                assertEquals(FATAL, nvme.read(CSTS, 4), "CC " + Integer.toHexString(configuration));
            }
            nvme.start();
        }
    }

    @EveryKernel
    void shutsDown(KernelUnderTest kernel) {
        try (NvmeUnderTest nvme = new NvmeUnderTest(kernel)) {
            nvme.start();
            nvme.write(CC, 4, ENABLE | 1 << 14);
            nvme.await("shut down", () -> (nvme.read(CSTS, 4) & 0xc) == 8);
            assertEquals(READY | 8, nvme.read(CSTS, 4));
            nvme.write(CC, 4, ENABLE);
            nvme.await("no shutdown", () -> (nvme.read(CSTS, 4) & 0xc) == 0);
            nvme.write(CC, 4, ENABLE | 2 << 14);
            nvme.await("shut down abruptly", () -> (nvme.read(CSTS, 4) & 0xc) == 8);
            nvme.start();
        }
    }

    @EveryKernel
    void doorbellsOfNoQueueDoNothing(KernelUnderTest kernel) {
        try (NvmeUnderTest nvme = new NvmeUnderTest(kernel)) {
            nvme.start();
            nvme.write(DOORBELLS + 8, 4, 1);
            nvme.write(DOORBELLS + 12, 4, 1);
            nvme.write(DOORBELLS + 8 * 200, 4, 1);
            nvme.write(DOORBELLS, 4, ENTRIES);
            nvme.write(DOORBELLS + 4, 4, ENTRIES);
            nvme.write(DOORBELLS + 2, 2, 3);
            assertEquals(0, nvme.admin(IDENTIFY, 0, ANSWER, 0, 1).status());
            assertEquals(READY, nvme.read(CSTS, 4));
        }
    }

    @EveryKernel
    void theVfioResetDisablesIt(KernelUnderTest kernel) {
        try (NvmeUnderTest nvme = new NvmeUnderTest(kernel)) {
            nvme.startWithQueues();
            nvme.write(INTMS, 4, 1);
            ok(nvme.ioctl(VfioUnderTest.RESET));
            assertEquals(0, nvme.read(CSTS, 4));
            assertEquals(0, nvme.read(CC, 4));
            assertEquals(0, nvme.read(INTMS, 4));
            nvme.startWithQueues();
            assertEquals(0, nvme.transfer(READ, 0, 1, DATA, 0));
        }
    }

    @EveryKernel
    void aFunctionLevelResetByTheUserDisablesIt(KernelUnderTest kernel) {
        try (NvmeUnderTest nvme = new NvmeUnderTest(kernel)) {
            nvme.startWithQueues();
            long control = nvme.read(VfioUnderTest.CONFIG + 0x88, 2);
            ok(nvme.write(VfioUnderTest.CONFIG + 0x88, 2, control | 0x8000));
            assertEquals(control, nvme.read(VfioUnderTest.CONFIG + 0x88, 2), "the bit reads as zero");
            assertEquals(0, nvme.read(CSTS, 4));
            nvme.start();
        }
    }
}
