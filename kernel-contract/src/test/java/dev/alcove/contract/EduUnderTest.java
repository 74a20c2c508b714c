// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract;

/** The edu device of a kernel under test. */
final class EduUnderTest extends VfioUnderTest {
    static final long BUFFER = 0x40000;

    /** Opens the device and /dev/iommu; nothing is bound yet. Skips the test where there is no such device. */
    EduUnderTest(KernelUnderTest kernel) {
        super(kernel, "/dev/vfio/devices/vfio0");
    }

    /** Runs one transfer to its end. */
    void transfer(long source, long destination, long count, boolean toRam) {
        write(0x80, 8, source);
        write(0x88, 8, destination);
        write(0x90, 8, count);
        write(0x98, 8, toRam ? 3 : 1);
        while ((read(0x98, 8) & 1) != 0) {
            Thread.onSpinWait();
        }
    }
}
