// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract;

import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import org.junit.jupiter.api.Timeout;

import static dev.alcove.contract.Checks.fails;
import static dev.alcove.contract.Checks.ok;
import static dev.alcove.contract.EduUnderTest.CONFIG;
import static org.junit.jupiter.api.Assertions.assertEquals;

/** The configuration space that vfio-pci shows, and what it keeps to itself; the device is QEMU's edu. */
@Surface("VFIO config space")
@Timeout(60)
final class VfioConfigContractTest {
    private static final int MSI = 0x40;

    @EveryKernel
    void theHeaderIsThatOfTheDevice(KernelUnderTest kernel) {
        try (EduUnderTest edu = new EduUnderTest(kernel)) {
            ok(edu.bind());
            assertEquals(0x11e81234L, edu.read(CONFIG, 4));
            assertEquals(0x0010, edu.read(CONFIG + 6, 2), "status: a list of capabilities");
            assertEquals(0x00ff0010L, edu.read(CONFIG + 8, 4), "class and revision");
            assertEquals(0x11001af4L, edu.read(CONFIG + 0x2c, 4), "subsystem");
            assertEquals(MSI, edu.read(CONFIG + 0x34, 1));
            assertEquals(1, edu.read(CONFIG + 0x3d, 1), "INTA");
            assertEquals(0x00800005L, edu.read(CONFIG + MSI, 4), "MSI with 64 bits, one message, the last capability");
            assertEquals(2, edu.read(CONFIG + 4, 2) & 6, "decodes memory, is no master");
        }
    }

    @EveryKernel
    void whatIsFixedStaysAsItIs(KernelUnderTest kernel) {
        try (EduUnderTest edu = new EduUnderTest(kernel)) {
            ok(edu.bind());
            for (int offset : new int[] {0, 8, 0x14, 0x28, 0x2c, 0x30, 0x34, 0x38}) {
                long before = edu.read(CONFIG + offset, 4);
                ok(edu.write(CONFIG + offset, 4, -1));
                assertEquals(before, edu.read(CONFIG + offset, 4), "offset " + offset);
            }
            ok(edu.write(CONFIG + 0x3d, 3, 0));
            assertEquals(1, edu.read(CONFIG + 0x3d, 3), "interrupt pin");
        }
    }

    @EveryKernel
    void anAccessMayCrossWords(KernelUnderTest kernel) {
        try (EduUnderTest edu = new EduUnderTest(kernel)) {
            ok(edu.bind());
            assertEquals(0x11e812L, edu.read(CONFIG + 1, 3));
            ok(edu.write(CONFIG + 0x0b, 3, 0x5aff));
            assertEquals(0x5aL, edu.read(CONFIG + 0x0c, 1), "cache line size");
            ok(edu.write(CONFIG + 0x0c, 1, 0));
            fails(Errno.EFAULT, edu.read(CONFIG + 253, 4));
            fails(Errno.EFAULT, edu.write(CONFIG + 256, 1, 0));
        }
    }

    @EveryKernel
    void theInterruptLineAndTheMessageRegistersAreTheUsers(KernelUnderTest kernel) {
        try (EduUnderTest edu = new EduUnderTest(kernel)) {
            ok(edu.bind());
            ok(edu.write(CONFIG + 0x3c, 1, 0x5a));
            assertEquals(0x5a, edu.read(CONFIG + 0x3c, 1));
            ok(edu.write(CONFIG + MSI + 4, 8, 0xdead_beef_1234_5677L));
            assertEquals(0xdead_beef_1234_5677L, edu.read(CONFIG + MSI + 4, 8));
            ok(edu.write(CONFIG + MSI + 12, 2, -1));
            assertEquals(0xffff, edu.read(CONFIG + MSI + 12, 2));
        }
    }

    @EveryKernel
    void messagesAreNotSwitchedOnByWriting(KernelUnderTest kernel) {
        try (EduUnderTest edu = new EduUnderTest(kernel)) {
            ok(edu.bind());
            ok(edu.write(CONFIG + MSI + 2, 2, 0xffff));
            assertEquals(0x8e, edu.read(CONFIG + MSI + 2, 2), "neither on, nor more messages than one");
            ok(edu.write(CONFIG + MSI + 2, 1, 0));
            assertEquals(0, edu.read(CONFIG + MSI + 2, 2));
        }
    }

    @EveryKernel
    void theUsersInterruptDisableBitIsNotTheDevices(KernelUnderTest kernel) {
        try (EduUnderTest edu = new EduUnderTest(kernel)) {
            ok(edu.bind());
            ok(edu.write(CONFIG + 4, 2, 0xffff));
            assertEquals(0x507, edu.read(CONFIG + 4, 2), "I/O, memory, master, SERR, interrupt disable");
            ok(edu.write(CONFIG + 5, 1, 0));
            assertEquals(0x7, edu.read(CONFIG + 4, 2));
        }
    }

    @EveryKernel
    void theRestIsPassedThroughAndKept(KernelUnderTest kernel) {
        long line;
        try (EduUnderTest edu = new EduUnderTest(kernel)) {
            ok(edu.bind());
            line = edu.read(CONFIG + 0x3c, 1);
            ok(edu.write(CONFIG + 0x80, 4, 0x12345678));
            ok(edu.write(CONFIG + 0x3c, 1, line ^ 0x77));
            ok(edu.write(CONFIG + 0x0c, 1, 0x5a));
        }
        try (EduUnderTest edu = new EduUnderTest(kernel)) {
            ok(edu.bind());
            assertEquals(0x12345678, edu.read(CONFIG + 0x80, 4), "nothing resets the device");
            ok(edu.write(CONFIG + 0x80, 4, 0));
            assertEquals(line, edu.read(CONFIG + 0x3c, 1), "the header is as it was before the device was opened");
            assertEquals(0, edu.read(CONFIG + 0x0c, 1));
        }
    }

    @EveryKernel
    void nothingIsReadOfNothing(KernelUnderTest kernel) {
        try (EduUnderTest edu = new EduUnderTest(kernel)) {
            ok(edu.bind());
            assertEquals(0, edu.read(CONFIG, 0));
            assertEquals(0, edu.read(9L << 40, 0));
            fails(Errno.EINVAL, edu.read(9L << 40, 4));
            fails(Errno.EINVAL, edu.read(-1, 4));
            fails(Errno.ESPIPE, edu.sys.lseek(edu.device, 0, Linux.SEEK_SET));
        }
    }
}
