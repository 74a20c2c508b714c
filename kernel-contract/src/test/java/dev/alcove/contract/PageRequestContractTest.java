// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract;

import dev.alcove.bindings.iommufd.iommu_hwpt_pgfault;
import dev.alcove.contract.IommufdClient.FaultQueue;
import dev.alcove.contract.MockIommuClient.Device;
import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import java.lang.foreign.MemorySegment;

import static dev.alcove.contract.Checks.fails;
import static dev.alcove.contract.Checks.ok;
import static dev.alcove.contract.MockIommuClient.FAULT_ID_VALID;
import static dev.alcove.contract.MockIommuClient.HAS_PASIDS;
import static dev.alcove.contract.MockIommuClient.NESTED;
import static dev.alcove.contract.MockIommuClient.NEST_PARENT;
import static dev.alcove.contract.MockIommuClient.PASID;
import static org.junit.jupiter.api.Assertions.assertEquals;

/** Page requests of mock devices: delivery, cookies, responses, and what becomes of those that nobody answered. */
@Surface("domains")
final class PageRequestContractTest {
    private static final int SIZE = 40;

    /** A device, and a page table with a fault queue that it can be put on. */
    private record Setup(MockIommuClient mock, long ioas, Device device, FaultQueue queue, long hwpt) {
        static Setup of(MockIommuClient mock, int deviceFlags) {
            long ioas = ok(mock.iommufd.ioas());
            Device device = mock.device(deviceFlags, ioas);
            FaultQueue queue = mock.iommufd.faultQueue();
            return new Setup(mock, ioas, device, queue, ok(mock.iommufd.hwpt(FAULT_ID_VALID, device.id(), ioas, queue.id())));
        }

        static Setup attached(MockIommuClient mock) {
            Setup setup = of(mock, 0);
            ok(mock.replace(setup.device, setup.hwpt));
            return setup;
        }
    }

    private static long respond(KernelUnderTest kernel, Setup setup, int... cookiesAndCodes) {
        return kernel.sys().write(setup.queue.fd(), responses(setup, cookiesAndCodes));
    }

    private static MemorySegment responses(Setup setup, int... words) {
        MemorySegment buffer = setup.mock.iommufd.struct(4L * words.length);
        MemorySegment.copy(MemorySegment.ofArray(words), 0, buffer, 0, buffer.byteSize());
        return buffer;
    }

    @EveryKernel
    void aRequestTellsWhoWantsWhat(KernelUnderTest kernel) {
        try (MockIommuClient mock = new MockIommuClient(kernel)) {
            Setup setup = Setup.attached(mock);
            ok(mock.requestPage(setup.device, 0, 5));
            MemorySegment buffer = mock.iommufd.struct(SIZE);
            assertEquals(SIZE, kernel.sys().read(setup.queue.fd(), buffer));
            assertEquals(2, iommu_hwpt_pgfault.flags(buffer));
            assertEquals(setup.device.id(), iommu_hwpt_pgfault.dev_id(buffer));
            assertEquals(0, iommu_hwpt_pgfault.pasid(buffer));
            assertEquals(5, iommu_hwpt_pgfault.grpid(buffer));
            assertEquals(3, iommu_hwpt_pgfault.perm(buffer));
            assertEquals(0xdeadb000L, iommu_hwpt_pgfault.addr(buffer));
            assertEquals(0, iommu_hwpt_pgfault.length(buffer));
            assertEquals(1, iommu_hwpt_pgfault.cookie(buffer));
            assertEquals(8, respond(kernel, setup, 1, 0));
        }
    }

    @EveryKernel
    void aRequestThatIsReadTakesTheLowestFreeCookie(KernelUnderTest kernel) {
        try (MockIommuClient mock = new MockIommuClient(kernel)) {
            Setup setup = Setup.attached(mock);
            for (int i = 0; i < 4; i++) {
                ok(mock.requestPage(setup.device, 0, i));
            }
            MemorySegment buffer = mock.iommufd.struct(2 * SIZE);
            assertEquals(2 * SIZE, kernel.sys().read(setup.queue.fd(), buffer));
            assertEquals(1, iommu_hwpt_pgfault.cookie(buffer.asSlice(0, SIZE)));
            assertEquals(2, iommu_hwpt_pgfault.cookie(buffer.asSlice(SIZE, SIZE)));
            assertEquals(8, respond(kernel, setup, 1, 1));
            assertEquals(2 * SIZE, kernel.sys().read(setup.queue.fd(), buffer));
            assertEquals(1, iommu_hwpt_pgfault.cookie(buffer.asSlice(0, SIZE)));
            assertEquals(3, iommu_hwpt_pgfault.cookie(buffer.asSlice(SIZE, SIZE)));
            assertEquals(3, iommu_hwpt_pgfault.grpid(buffer.asSlice(SIZE, SIZE)));
        }
    }

