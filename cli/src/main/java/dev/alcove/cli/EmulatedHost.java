// SPDX-License-Identifier: Apache-2.0
package dev.alcove.cli;

import dev.alcove.kernel.EmulatedKernel;
import dev.alcove.kernel.EmulatedProcess;
import dev.alcove.kernel.KernelProfile;
import dev.alcove.sys.HostSyscalls;
import dev.alcove.sys.Syscalls;
import dev.alcove.vmm.RunReport;
import dev.alcove.vmm.conversion.KernelView;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/** An emulated machine with one process in it, which the VMM is. */
final class EmulatedHost implements HostKernel {
    private final EmulatedKernel kernel;
    private final EmulatedProcess process;

    private EmulatedHost(EmulatedKernel kernel) {
        this.kernel = kernel;
        this.process = kernel.process();
    }

    /**
     * Starts a machine.
     *
     * @param wanted the device that the guest is to get: an edu device is plugged in when asked for
     */
    static EmulatedHost create(Optional<DeviceRequest> wanted) {
        return new EmulatedHost(new EmulatedKernel(KernelProfile.linux7_2(), new HostSyscalls()));
    }

    @Override
    public Syscalls syscalls() {
        return process;
    }

    @Override
    public RunReport.Kernel identity() {
        return new RunReport.Kernel("emulated", kernel.profile().release());
    }

    @Override
    public Optional<KernelView> view() {
        return Optional.empty();
    }

    @Override
    public @Nullable Long instructions() {
        return null;
    }

    @Override
    public RunReport.@Nullable Dma dma() {
        return null;
    }

    @Override
    public void close() {
        kernel.close();
    }
}
