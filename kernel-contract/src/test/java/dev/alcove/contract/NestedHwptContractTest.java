// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract;

import dev.alcove.contract.MockIommuClient.Device;
import dev.alcove.contract.MockIommuClient.Invalidated;
import dev.alcove.sys.Errno;

import static dev.alcove.contract.Checks.fails;
import static dev.alcove.contract.Checks.ok;
import static dev.alcove.contract.MockIommuClient.FAULT_ID_VALID;
import static dev.alcove.contract.MockIommuClient.MOCK;
import static dev.alcove.contract.MockIommuClient.NESTED;
import static dev.alcove.contract.MockIommuClient.NEST_PARENT;
import static dev.alcove.contract.MockIommuClient.PASID;
import static org.junit.jupiter.api.Assertions.assertEquals;

/** Nested page tables and invalidations, with the mock IOMMU. */
@Surface("domains")
final class NestedHwptContractTest {
    private static final int IOTLB = 0x1234;
    private static final int CACHED = 0xbaddad;
    private static final int ALL = 1;

    private record Setup(MockIommuClient mock, long ioas, Device device, long parent) {
        static Setup of(MockIommuClient mock) {
            long ioas = ok(mock.iommufd.ioas());
            Device device = mock.device(0, ioas);
            return new Setup(mock, ioas, device, ok(mock.iommufd.hwpt(NEST_PARENT, device.id(), ioas)));
        }

        /** The entries of the IOTLB that still hold what they began with, one bit each. */
        int kept(long nested) {
            int kept = 0;
            for (int entry = 0; entry < 4; entry++) {
                kept |= mock.test(14, nested, entry, IOTLB) == 0 ? 1 << entry : 0;
            }
            return kept;
        }
    }

    @EveryKernel
    void aNestedPageTableIsCheckedFromItsDataToItsParent(KernelUnderTest kernel) {
        try (MockIommuClient mock = new MockIommuClient(kernel)) {
            Setup setup = Setup.of(mock);
            Device device = setup.device;
            fails(Errno.EINVAL, mock.nested(0, device, 99, 0, NESTED, 0));
            fails(Errno.EINVAL, mock.nested(0, device, 99, 0, 0, 8));
            fails(Errno.EINVAL, mock.nested(0, device, 99, 0, NESTED, 8));
            fails(Errno.EOPNOTSUPP, mock.nested(NEST_PARENT, device, device.hwpt(), 0, NESTED, 8));
            fails(Errno.EINVAL, mock.nested(0, device, device.hwpt(), 0, NESTED + 1, 8));
            fails(Errno.EOPNOTSUPP, mock.nested(0, device, setup.parent, 0, NESTED + 1, 1));
            fails(Errno.EINVAL, mock.nested(0, device, setup.parent, 0, NESTED, 3));
            fails(Errno.EINVAL, mock.nested(0, device, setup.parent, 0, NESTED, 9));
            fails(Errno.ENOENT, mock.nested(FAULT_ID_VALID, device, setup.parent, 99, NESTED, 8));
            fails(Errno.EOPNOTSUPP, mock.iommufd.hwpt(PASID, device.id(), setup.parent));
            long nested = ok(mock.nested(PASID, device, setup.parent, 99, NESTED, 4));
            fails(Errno.EINVAL, mock.nested(0, device, nested, 0, NESTED, 8));
        }
    }

    @EveryKernel
    void aNestedPageTableOfAVirtualIommuNeedsNothingElse(KernelUnderTest kernel) {
        try (MockIommuClient mock = new MockIommuClient(kernel)) {
            Setup setup = Setup.of(mock);
            long viommu = ok(mock.viommu(0, MOCK, setup.device.id(), setup.parent));
            fails(Errno.EOPNOTSUPP, mock.iommufd.hwpt(0, setup.device.id(), viommu));
            fails(Errno.EOPNOTSUPP, mock.nested(NEST_PARENT, setup.device, viommu, 0, NESTED, 8));
            long nested = ok(mock.nested(setup.device, viommu));
            fails(Errno.EBUSY, mock.iommufd.destroy(viommu));
            ok(mock.iommufd.destroy(nested));
            ok(mock.iommufd.destroy(viommu));
        }
    }

    @EveryKernel
    void aParentCannotHaveAFaultQueue(KernelUnderTest kernel) {
        try (MockIommuClient mock = new MockIommuClient(kernel)) {
            Setup setup = Setup.of(mock);
            long queue = mock.iommufd.faultQueue().id();
            int both = NEST_PARENT | FAULT_ID_VALID;
            fails(Errno.EOPNOTSUPP, mock.iommufd.hwpt(both, setup.device.id(), setup.ioas, queue));
        }
    }

    @EveryKernel
    void aNestedPageTableKeepsItsParentAndADeviceKeepsIt(KernelUnderTest kernel) {
        try (MockIommuClient mock = new MockIommuClient(kernel)) {
            Setup setup = Setup.of(mock);
            long nested = ok(mock.nested(setup.device, setup.parent));
            fails(Errno.EBUSY, mock.iommufd.destroy(setup.parent));
            ok(mock.replace(setup.device, nested));
            fails(Errno.EBUSY, mock.iommufd.destroy(nested));
            fails(Errno.ENOENT, mock.iommufd.destroy(setup.device.hwpt()));
            ok(mock.replace(setup.device, setup.parent));
            ok(mock.iommufd.destroy(nested));
        }
    }