    @EveryKernel
    void thereMustBeRoomForARequest(KernelUnderTest kernel) {
        try (MockIommuClient mock = new MockIommuClient(kernel)) {
            Setup setup = Setup.attached(mock);
            MemorySegment empty = mock.iommufd.struct(8).asSlice(0, 0);
            assertEquals(0, kernel.sys().read(setup.queue.fd(), empty));
            ok(mock.requestPage(setup.device, 0, 0));
            fails(Errno.EINVAL, kernel.sys().read(setup.queue.fd(), empty));
            fails(Errno.ESPIPE, kernel.sys().read(setup.queue.fd(), mock.iommufd.struct(SIZE - 1)));
        }
    }

    @EveryKernel
    void responsesEndAtTheFirstThatIsNone(KernelUnderTest kernel) {
        try (MockIommuClient mock = new MockIommuClient(kernel)) {
            Setup setup = Setup.attached(mock);
            for (int i = 0; i < 3; i++) {
                ok(mock.requestPage(setup.device, 0, i));
            }
            assertEquals(3 * SIZE, kernel.sys().read(setup.queue.fd(), mock.iommufd.struct(3 * SIZE)));
            fails(Errno.EINVAL, respond(kernel, setup, 1, 2));
            fails(Errno.EINVAL, respond(kernel, setup, 9, 0));
            fails(Errno.ESPIPE, kernel.sys().write(setup.queue.fd(), responses(setup, 1, 0, 2)));
            assertEquals(8, respond(kernel, setup, 1, 0, 1, 0, 2, 0));
            assertEquals(16, respond(kernel, setup, 2, 1, 3, 0));
            fails(Errno.EINVAL, respond(kernel, setup, 3, 0));
        }
    }

    @EveryKernel
    void aRequestThatIsNotReadHasNoCookieYet(KernelUnderTest kernel) {
        try (MockIommuClient mock = new MockIommuClient(kernel)) {
            Setup setup = Setup.attached(mock);
            ok(mock.requestPage(setup.device, 0, 0));
            fails(Errno.EINVAL, respond(kernel, setup, 1, 0));
        }
    }

    @EveryKernel
    void theFileIsReadableUntilAllRequestsAreRead(KernelUnderTest kernel) {
        try (MockIommuClient mock = new MockIommuClient(kernel)) {
            Setup setup = Setup.attached(mock);
            assertEquals(Linux.POLLOUT, mock.poll(setup.queue.fd()));
            ok(mock.requestPage(setup.device, 0, 0));
            ok(mock.requestPage(setup.device, 0, 1));
            assertEquals(Linux.POLLOUT | Linux.POLLIN, mock.poll(setup.queue.fd()));
            kernel.sys().read(setup.queue.fd(), mock.iommufd.struct(SIZE));
            assertEquals(Linux.POLLOUT | Linux.POLLIN, mock.poll(setup.queue.fd()));
            kernel.sys().read(setup.queue.fd(), mock.iommufd.struct(SIZE));
            assertEquals(Linux.POLLOUT, mock.poll(setup.queue.fd()));
        }
    }

    @EveryKernel
    void aDeviceThatIsElsewhereIsRefusedAtOnce(KernelUnderTest kernel) {
        try (MockIommuClient mock = new MockIommuClient(kernel)) {
            Setup setup = Setup.of(mock, 0);
            ok(mock.requestPage(setup.device, 0, 0));
            ok(mock.requestPage(setup.device, 7, 0));
            assertEquals(0, kernel.sys().read(setup.queue.fd(), mock.iommufd.struct(SIZE)));
            fails(Errno.ENOENT, mock.test(15, 0, (int) setup.ioas));
        }
    }

    @EveryKernel
    void whatADeviceAskedForIsRefusedWhenItLeaves(KernelUnderTest kernel) {
        try (MockIommuClient mock = new MockIommuClient(kernel)) {
            Setup setup = Setup.attached(mock);
            for (int i = 0; i < 2; i++) {
                ok(mock.requestPage(setup.device, 0, i));
            }
            assertEquals(SIZE, kernel.sys().read(setup.queue.fd(), mock.iommufd.struct(SIZE)));
            ok(mock.replace(setup.device, setup.ioas));
            fails(Errno.EINVAL, respond(kernel, setup, 1, 0));
            assertEquals(0, kernel.sys().read(setup.queue.fd(), mock.iommufd.struct(SIZE)));
            assertEquals(Linux.POLLOUT, mock.poll(setup.queue.fd()));
        }
    }

