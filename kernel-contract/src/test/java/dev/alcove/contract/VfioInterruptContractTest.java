// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract;

import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import org.junit.jupiter.api.Timeout;

import static dev.alcove.contract.Checks.fails;
import static dev.alcove.contract.Checks.fd;
import static dev.alcove.contract.Checks.ok;
import static dev.alcove.contract.EduUnderTest.CONFIG;
import static org.junit.jupiter.api.Assertions.assertEquals;

/** VFIO_DEVICE_SET_IRQS, row by row, and eventfds that act on the device; the device is QEMU's edu. */
@Surface("VFIO interrupts")
@Timeout(60)
final class VfioInterruptContractTest {
    private static final int PIN = 0;
    private static final int MSI = 1;
    private static final int REQUEST = 4;
    private static final int NONE = 1;
    private static final int BOOL = 2;
    private static final int EVENTFD = 4;
    private static final int MASK = 8;
    private static final int UNMASK = 0x10;
    private static final int TRIGGER = 0x20;
    private static final int IOEVENTFD = 0x3b74;

    /** A device that is enabled, with no interrupt pending, and two eventfds. */
    private static final class Bound implements AutoCloseable {
        final EduUnderTest edu;
        final int first;
        final int second;

        Bound(KernelUnderTest kernel) {
            this.edu = new EduUnderTest(kernel);
            ok(edu.bind());
            edu.enable();
            edu.write(0x64, 4, -1);
            this.first = fd(edu.sys.eventfd(0, Linux.EFD_NONBLOCK));
            this.second = fd(edu.sys.eventfd(0, Linux.EFD_NONBLOCK));
        }

        int set(int flags, int index, int count, int data) {
            return edu.ioctl(EduUnderTest.SET_IRQS, 24, flags, index, 0, count, data);
        }

        int ioeventfd(int width, long offset, long value, int event) {
            MemorySegment call = edu.words(32, width, 0, 0, 0, 0, event, 0);
            call.set(ValueLayout.JAVA_LONG, 8, offset);
            call.set(ValueLayout.JAVA_LONG, 16, value);
            return edu.sys.ioctl(edu.device, IOEVENTFD, call);
        }

        void raise() {
            edu.write(0x60, 4, 1);
        }

        void acknowledge() {
            edu.write(0x64, 4, -1);
        }

        void signal(int event) {
            try (Arena arena = Arena.ofConfined()) {
                assertEquals(8, edu.sys.write(event, arena.allocateFrom(ValueLayout.JAVA_LONG, 1)));
            }
        }

        long read(int event) {
            try (Arena arena = Arena.ofConfined()) {
                MemorySegment value = arena.allocate(8, 8);
                long answer = edu.sys.read(event, value);
                return answer < 0 ? answer : value.get(ValueLayout.JAVA_LONG, 0);
            }
        }

        long await(int event) {
            try (Arena arena = Arena.ofConfined()) {
                MemorySegment poll = arena.allocate(8, 8);
                poll.set(ValueLayout.JAVA_INT, 0, event);
                poll.set(ValueLayout.JAVA_SHORT, 4, (short) Linux.POLLIN);
                assertEquals(1, edu.sys.poll(poll, 10_000), "the eventfd is signalled");
                return read(event);
            }
        }

        @Override
        public void close() {
            acknowledge();
            edu.sys.close(first);
            edu.sys.close(second);
            edu.close();
        }
    }

    @EveryKernel
    void countsOfNothing(KernelUnderTest kernel) {
        try (Bound it = new Bound(kernel)) {
            fails(Errno.ERANGE, it.set(TRIGGER | EVENTFD, MSI, 0, 0));
            fails(Errno.EINVAL, it.set(TRIGGER | EVENTFD, PIN, 0, 0));
            fails(Errno.EINVAL, it.set(TRIGGER | EVENTFD, REQUEST, 0, 0));
            fails(Errno.EINVAL, it.set(TRIGGER | NONE, MSI, 0, 0));
            fails(Errno.EINVAL, it.set(TRIGGER | NONE, REQUEST, 0, 0));
            fails(Errno.ENOTTY, it.set(BOOL, MSI, 0, 0));
            ok(it.set(TRIGGER | EVENTFD, MSI, 1, it.first));
            ok(it.set(TRIGGER | EVENTFD, MSI, 0, 0));
            ok(it.set(TRIGGER | BOOL, MSI, 0, 0));
        }
    }

