// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract;

import dev.alcove.contract.MockIommuClient.Device;
import dev.alcove.sys.Errno;

import static dev.alcove.contract.Checks.fails;
import static dev.alcove.contract.Checks.ok;
import static dev.alcove.contract.MockIommuClient.HAS_PASIDS;
import static dev.alcove.contract.MockIommuClient.NESTED;
import static dev.alcove.contract.MockIommuClient.NEST_PARENT;
import static dev.alcove.contract.MockIommuClient.PASID;

/** Page tables for PASIDs, with mock devices that have 2^20 of them. */
@Surface("domains")
final class MockPasidContractTest {
    private static final int LAST = (1 << 20) - 1;

    /** A device on a page table for PASIDs, two others for them, one that is not, and a nested one that is. */
    private record Setup(long ioas, Device device, long plain, long second, long unfit, long nested) {
        static Setup of(MockIommuClient mock) {
            long ioas = ok(mock.iommufd.ioas());
            Device device = mock.device(HAS_PASIDS, ioas);
            long parent = ok(mock.iommufd.hwpt(NEST_PARENT, device.id(), ioas));
            long plain = ok(mock.iommufd.hwpt(PASID, device.id(), ioas));
            ok(mock.replace(device, plain));
            return new Setup(
                    ioas,
                    device,
                    plain,
                    ok(mock.iommufd.hwpt(PASID, device.id(), ioas)),
                    parent,
                    ok(mock.nested(PASID, device, parent, 0, NESTED, 8)));
        }
    }

    @EveryKernel
    void aPageTableMustBeMadeForPasids(KernelUnderTest kernel) {
        try (MockIommuClient mock = new MockIommuClient(kernel)) {
            Setup setup = Setup.of(mock);
            fails(Errno.EINVAL, mock.attachPasid(setup.device, 1, setup.unfit));
            fails(Errno.EINVAL, mock.attachPasid(setup.device, 1, setup.ioas));
            fails(Errno.ENOENT, mock.attachPasid(setup.device, 1, 99));
            fails(Errno.EINVAL, mock.attachPasid(setup.device, 1, setup.device.id()));
            ok(mock.isAttached(setup.device, 1, 0));
            ok(mock.attachPasid(setup.device, 1, setup.second));
            ok(mock.isAttached(setup.device, 1, setup.second));
            fails(Errno.EINVAL, mock.isAttached(setup.device, 1, setup.plain));
            fails(Errno.EINVAL, mock.isAttached(setup.device, 1, setup.ioas));
            fails(Errno.ENOENT, mock.isAttached(setup.device, 1, 99));
            ok(mock.isAttached(setup.device, 0, setup.plain));
            ok(mock.detachPasid(setup.device, 1));
        }
    }

    @EveryKernel
    void theDevicesOwnPageTableMustBeForPasidsToo(KernelUnderTest kernel) {
        try (MockIommuClient mock = new MockIommuClient(kernel)) {
            Setup setup = Setup.of(mock);
            ok(mock.replace(setup.device, setup.unfit));
            fails(Errno.EINVAL, mock.attachPasid(setup.device, 1, setup.second));
            ok(mock.replace(setup.device, setup.plain));
            ok(mock.attachPasid(setup.device, 1, setup.nested));
            fails(Errno.EINVAL, mock.replace(setup.device, setup.unfit));
            fails(Errno.EINVAL, mock.replace(setup.device, setup.ioas));
            ok(mock.replace(setup.device, setup.nested));
            ok(mock.detachPasid(setup.device, 1));
            ok(mock.replace(setup.device, setup.unfit));
        }
    }

    @EveryKernel
    void aPasidIsAttachedOnceAndReplacedWhenAttached(KernelUnderTest kernel) {
        try (MockIommuClient mock = new MockIommuClient(kernel)) {
            Setup setup = Setup.of(mock);
            ok(mock.detachPasid(setup.device, 1));
            fails(Errno.EINVAL, mock.replacePasid(setup.device, 1, setup.second));
            ok(mock.attachPasid(setup.device, 1, setup.second));
            fails(Errno.EBUSY, mock.attachPasid(setup.device, 1, setup.second));
            fails(Errno.EBUSY, mock.attachPasid(setup.device, 1, setup.nested));
            fails(Errno.EBUSY, mock.attachPasid(setup.device, 0, setup.plain));
            ok(mock.replacePasid(setup.device, 1, setup.second));
            ok(mock.replacePasid(setup.device, 1, setup.nested));
            fails(Errno.EINVAL, mock.replacePasid(setup.device, 1, setup.unfit));
            fails(Errno.EINVAL, mock.replacePasid(setup.device, 1, setup.ioas));
            ok(mock.isAttached(setup.device, 1, setup.nested));
            ok(mock.detachPasid(setup.device, 1));
        }
    }

    @EveryKernel
    void aPageTableIsBusyWhileAPasidIsOnIt(KernelUnderTest kernel) {
        try (MockIommuClient mock = new MockIommuClient(kernel)) {
            Setup setup = Setup.of(mock);
            ok(mock.attachPasid(setup.device, 1, setup.second));
            ok(mock.attachPasid(setup.device, 2, setup.second));
            ok(mock.detachPasid(setup.device, 1));
            fails(Errno.EBUSY, mock.iommufd.destroy(setup.second));
            ok(mock.detachPasid(setup.device, 2));
            ok(mock.iommufd.destroy(setup.second));
        }
    }

    @EveryKernel
    void aDeviceHasItsPasidsAndNoMore(KernelUnderTest kernel) {
        try (MockIommuClient mock = new MockIommuClient(kernel)) {
            Setup setup = Setup.of(mock);
            ok(mock.attachPasid(setup.device, LAST, setup.second));
            fails(Errno.EINVAL, mock.attachPasid(setup.device, LAST + 1, setup.second));
            fails(Errno.EINVAL, mock.attachPasid(setup.device, -1, setup.second));
            ok(mock.detachPasid(setup.device, LAST));
        }
    }

    @EveryKernel
    void aMockDeviceWithoutPasidsTakesNone(KernelUnderTest kernel) {
        try (MockIommuClient mock = new MockIommuClient(kernel)) {
            Setup setup = Setup.of(mock);
            Device none = mock.device(0, setup.plain);
            fails(Errno.EINVAL, mock.attachPasid(none, 1, setup.second));
            ok(mock.isAttached(none, 1, 0));
            ok(mock.detachPasid(none, 1));
        }
    }

    @EveryKernel
    void aReplaceThatTheDriverRefusesChangesNothing(KernelUnderTest kernel) {
        try (MockIommuClient mock = new MockIommuClient(kernel)) {
            Setup setup = Setup.of(mock);
            ok(mock.attachPasid(setup.device, 1024, setup.second));
            fails(Errno.ENOMEM, mock.replacePasid(setup.device, 1024, setup.nested));
            ok(mock.isAttached(setup.device, 1024, setup.second));
            ok(mock.replacePasid(setup.device, 1024, setup.nested));
            ok(mock.detachPasid(setup.device, 1024));
            ok(mock.attachPasid(setup.device, 1024, setup.nested));
            ok(mock.detachPasid(setup.device, 1024));
        }
    }
}
