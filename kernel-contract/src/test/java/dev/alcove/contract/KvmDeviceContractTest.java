// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract;

import dev.alcove.bindings.kvm.kvm;
import dev.alcove.bindings.kvm.kvm_create_device;
import dev.alcove.bindings.kvm.kvm_device_attr;
import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import org.junit.jupiter.api.Timeout;

import static dev.alcove.contract.Checks.fails;
import static dev.alcove.contract.Checks.fd;
import static dev.alcove.contract.Checks.ok;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

/** KVM_CREATE_DEVICE and the KVM-VFIO device, which tells VFIO files of the machine. */
@Surface("kvm system")
@Timeout(60)
final class KvmDeviceContractTest {
    private static final int VFIO = 4;
    private static final int TEST = 1;
    private static final int FILE = 1;
    private static final int FILE_ADD = 1;
    private static final int FILE_DEL = 2;

    /** Made or tested: answer of the call and what it has put in for the descriptor. */
    private record Created(int answer, int fd) {}

    private static Created create(KvmMachine m, int vm, int type, int flags) {
        MemorySegment s = m.struct(kvm_create_device.sizeof());
        kvm_create_device.type(s, type);
        kvm_create_device.flags(s, flags);
        kvm_create_device.fd(s, -7);
        int answer = m.sys.ioctl(vm, (int) kvm.KVM_CREATE_DEVICE(), s);
        return new Created(answer, kvm_create_device.fd(s));
    }

    /** A machine with a KVM-VFIO device. */
    private static final class Devices implements AutoCloseable {
        final KvmMachine m;
        final int device;

        Devices(KernelUnderTest kernel) {
            m = new KvmMachine(kernel, KvmMachine.DEFAULT);
            Created created = create(m, m.fd, VFIO, 0);
            if (created.answer < 0) {
                m.close();
            }
            kernel.needs("KVM_DEV_TYPE_VFIO", created.answer);
            device = m.own(created.fd);
        }

        int attribute(long request, int group, long attribute, long address) {
            MemorySegment s = m.struct(kvm_device_attr.sizeof());
            kvm_device_attr.group(s, group);
            kvm_device_attr.attr(s, attribute);
            kvm_device_attr.addr(s, address);
            return m.sys.ioctl(device, (int) request, s);
        }

        int set(int group, long attribute, int file) {
            MemorySegment user = m.memory(1);
            user.set(ValueLayout.JAVA_INT, 0, file);
            int answer = attribute(kvm.KVM_SET_DEVICE_ATTR(), group, attribute, user.address());
            m.unmap(user);
            return answer;
        }

        int vfioFile() {
            return m.own(m.kernel.open("/dev/vfio/devices/vfio0"));
        }

        @Override
        public void close() {
            m.close();
        }
    }

    @EveryKernel
    void aDeviceIsADescriptor(KernelUnderTest kernel) {
        try (Devices d = new Devices(kernel)) {
            assertEquals(Linux.FD_CLOEXEC, d.m.sys.fcntl(d.device, Linux.F_GETFD, 0));
            assertEquals(Linux.O_RDWR, d.m.sys.fcntl(d.device, Linux.F_GETFL, 0));
        }
    }

    @EveryKernel
    void anUnknownTypeIsEnodev(KernelUnderTest kernel) {
        try (KvmMachine m = new KvmMachine(kernel, KvmMachine.DEFAULT)) {
            for (int type : new int[] {0, 1, 3, 17, 1000, -1}) {
                assertEquals(new Created(-Errno.ENODEV, -7), create(m, m.fd, type, 0), "type " + type);
                assertEquals(new Created(-Errno.ENODEV, -7), create(m, m.fd, type, TEST), "type " + type);
            }
        }
    }

    @EveryKernel
    void aTestMakesNothing(KernelUnderTest kernel) {
        try (Devices d = new Devices(kernel)) {
            assertEquals(new Created(0, -7), create(d.m, d.m.fd, VFIO, TEST));
        }
    }

    @EveryKernel
    void otherFlagsAreNotLookedAt(KernelUnderTest kernel) {
        try (Devices d = new Devices(kernel)) {
            assertEquals(new Created(0, -7), create(d.m, d.m.fd, VFIO, -1));
            d.m.close(d.device);
            Created created = create(d.m, d.m.fd, VFIO, ~TEST);
            assertEquals(0, created.answer);
            d.m.own(created.fd);
        }
    }