    @EveryKernel
    void whatADeviceAskedForIsRefusedWhenItGoes(KernelUnderTest kernel) {
        try (MockIommuClient mock = new MockIommuClient(kernel)) {
            Setup setup = Setup.attached(mock);
            ok(mock.requestPage(setup.device, 0, 0));
            ok(mock.iommufd.destroy(setup.device.object()));
            assertEquals(0, kernel.sys().read(setup.queue.fd(), mock.iommufd.struct(SIZE)));
        }
    }

    @EveryKernel
    void whatOthersAskedForStays(KernelUnderTest kernel) {
        try (MockIommuClient mock = new MockIommuClient(kernel)) {
            Setup setup = Setup.attached(mock);
            Device other = mock.device(0, setup.hwpt);
            ok(mock.requestPage(setup.device, 0, 1));
            ok(mock.requestPage(other, 0, 2));
            ok(mock.replace(setup.device, setup.ioas));
            MemorySegment buffer = mock.iommufd.struct(2 * SIZE);
            assertEquals(SIZE, kernel.sys().read(setup.queue.fd(), buffer));
            assertEquals(other.id(), iommu_hwpt_pgfault.dev_id(buffer));
            assertEquals(8, respond(kernel, setup, 1, 0));
        }
    }

    @EveryKernel
    void aQueueIsBusyUntilPageTablesAndFileAreGone(KernelUnderTest kernel) {
        try (MockIommuClient mock = new MockIommuClient(kernel)) {
            Setup setup = Setup.attached(mock);
            ok(mock.requestPage(setup.device, 0, 0));
            mock.iommufd.closeFile(setup.queue.fd());
            fails(Errno.EBUSY, mock.iommufd.destroy(setup.queue.id()));
            ok(mock.requestPage(setup.device, 0, 1));
            ok(mock.replace(setup.device, setup.ioas));
            fails(Errno.EBUSY, mock.iommufd.destroy(setup.queue.id()));
            ok(mock.iommufd.destroy(setup.hwpt));
            ok(mock.iommufd.destroy(setup.queue.id()));
        }
    }

    @EveryKernel
    void pendingRequestsGoWithTheContext(KernelUnderTest kernel) {
        try (MockIommuClient mock = new MockIommuClient(kernel)) {
            Setup setup = Setup.attached(mock);
            ok(mock.requestPage(setup.device, 0, 0));
            ok(mock.requestPage(setup.device, 0, 1));
            kernel.sys().read(setup.queue.fd(), mock.iommufd.struct(SIZE));
        }
    }

    @EveryKernel
    void aRequestWithAnUnknownPasidIsForTheGuestThatHasTheFirstStage(KernelUnderTest kernel) {
        try (MockIommuClient mock = new MockIommuClient(kernel)) {
            Setup setup = Setup.of(mock, HAS_PASIDS);
            long parent = ok(mock.iommufd.hwpt(NEST_PARENT, setup.device.id(), setup.ioas));
            ok(mock.replace(setup.device, setup.hwpt));
            ok(mock.requestPage(setup.device, 7, 0));
            MemorySegment buffer = mock.iommufd.struct(SIZE);
            assertEquals(0, kernel.sys().read(setup.queue.fd(), buffer));
            long nested = ok(mock.nested(FAULT_ID_VALID, setup.device, parent, setup.queue.id(), NESTED, 8));
            ok(mock.replace(setup.device, nested));
            ok(mock.requestPage(setup.device, 7, 0));
            assertEquals(SIZE, kernel.sys().read(setup.queue.fd(), buffer));
            assertEquals(3, iommu_hwpt_pgfault.flags(buffer));
            assertEquals(7, iommu_hwpt_pgfault.pasid(buffer));
        }
    }

    @EveryKernel
    void aRequestWithAPasidIsForItsPageTable(KernelUnderTest kernel) {
        try (MockIommuClient mock = new MockIommuClient(kernel)) {
            Setup setup = Setup.of(mock, HAS_PASIDS);
            int flags = FAULT_ID_VALID | PASID;
            long faulting = ok(mock.iommufd.hwpt(flags, setup.device.id(), setup.ioas, setup.queue.id()));
            long silent = ok(mock.iommufd.hwpt(PASID, setup.device.id(), setup.ioas));
            ok(mock.replace(setup.device, silent));
            ok(mock.attachPasid(setup.device, 7, faulting));
            ok(mock.requestPage(setup.device, 0, 0));
            ok(mock.requestPage(setup.device, 8, 0));
            ok(mock.requestPage(setup.device, 7, 1));
            MemorySegment buffer = mock.iommufd.struct(2 * SIZE);
            assertEquals(SIZE, kernel.sys().read(setup.queue.fd(), buffer));
            assertEquals(7, iommu_hwpt_pgfault.pasid(buffer));
            ok(mock.replacePasid(setup.device, 7, silent));
            fails(Errno.EINVAL, respond(kernel, setup, 1, 0));
            ok(mock.detachPasid(setup.device, 7));
        }
    }
}