    @EveryKernel
    void actionsThatAreNotThere(KernelUnderTest kernel) {
        try (Bound it = new Bound(kernel)) {
            fails(Errno.ENOTTY, it.set(MASK | NONE, MSI, 1, 0));
            fails(Errno.ENOTTY, it.set(UNMASK | NONE, REQUEST, 1, 0));
            fails(Errno.ENOTTY, it.set(NONE, PIN, 1, 0));
            fails(Errno.ENOTTY, it.set(MASK | TRIGGER | NONE, PIN, 1, 0));
            fails(Errno.EINVAL, it.set(TRIGGER | NONE | BOOL, PIN, 1, 0));
            fails(Errno.EINVAL, it.set(TRIGGER | NONE, 2, 1, 0));
            fails(Errno.EINVAL, it.set(TRIGGER | NONE, 5, 1, 0));
            fails(Errno.EINVAL, it.set(MASK | NONE, PIN, 1, 0));
            ok(it.set(TRIGGER | EVENTFD, PIN, 1, it.first));
            fails(Errno.ENOTTY, it.set(MASK | EVENTFD, PIN, 1, it.first));
            fails(Errno.EINVAL, it.set(TRIGGER | EVENTFD, MSI, 1, it.first));
        }
    }

    @EveryKernel
    void theRequestOfTheDeviceBack(KernelUnderTest kernel) {
        try (Bound it = new Bound(kernel)) {
            fails(Errno.EINVAL, it.set(TRIGGER | NONE, REQUEST, 1, 0));
            ok(it.set(TRIGGER | BOOL, REQUEST, 1, 1));
            fails(Errno.EINVAL, it.set(TRIGGER | EVENTFD, REQUEST, 1, -2));
            ok(it.set(TRIGGER | EVENTFD, REQUEST, 1, it.first));
            ok(it.set(TRIGGER | NONE, REQUEST, 1, 0));
            ok(it.set(TRIGGER | BOOL, REQUEST, 1, 1));
            assertEquals(2, it.read(it.first));
            ok(it.set(TRIGGER | NONE, REQUEST, 0, 0));
            fails(Errno.EINVAL, it.set(TRIGGER | NONE, REQUEST, 0, 0));
        }
    }

    @EveryKernel
    void theUsersDisableBitKeepsThePinQuiet(KernelUnderTest kernel) {
        try (Bound it = new Bound(kernel)) {
            ok(it.set(TRIGGER | EVENTFD, PIN, 1, it.first));
            ok(it.edu.write(CONFIG + 4, 2, 0x406));
            it.raise();
            assertEquals(8, it.edu.read(CONFIG + 6, 2) & 8, "pending all the same");
            ok(it.set(UNMASK | NONE, PIN, 1, 0));
            ok(it.set(TRIGGER | NONE, PIN, 1, 0));
            fails(Errno.EAGAIN, it.read(it.first));
            ok(it.edu.write(CONFIG + 4, 2, 6));
            assertEquals(1, it.await(it.first));
        }
    }

    @EveryKernel
    void anEventfdUnmasksThePin(KernelUnderTest kernel) {
        try (Bound it = new Bound(kernel)) {
            ok(it.set(TRIGGER | EVENTFD, PIN, 1, it.first));
            fails(Errno.EBADF, it.set(UNMASK | EVENTFD, PIN, 1, 9999));
            fails(Errno.EINVAL, it.set(UNMASK | EVENTFD, PIN, 1, it.edu.iommu));
            ok(it.set(UNMASK | EVENTFD, PIN, 1, it.second));
            fails(Errno.EBUSY, it.set(UNMASK | EVENTFD, PIN, 1, it.second));
            it.raise();
            assertEquals(1, it.await(it.first));
            it.signal(it.second);
            assertEquals(1, it.await(it.first), "still asserted");
            fails(Errno.EAGAIN, it.read(it.second));
            it.acknowledge();
            it.signal(it.second);
            it.raise();
            assertEquals(1, it.await(it.first));
            ok(it.set(UNMASK | EVENTFD, PIN, 1, -1));
            it.signal(it.second);
            assertEquals(1, it.read(it.second), "nobody takes it any more");
        }
    }

    @EveryKernel
    void anEventfdThatIsClosedUnmasksNothing(KernelUnderTest kernel) {
        try (Bound it = new Bound(kernel)) {
            ok(it.set(TRIGGER | EVENTFD, PIN, 1, it.first));
            int third = fd(it.edu.sys.eventfd(0, Linux.EFD_NONBLOCK));
            ok(it.set(UNMASK | EVENTFD, PIN, 1, third));
            ok(it.edu.sys.close(third));
            ok(it.set(UNMASK | EVENTFD, PIN, 1, it.second));
        }
    }