    @EveryKernel
    void aMachineHasOne(KernelUnderTest kernel) {
        try (Devices d = new Devices(kernel)) {
            assertEquals(-Errno.EBUSY, create(d.m, d.m.fd, VFIO, 0).answer);
            Created other = create(d.m, d.m.otherMachine(), VFIO, 0);
            assertEquals(0, other.answer);
            d.m.own(other.fd);
        }
    }

    @EveryKernel
    void aMachineCanHaveOneAgain(KernelUnderTest kernel) {
        try (Devices d = new Devices(kernel)) {
            d.m.close(d.device);
            Created created = create(d.m, d.m.fd, VFIO, 0);
            assertEquals(0, created.answer);
            d.m.own(created.fd);
        }
    }

    @EveryKernel
    void creationNeedsAPointer(KernelUnderTest kernel) {
        try (KvmMachine m = new KvmMachine(kernel, KvmMachine.DEFAULT)) {
            fails(Errno.EFAULT, m.sys.ioctl(m.fd, (int) kvm.KVM_CREATE_DEVICE(), KvmMachine.BAD_POINTER));
        }
    }

    @EveryKernel
    void theDeviceKeepsTheMachine(KernelUnderTest kernel) {
        try (Devices d = new Devices(kernel)) {
            int other = (int) ok(d.m.sys.ioctl(d.m.kvmFd, kvm.KVM_CREATE_VM(), 0L));
            Created created = create(d.m, other, VFIO, 0);
            assertEquals(0, created.answer);
            ok(d.m.sys.close(other));
            MemorySegment s = d.m.struct(kvm_device_attr.sizeof());
            kvm_device_attr.group(s, FILE);
            kvm_device_attr.attr(s, FILE_ADD);
            ok(d.m.sys.ioctl(created.fd, (int) kvm.KVM_HAS_DEVICE_ATTR(), s));
            ok(d.m.sys.close(created.fd));
        }
    }

    @EveryKernel
    void hasTwoAttributes(KernelUnderTest kernel) {
        try (Devices d = new Devices(kernel)) {
            ok(d.attribute(kvm.KVM_HAS_DEVICE_ATTR(), FILE, FILE_ADD, 0));
            ok(d.attribute(kvm.KVM_HAS_DEVICE_ATTR(), FILE, FILE_DEL, 0));
            fails(Errno.ENXIO, d.attribute(kvm.KVM_HAS_DEVICE_ATTR(), FILE, 0, 0));
            fails(Errno.ENXIO, d.attribute(kvm.KVM_HAS_DEVICE_ATTR(), FILE, 3, 0));
            fails(Errno.ENXIO, d.attribute(kvm.KVM_HAS_DEVICE_ATTR(), 0, FILE_ADD, 0));
            fails(Errno.ENXIO, d.attribute(kvm.KVM_HAS_DEVICE_ATTR(), 2, FILE_ADD, 0));
        }
    }

    @EveryKernel
    void noOtherAttributeCanBeSet(KernelUnderTest kernel) {
        try (Devices d = new Devices(kernel)) {
            fails(Errno.ENXIO, d.attribute(kvm.KVM_SET_DEVICE_ATTR(), 0, FILE_ADD, KvmMachine.BAD_POINTER));
            fails(Errno.ENXIO, d.attribute(kvm.KVM_SET_DEVICE_ATTR(), FILE, 0, KvmMachine.BAD_POINTER));
            fails(Errno.ENXIO, d.attribute(kvm.KVM_SET_DEVICE_ATTR(), FILE, 1L << 32 | FILE_ADD, 0));
        }
    }

    @EveryKernel
    void noAttributeCanBeRead(KernelUnderTest kernel) {
        try (Devices d = new Devices(kernel)) {
            fails(Errno.EPERM, d.attribute(kvm.KVM_GET_DEVICE_ATTR(), FILE, FILE_ADD, 0));
            fails(Errno.EPERM, d.m.sys.ioctl(d.device, (int) kvm.KVM_GET_DEVICE_ATTR(), KvmMachine.BAD_POINTER));
        }
    }