    @EveryKernel
    void anInvalidationStopsAtTheFirstRequestThatIsWrong(KernelUnderTest kernel) {
        try (MockIommuClient mock = new MockIommuClient(kernel)) {
            Setup setup = Setup.of(mock);
            long nested = ok(mock.nested(setup.device, setup.parent));
            assertEquals(new Invalidated(-Errno.EOPNOTSUPP, 1), mock.invalidate(nested, MOCK, 8, 3, 0, 0, 2, 1, 0, 2));
            assertEquals(0b1110, setup.kept(nested));
            assertEquals(new Invalidated(-Errno.EINVAL, 1), mock.invalidate(nested, MOCK, 8, 3, 0, 1, 0, 4, 0, 2));
            assertEquals(0b1100, setup.kept(nested));
            assertEquals(new Invalidated(-Errno.EINVAL, 0), mock.invalidate(nested, MOCK, 8, 1, ALL, 4));
            assertEquals(new Invalidated(0, 2), mock.invalidate(nested, MOCK, 8, 2, 0, 0, ALL, 0));
            assertEquals(0, setup.kept(nested));
        }
    }

    @EveryKernel
    void requestsAreAsLongAsTheKernelKnowsThem(KernelUnderTest kernel) {
        try (MockIommuClient mock = new MockIommuClient(kernel)) {
            Setup setup = Setup.of(mock);
            long nested = ok(mock.nested(setup.device, setup.parent));
            assertEquals(new Invalidated(-Errno.EINVAL, 0), mock.invalidate(nested, MOCK, 7, 1));
            assertEquals(new Invalidated(-Errno.EINVAL, 0), mock.invalidate(nested, MOCK, 9, 1));
            assertEquals(new Invalidated(-Errno.EINVAL, 0), mock.invalidate(nested, MOCK, 0, 1));
            assertEquals(new Invalidated(-Errno.EINVAL, 0), mock.invalidate(nested, 7, 8, 1));
            assertEquals(new Invalidated(-Errno.EINVAL, 0), mock.invalidate(nested, 7, 8, 0));
            assertEquals(new Invalidated(0, 0), mock.invalidate(nested, MOCK, 8, 0));
            assertEquals(new Invalidated(0, 0), mock.invalidate(nested, MOCK, 77, 0));
            assertEquals(new Invalidated(-Errno.EINVAL, 0), mock.invalidate(setup.parent, MOCK, 8, 1));
            assertEquals(new Invalidated(-Errno.ENOENT, 0), mock.invalidate(99, MOCK, 8, 1));
            assertEquals(0b1111, setup.kept(nested));
        }
    }

    @EveryKernel
    void anInvalidationByAVirtualIommuIsForADeviceOfItsGuest(KernelUnderTest kernel) {
        try (MockIommuClient mock = new MockIommuClient(kernel)) {
            Setup setup = Setup.of(mock);
            long viommu = ok(mock.viommu(0, MOCK, setup.device.id(), setup.parent));
            assertEquals(new Invalidated(-Errno.EINVAL, 0), mock.invalidate(viommu, MOCK, 12, 1, 0, 7, 0));
            ok(mock.vdevice(viommu, setup.device.id(), 7));
            assertEquals(new Invalidated(-Errno.EINVAL, 1), mock.invalidate(viommu, MOCK, 12, 2, 0, 7, 0, 0, 8, 1));
            ok(mock.caches(setup.device, 0, 0));
            ok(mock.caches(setup.device, 1, CACHED));
            fails(Errno.EINVAL, mock.caches(setup.device, 4, CACHED));
            assertEquals(new Invalidated(-Errno.EOPNOTSUPP, 0), mock.invalidate(viommu, MOCK, 12, 1, 2, 9, 9));
            assertEquals(new Invalidated(0, 1), mock.invalidate(viommu, MOCK, 12, 1, ALL, 7, 3));
            ok(mock.caches(setup.device, 3, 0));
            assertEquals(new Invalidated(-Errno.EINVAL, 0), mock.invalidate(viommu, 7, 12, 0));
            assertEquals(new Invalidated(0, 0), mock.invalidate(viommu, MOCK, 12, 0));
        }
    }

    @EveryKernel
    void aVirtualIommuTakesLongerRequestsIfTheRestIsZero(KernelUnderTest kernel) {
        try (MockIommuClient mock = new MockIommuClient(kernel)) {
            Setup setup = Setup.of(mock);
            long viommu = ok(mock.viommu(0, MOCK, setup.device.id(), setup.parent));
            ok(mock.vdevice(viommu, setup.device.id(), 7));
            int[] two = {0, 7, 0, 0, 0, 7, 1, 0};
            assertEquals(new Invalidated(0, 2), mock.invalidate(viommu, MOCK, 16, 2, two));
            two[7] = 1;
            assertEquals(new Invalidated(-Errno.E2BIG, 0), mock.invalidate(viommu, MOCK, 16, 2, two));
            ok(mock.caches(setup.device, 1, 0));
            ok(mock.caches(setup.device, 2, CACHED));
            // A short request is one whose rest is zero: here for the device of number 7, entry 0.
            assertEquals(new Invalidated(0, 1), mock.invalidate(viommu, MOCK, 8, 1, ALL, 7));
            ok(mock.caches(setup.device, 2, 0));
        }
    }
}