    @EveryKernel
    void aTriggerThatCannotBeReplacedIsGone(KernelUnderTest kernel) {
        try (Bound it = new Bound(kernel)) {
            ok(it.set(TRIGGER | EVENTFD, MSI, 1, it.first));
            fails(Errno.EINVAL, it.set(TRIGGER | EVENTFD, MSI, 1, it.edu.iommu));
            ok(it.set(TRIGGER | NONE, MSI, 1, 0));
            fails(Errno.EAGAIN, it.read(it.first));
        }
    }

    @EveryKernel
    void aUserOfMessagesSwitchesThemOffAndOn(KernelUnderTest kernel) {
        try (Bound it = new Bound(kernel)) {
            ok(it.set(TRIGGER | EVENTFD, MSI, 1, it.first));
            assertEquals(0x80, it.edu.read(CONFIG + 0x42, 2), "what the user sees does not change by itself");
            ok(it.edu.write(CONFIG + 0x42, 2, 0x80));
            it.raise();
            assertEquals(0x18, it.edu.read(CONFIG + 6, 2), "the device uses its pin");
            ok(it.edu.write(CONFIG + 0x42, 2, 0x81));
            assertEquals(0x10, it.edu.read(CONFIG + 6, 2), "and leaves it");
            it.raise();
            assertEquals(1, it.await(it.first));
        }
    }

    @EveryKernel
    void messagesNeedAMaster(KernelUnderTest kernel) {
        try (Bound it = new Bound(kernel)) {
            ok(it.set(TRIGGER | EVENTFD, MSI, 1, it.first));
            ok(it.edu.write(CONFIG + 4, 2, 2));
            it.raise();
            ok(it.edu.write(CONFIG + 4, 2, 6));
            it.raise();
            assertEquals(1, it.await(it.first));
        }
    }

    @EveryKernel
    void anEventfdWritesARegister(KernelUnderTest kernel) {
        try (Bound it = new Bound(kernel)) {
            ok(it.ioeventfd(4, 4, 0x55, it.first));
            fails(Errno.EEXIST, it.ioeventfd(4, 4, 0x55, it.second));
            fails(Errno.ENODEV, it.ioeventfd(4, 4, 0x56, -1));
            it.edu.write(4, 4, 0);
            it.signal(it.first);
            assertEquals(0xffffffaaL, it.edu.read(4, 4));
            fails(Errno.EAGAIN, it.read(it.first));
            ok(it.edu.write(CONFIG + 4, 2, 0));
            it.signal(it.first);
            fails(Errno.EAGAIN, it.read(it.first));
            it.edu.enable();
            ok(it.ioeventfd(4, 4, 0x55, -1));
            fails(Errno.ENODEV, it.ioeventfd(4, 4, 0x55, -1));
            it.edu.write(4, 4, 0);
            it.signal(it.first);
            assertEquals(0xffffffffL, it.edu.read(4, 4));
            assertEquals(1, it.read(it.first));
        }
    }

    @EveryKernel
    void eventfdsWriteNoOtherRegions(KernelUnderTest kernel) {
        try (Bound it = new Bound(kernel)) {
            fails(Errno.EINVAL, it.ioeventfd(0, 4, 0, it.first));
            fails(Errno.EINVAL, it.ioeventfd(3, 4, 0, it.first));
            if (KvmMachine.before(kernel.sys(), 6, 14)) {
                ok(it.ioeventfd(8, 8, 0, it.first));
            } else {
                fails(Errno.EINVAL, it.ioeventfd(8, 8, 0, it.first));
            }
            fails(Errno.EINVAL, it.ioeventfd(16, 8, 0, it.first));
            fails(Errno.EINVAL, it.ioeventfd(4, 1 << 20, 0, it.first));
            fails(Errno.EINVAL, it.ioeventfd(4, 1L << 40, 0, it.first));
            fails(Errno.EINVAL, it.ioeventfd(4, CONFIG, 0, it.first));
            fails(Errno.EINVAL, it.ioeventfd(4, 4, 0, -2));
            fails(Errno.EINVAL, it.ioeventfd(4, 4, 0, it.edu.iommu));
            fails(Errno.EBADF, it.ioeventfd(4, 4, 0, 9999));
        }
    }
}