    @EveryKernel
    void pointersAreChecked(KernelUnderTest kernel) {
        try (Devices d = new Devices(kernel)) {
            fails(Errno.EFAULT, d.m.sys.ioctl(d.device, (int) kvm.KVM_SET_DEVICE_ATTR(), KvmMachine.BAD_POINTER));
            fails(Errno.EFAULT, d.m.sys.ioctl(d.device, (int) kvm.KVM_HAS_DEVICE_ATTR(), KvmMachine.BAD_POINTER));
            fails(Errno.EFAULT, d.attribute(kvm.KVM_SET_DEVICE_ATTR(), FILE, FILE_ADD, KvmMachine.BAD_POINTER));
            fails(Errno.EFAULT, d.attribute(kvm.KVM_SET_DEVICE_ATTR(), FILE, FILE_DEL, KvmMachine.BAD_POINTER));
        }
    }

    @EveryKernel
    void otherRequestsAreUnknown(KernelUnderTest kernel) {
        try (Devices d = new Devices(kernel)) {
            fails(Errno.ENOTTY, d.m.sys.ioctl(d.device, 0x1234, 0L));
            fails(Errno.ENOTTY, d.m.sys.ioctl(d.device, kvm.KVM_CHECK_EXTENSION(), 3L));
        }
    }

    @EveryKernel
    void aDescriptorThatIsNotOpenCannotBeAdded(KernelUnderTest kernel) {
        try (Devices d = new Devices(kernel)) {
            fails(Errno.EBADF, d.set(FILE, FILE_ADD, -1));
            fails(Errno.EBADF, d.set(FILE, FILE_DEL, 4711));
        }
    }

    @EveryKernel
    void aFileOfSomethingElseCannotBeAdded(KernelUnderTest kernel) {
        try (Devices d = new Devices(kernel)) {
            fails(Errno.EINVAL, d.set(FILE, FILE_ADD, d.m.kvmFd));
            fails(Errno.EINVAL, d.set(FILE, FILE_ADD, d.device));
            fails(Errno.EINVAL, d.set(FILE, FILE_ADD, d.m.own(fd(d.m.sys.eventfd(0, 0)))));
        }
    }

    @EveryKernel
    void aFileThatWasNotAddedCannotBeTakenOut(KernelUnderTest kernel) {
        try (Devices d = new Devices(kernel)) {
            fails(Errno.ENOENT, d.set(FILE, FILE_DEL, d.m.kvmFd));
        }
    }

    @EveryKernel
    void aVfioFileIsAddedOnce(KernelUnderTest kernel) {
        try (Devices d = new Devices(kernel)) {
            int vfio = d.vfioFile();
            ok(d.set(FILE, FILE_ADD, vfio));
            fails(Errno.EEXIST, d.set(FILE, FILE_ADD, vfio));
            int twin = d.m.own(fd(d.m.sys.dup(vfio)));
            fails(Errno.EEXIST, d.set(FILE, FILE_ADD, twin));
            ok(d.set(FILE, FILE_DEL, twin));
            fails(Errno.ENOENT, d.set(FILE, FILE_DEL, vfio));
            ok(d.set(FILE, FILE_ADD, vfio));
        }
    }

    @EveryKernel
    void twoOpenFilesOfOneVfioDeviceAreTwo(KernelUnderTest kernel) {
        try (Devices d = new Devices(kernel)) {
            int one = d.vfioFile();
            int two = d.vfioFile();
            ok(d.set(FILE, FILE_ADD, one));
            ok(d.set(FILE, FILE_ADD, two));
            ok(d.set(FILE, FILE_DEL, one));
            ok(d.set(FILE, FILE_DEL, two));
        }
    }

    @EveryKernel
    void anAddedFileStaysOpen(KernelUnderTest kernel) {
        try (Devices d = new Devices(kernel)) {
            int vfio = d.vfioFile();
            ok(d.set(FILE, FILE_ADD, vfio));
            d.m.close(vfio);
            int again = d.vfioFile();
            assertTrue(again > 0);
            fails(Errno.ENOENT, d.set(FILE, FILE_DEL, again));
        }
    }

    @EveryKernel
    void aVfioFileBindsAndWorksAfterItWasAdded(KernelUnderTest kernel) {
        try (Devices d = new Devices(kernel);
                EduUnderTest edu = new EduUnderTest(kernel)) {
            ok(d.set(FILE, FILE_ADD, edu.device));
            edu.attached();
            assertEquals(0x11e81234L, edu.read(EduUnderTest.CONFIG, 4));
            ok(d.set(FILE, FILE_DEL, edu.device));
            assertEquals(0x11e81234L, edu.read(EduUnderTest.CONFIG, 4));
        }
    }
}
