// SPDX-License-Identifier: Apache-2.0
package dev.alcove.cli;

import dev.alcove.bindings.kvm.kvm;
import dev.alcove.kvm.GuestMemfd;
import dev.alcove.kvm.Kvm;
import dev.alcove.kvm.Vm;
import dev.alcove.memory.MemoryConfig;
import dev.alcove.sys.AlcoveException;
import dev.alcove.sys.HostSyscalls;
import dev.alcove.sys.Linux;
import dev.alcove.sys.Syscalls;
import dev.alcove.vmm.RunReport;
import dev.alcove.vmm.conversion.KernelView;
import dev.alcove.vmm.timeline.BlockedAccess;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/** The host's own kernel. */
record LinuxKernel(Syscalls syscalls) implements HostKernel {
    private static final int UTSNAME_BYTES = 390;
    private static final int UTSNAME_FIELD = 65;

    LinuxKernel() {
        this(new HostSyscalls());
    }

    /**
     * Why this kernel cannot do a job.
     *
     * @param privateMemory whether the guest needs private memory
     * @param device what the guest needs assigned
     * @param strategy where its private pages are to be
     * @return empty when it can
     */
    Optional<String> obstacle(
            boolean privateMemory, Optional<DeviceRequest> device, MemoryConfig.Strategy strategy) {
        try (Kvm system = Kvm.open(syscalls)) {
            if (strategy == MemoryConfig.Strategy.IN_PLACE && !convertsInPlace(system)) {
                return Optional.of("its KVM does not convert guest_memfd pages in place");
            }
            if (privateMemory && !system.hasVmType(kvm.KVM_X86_SW_PROTECTED_VM())) {
                return Optional.of("its KVM offers no private memory (no VM type KVM_X86_SW_PROTECTED_VM)");
            }
            if (device.isPresent()) {
                device.get().find(syscalls);
                if (!opens("/dev/iommu") && !opens("/dev/vfio/vfio")) {
                    return Optional.of("it has neither /dev/iommu nor /dev/vfio/vfio for the device");
                }
            }
            return Optional.empty();
        } catch (AlcoveException e) {
            return Optional.of(String.valueOf(e.getMessage()));
        }
    }

    private boolean opens(String path) {
        int fd = syscalls.open(path, Linux.O_RDWR | Linux.O_CLOEXEC, 0);
        if (fd >= 0) {
            syscalls.close(fd);
        }
        return fd >= 0;
    }

    private static boolean convertsInPlace(Kvm system) {
        int type = system.hasVmType(kvm.KVM_X86_SW_PROTECTED_VM())
                ? kvm.KVM_X86_SW_PROTECTED_VM()
                : kvm.KVM_X86_DEFAULT_VM();
        try (Vm vm = system.createVm(type);
                GuestMemfd gmem = vm.createGuestMemfd(Linux.PAGE_SIZE, 0)) {
            return gmem.convertsInPlace();
        }
    }

    /** The release that uname(2) answers, or {@code unknown}. */
    static String release(Syscalls syscalls) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment name = arena.allocate(UTSNAME_BYTES);
            return syscalls.uname(name) < 0
                    ? "unknown"
                    : name.getString(2 * UTSNAME_FIELD, StandardCharsets.UTF_8); // sysname, nodename, release
        }
    }

    @Override
    public RunReport.Kernel identity() {
        return new RunReport.Kernel("linux", release(syscalls));
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

    /** Linux writes it to its log, for root. */
    @Override
    public List<BlockedAccess> blockedDma() {
        return List.of();
    }

    @Override
    public void close() {}
}
