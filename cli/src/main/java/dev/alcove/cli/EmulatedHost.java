// SPDX-License-Identifier: Apache-2.0
package dev.alcove.cli;

import dev.alcove.explore.EmulatedView;
import dev.alcove.kernel.EmulatedKernel;
import dev.alcove.kernel.EmulatedProcess;
import dev.alcove.kernel.KernelProfile;
import dev.alcove.kernel.Proposal;
import dev.alcove.kernel.iommu.DmaCounters;
import dev.alcove.kernel.iommu.FrameState;
import dev.alcove.kernel.mm.HugePages;
import dev.alcove.kernel.pci.PciAddress;
import dev.alcove.kernel.pci.nvme.FileStorage;
import dev.alcove.kernel.pci.nvme.MemoryStorage;
import dev.alcove.kernel.pci.nvme.NvmeStorage;
import dev.alcove.memory.MemoryConfig;
import dev.alcove.sys.BadInputException;
import dev.alcove.sys.HostSyscalls;
import dev.alcove.sys.RetriedSyscalls;
import dev.alcove.sys.Syscalls;
import dev.alcove.vmm.RunReport;
import dev.alcove.vmm.conversion.KernelView;
import dev.alcove.vmm.timeline.BlockedAccess;
import java.io.IOException;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/** An emulated machine with one process in it, which the VMM is. */
final class EmulatedHost implements HostKernel {
    /** Where the machine's edu device is, for {@code vfio-pci,host=0000:00:04.0}. */
    static final PciAddress EDU = new PciAddress(0, 0, 4, 0);

    /** As QEMU's has by default: it reaches 256 MiB. */
    static final int EDU_DMA_BITS = 28;

    /** Where its NVMe controller is, beside the edu device. */
    private static final PciAddress NVME = new PciAddress(0, 0, 5, 0);

    private final EmulatedKernel kernel;
    private final EmulatedProcess process;

    private EmulatedHost(EmulatedKernel kernel) {
        this.kernel = kernel;
        this.process = kernel.process();
    }

    /** As {@link #create(Optional, MemoryConfig)}, without huge pages. */
    static EmulatedHost create(Optional<DeviceRequest> wanted) {
        return create(wanted, MemoryConfig.of(0));
    }

    /**
     * Starts a machine.
     *
     * @param wanted the device that the guest is to get: an edu device is plugged in when one is asked for, and
     *     an NVMe controller beside it when that is
     * @param memory the machine has as many huge pages as that needs, and the proposal that its strategy needs
     */
    static EmulatedHost create(Optional<DeviceRequest> wanted, MemoryConfig memory) {
        return create(wanted, List.of(), memory);
    }

    /** The same, with more devices. */
    static EmulatedHost create(Optional<DeviceRequest> wanted, List<DeviceRequest> more, MemoryConfig memory) {
        KernelProfile profile = KernelProfile.linux7_2();
        if (memory.strategy() == MemoryConfig.Strategy.IN_PLACE) {
            profile = profile.with(Proposal.IN_PLACE_CONVERSION);
        }
        EmulatedKernel kernel = new EmulatedKernel(profile, new HostSyscalls());
        try {
            long hugePage = memory.backend().hugePage();
            for (HugePages pool : kernel.memory().hugePools().all()) {
                pool.resize(pool.bytes() == hugePage ? pool.count(memory.bytes()) : 0);
            }
            if (wanted.isPresent()) {
                kernel.vfioPci().addEdu(EDU, EDU_DMA_BITS);
                if (wanted.get() instanceof DeviceRequest.Nvme nvme) {
                    plugIn(kernel, nvme);
                }
            }
            for (DeviceRequest request : more) {
                if (request instanceof DeviceRequest.Nvme && !(wanted.orElse(null) instanceof DeviceRequest.Nvme)) {
                    plugIn(kernel, request);
                }
            }
            return new EmulatedHost(kernel);
        } catch (BadInputException e) {
            kernel.close();
            throw e;
        }
    }

    /**
     * Plugs a device into a machine: an edu device, or an NVMe controller.
     *
     * @throws BadInputException the file of a namespace cannot be used
     */
    static void plugIn(EmulatedKernel kernel, DeviceRequest request) {
        if (request instanceof DeviceRequest.Nvme nvme) {
            kernel.vfioPci().addNvme(NVME, storage(nvme));
        } else {
            kernel.vfioPci().addEdu(EDU, EDU_DMA_BITS);
        }
    }

    private static NvmeStorage storage(DeviceRequest.Nvme nvme) {
        if (nvme.file() == null) {
            return new MemoryStorage(nvme.size().bytes());
        }
        try {
            return FileStorage.open(Path.of(nvme.file()));
        } catch (IOException | InvalidPathException e) {
            throw new BadInputException("'" + nvme.file() + "' cannot be a namespace: " + e);
        }
    }

    @Override
    public Syscalls syscalls() {
        return process;
    }

    /** Is told of calls in which an allocation failed. */
    @FunctionalInterface
    interface Failures {
        /**
         * Told after the call.
         *
         * @param nth which allocation, from 1
         * @param what was to be allocated
         * @param answer of the call
         */
        void failed(String call, int nth, @Nullable String what, long answer);
    }

    /** The same, each call failing at each of its allocations before it gets through. */
    Syscalls failing(Failures failures) {
        RetriedSyscalls.spareNothing(process);
        return RetriedSyscalls.of(process, (call, nth, answer) ->
                failures.failed(call, nth, kernel.faults().failed(process.gettid()), answer));
    }

    @Override
    public RunReport.Kernel identity() {
        return new RunReport.Kernel("emulated", kernel.profile().release());
    }

    @Override
    public Optional<KernelView> view() {
        return Optional.of(new EmulatedView(kernel));
    }

    @Override
    public Long instructions() {
        return kernel.kvm().instructions();
    }

    @Override
    public RunReport.Dma dma() {
        DmaCounters counters = kernel.iommu().counters();
        return new RunReport.Dma(
                counters.completed(),
                counters.blocked() + kernel.vfioPci().rejectedTransfers(),
                counters.pages(FrameState.SHARED),
                counters.pages(FrameState.PRIVATE),
                counters.pages(FrameState.FREED),
                counters.pages(FrameState.HOLE));
    }

    @Override
    public List<BlockedAccess> blockedDma() {
        return kernel.iommu().faults().newest().stream()
                .map(fault -> new BlockedAccess(fault.sequence(), fault.iova(), fault.write()))
                .toList();
    }

    /** What processes have left open: a line each, empty when all is well. */
    List<String> leaks() {
        return kernel.leaks();
    }

    @Override
    public void close() {
        kernel.close();
    }
}
