// SPDX-License-Identifier: Apache-2.0
package dev.alcove.cli;

import dev.alcove.sys.Syscalls;
import dev.alcove.vmm.RunReport;
import dev.alcove.vmm.conversion.KernelView;
import dev.alcove.vmm.timeline.BlockedAccess;
import java.util.List;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/** A kernel to run a machine on, and what it tells about itself besides its system calls. */
interface HostKernel extends AutoCloseable {
    Syscalls syscalls();

    /** Its kind and release, for the report. */
    RunReport.Kernel identity();

    /** Its own books on private memory, where it shows them. */
    Optional<KernelView> view();

    /** Instructions that guests executed, where it counts them. */
    @Nullable Long instructions();

    /** Transfers of devices, where it counts them. */
    RunReport.@Nullable Dma dma();

    /** The newest pages of DMA that the IOMMU refused, ascending; none where it does not tell. */
    List<BlockedAccess> blockedDma();

    @Override
    void close();
}
