// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract;

import dev.alcove.bindings.iommufd.iommu_ioas_change_process;
import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import java.lang.foreign.MemorySegment;

import static dev.alcove.contract.Checks.fails;
import static dev.alcove.contract.Checks.ok;
import static dev.alcove.contract.IommufdClient.ALL;
import static dev.alcove.contract.IommufdClient.CHANGE_PROCESS;
import static org.junit.jupiter.api.Assertions.assertEquals;

/** IOMMU_IOAS_CHANGE_PROCESS, called by the process that has the mappings already. */
@Surface("memlock")
final class ChangeProcessContractTest {
    private static final long PAGE = Linux.PAGE_SIZE;
    private static final long MIB = 1 << 20;

    private static long change(IommufdClient it, int reserved) {
        it.needs(CHANGE_PROCESS, "IOMMU_IOAS_CHANGE_PROCESS");
        MemorySegment struct = it.struct(iommu_ioas_change_process.sizeof());
        iommu_ioas_change_process.__reserved(struct, reserved);
        return it.call(CHANGE_PROCESS, struct);
    }

    private static int memfd(KernelUnderTest kernel, IommufdClient it) {
        it.needs(CHANGE_PROCESS, "IOMMU_IOAS_CHANGE_PROCESS");
        int file = Checks.fd(kernel.sys().memfdCreate("dma", Linux.MFD_CLOEXEC));
        ok(kernel.sys().ftruncate(file, 4 * PAGE));
        return file;
    }

    @EveryKernel
    void nothingIsEasilyMoved(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            ok(change(it, 0));
            ok(it.ioas());
            it.faultQueue();
            ok(change(it, 0));
            fails(Errno.EOPNOTSUPP, change(it, 1));
        }
    }

    @EveryKernel
    void memoryOfAProcessCannotBeMoved(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            long ioas = ok(it.ioas());
            ok(it.map(ioas, ALL, it.memory(1), PAGE, MIB));
            fails(Errno.EINVAL, change(it, 0));
            ok(it.unmap(ioas, 0, -1));
            ok(change(it, 0));
        }
    }

    @EveryKernel
    void oneSuchAreaInAnyAddressSpaceIsEnough(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            long files = ok(it.ioas());
            long memory = ok(it.ioas());
            int file = memfd(kernel, it);
            ok(it.mapFile(files, ALL, file, 0, PAGE, MIB));
            ok(change(it, 0));
            ok(it.map(memory, ALL, 0, PAGE, MIB));
            fails(Errno.EINVAL, change(it, 0));
            ok(kernel.sys().close(file));
        }
    }

    @EveryKernel
    void filesMoveUnderADevice(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            int device = it.openDevice();
            ok(it.bind(device));
            long ioas = ok(it.ioas());
            ok(it.attach(device, ioas));
            int file = memfd(kernel, it);
            ok(it.mapFile(ioas, ALL, file, 0, 4 * PAGE, MIB));
            ok(it.copy(ALL, ioas, MIB, ioas, 2 * MIB, PAGE));
            ok(change(it, 0));
            ok(kernel.sys().close(file));
            assertEquals(5 * PAGE, it.unmap(ioas, 0, -1));
        }
    }
}
