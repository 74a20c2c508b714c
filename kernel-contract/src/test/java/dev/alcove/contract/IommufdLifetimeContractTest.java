// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract;

import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

import static dev.alcove.contract.Checks.fails;
import static dev.alcove.contract.Checks.ok;
import static dev.alcove.contract.IommufdClient.ALL;
import static org.junit.jupiter.api.Assertions.assertEquals;

/** VFIO_DEVICE_BIND_IOMMUFD, and what keeps what alive: in whatever order things are closed, nothing stays. */
@Surface("VFIO iommufd")
final class IommufdLifetimeContractTest {
    private static final long PAGE = Linux.PAGE_SIZE;
    private static final long MIB = 1 << 20;
    private static final int BIND = 0x3b76;

    private static MemorySegment request(IommufdClient it, int length, int flags, int file) {
        MemorySegment struct = it.struct(64).fill((byte) 0);
        struct.set(ValueLayout.JAVA_INT, 0, length);
        struct.set(ValueLayout.JAVA_INT, 4, flags);
        struct.set(ValueLayout.JAVA_INT, 8, file);
        return struct;
    }

    private static void mapped(IommufdClient it, long ioas) {
        ok(it.map(ioas, ALL, it.memory(16), 16 * PAGE, MIB));
    }

    @EveryKernel
    void theStructOfABindIsChecked(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            int device = it.openDevice();
            fails(Errno.EFAULT, kernel.sys().ioctl(device, BIND, 16L));
            fails(Errno.EINVAL, kernel.sys().ioctl(device, BIND, request(it, 15, 0, it.fd)));
            fails(Errno.EINVAL, kernel.sys().ioctl(device, BIND, request(it, 16, 0, -1)));
            fails(Errno.EINVAL, kernel.sys().ioctl(device, BIND, request(it, 16, 2, it.fd)));
            ok(kernel.sys().ioctl(device, BIND, request(it, 16, 0, it.fd)));
        }
    }

    @EveryKernel
    void theTailOfABindMustBeZero(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            int device = it.openDevice();
            MemorySegment struct = request(it, 48, 2, -1);
            struct.set(ValueLayout.JAVA_BYTE, 40, (byte) 1);
            long answer = kernel.sys().ioctl(device, BIND, struct);
            kernel.needs("a growing VFIO_DEVICE_BIND_IOMMUFD", answer == -Errno.EINVAL ? answer : 0);
            fails(Errno.E2BIG, answer);
            ok(kernel.sys().ioctl(device, BIND, request(it, 48, 0, it.fd)));
        }
    }

    @EveryKernel
    void aBindIsToAnIommufd(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            int device = it.openDevice();
            fails(Errno.EBADF, kernel.sys().ioctl(device, BIND, request(it, 16, 0, 9999)));
            fails(Errno.EBADFD, kernel.sys().ioctl(device, BIND, request(it, 16, 0, device)));
            ok(it.bind(device));
        }
    }

    @EveryKernel
    void aDeviceIsBoundOnce(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel);
                IommufdClient other = new IommufdClient(kernel)) {
            int device = it.openDevice();
            ok(it.bind(device));
            fails(Errno.EINVAL, it.bind(device));
            fails(Errno.EINVAL, other.bind(device));
            fails(Errno.EINVAL, kernel.sys().ioctl(device, BIND, request(it, 16, 0, 9999)));
            fails(Errno.EINVAL, it.bind(it.openDevice()));
        }
    }

    @EveryKernel
    void aDeviceIsAnObjectThatOnlyItsFileDestroys(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            int device = it.openDevice();
            assertEquals(1, it.bind(device));
            fails(Errno.EBUSY, it.destroy(1));
            assertEquals(2, it.ioas());
            it.closeFile(device);
            fails(Errno.ENOENT, it.destroy(1));
            assertEquals(1, it.ioas());
        }
    }

    @EveryKernel
    void anIdThatIsLostUnbinds(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            int device = it.openDevice();
            int file = Checks.fd(kernel.sys().memfdCreate("request", Linux.MFD_CLOEXEC));
            ok(kernel.sys().ftruncate(file, PAGE));
            ok(kernel.sys().pwrite(file, request(it, 16, 0, it.fd), 0));
            long page = ok(kernel.sys().mmap(0, PAGE, Linux.PROT_READ, Linux.MAP_SHARED, file, 0));
            fails(Errno.EFAULT, kernel.sys().ioctl(device, BIND, page));
            ok(kernel.sys().munmap(page, PAGE));
            ok(kernel.sys().close(file));
            assertEquals(1, it.bind(device));
        }
    }

    @EveryKernel
    void closingTheDeviceDetachesAndUnbinds(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            int device = it.openDevice();
            ok(it.bind(device));
            long ioas = ok(it.ioas());
            mapped(it, ioas);
            ok(it.attach(device, ioas));
            fails(Errno.EBUSY, it.destroy(ioas));
            it.closeFile(device);
            assertEquals(-1, it.ranges(ioas)[1], "nothing is reserved any more");
            ok(it.destroy(ioas));
            int again = it.openDevice();
            ok(it.bind(again));
        }
    }

    @EveryKernel
    void theDeviceKeepsTheContextAlive(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            int device = it.openDevice();
            ok(it.bind(device));
            long ioas = ok(it.ioas());
            mapped(it, ioas);
            ok(it.attach(device, ioas));
            it.closeContext();
            ok(it.detach(device));
            ok(it.attach(device, ioas));
            it.closeFile(device);
        }
    }

    @EveryKernel
    void theContextGoesWithItsLastDevice(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel);
                IommufdClient next = new IommufdClient(kernel)) {
            int device = it.openDevice();
            long id = ok(it.bind(device));
            long ioas = ok(it.ioas());
            mapped(it, ioas);
            ok(it.hwpt(0, id, ioas));
            it.closeContext();
            it.closeFile(device);
            ok(next.bind(next.openDevice()));
        }
    }

    @EveryKernel
    void aTableMadeByHandOutlivesItsDevice(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            int device = it.openDevice();
            long id = ok(it.bind(device));
            long ioas = ok(it.ioas());
            mapped(it, ioas);
            long hwpt = ok(it.hwpt(0, id, ioas));
            it.closeFile(device);
            ok(it.map(ioas, ALL, it.memory(1), PAGE, 4 * MIB));
            fails(Errno.EBUSY, it.destroy(ioas));
            ok(it.destroy(hwpt));
            ok(it.destroy(ioas));
        }
    }

    @EveryKernel
    void anotherContextTakesTheDeviceOver(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel);
                IommufdClient other = new IommufdClient(kernel)) {
            int device = it.openDevice();
            ok(it.bind(device));
            ok(it.attach(device, ok(it.ioas())));
            it.closeFile(device);
            int again = other.openDevice();
            ok(other.bind(again));
            ok(other.attach(again, ok(other.ioas())));
        }
    }
}
