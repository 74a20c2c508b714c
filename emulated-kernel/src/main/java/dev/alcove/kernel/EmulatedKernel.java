// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel;

import dev.alcove.kernel.dmabuf.Udmabuf;
import dev.alcove.kernel.fault.FaultFiles;
import dev.alcove.kernel.fault.FaultInjection;
import dev.alcove.kernel.file.Vfs;
import dev.alcove.kernel.iommu.Iommu;
import dev.alcove.kernel.iommufd.Iommufd;
import dev.alcove.kernel.iommufd.selftest.IommufdTest;
import dev.alcove.kernel.kvm.Kvm;
import dev.alcove.kernel.mm.Allocator;
import dev.alcove.kernel.mm.PhysicalMemory;
import dev.alcove.kernel.task.Credentials;
import dev.alcove.kernel.vfio.VfioPciDriver;
import dev.alcove.sys.Syscalls;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.atomic.AtomicInteger;

/**
 * One emulated machine with its kernel. Its processes are {@link EmulatedProcess}es.
 *
 * <p>There is no lock for a system call as such: each object has its own.
 */
public final class EmulatedKernel implements AutoCloseable {
    /** Frames of a machine that is not asked for a size: 4 TiB, of which only what is touched costs anything. */
    public static final long DEFAULT_FRAMES = 1L << 30;

    private final KernelProfile profile;
    private final FaultInjection allocator;
    private final PhysicalMemory memory;
    private final Vfs vfs = new Vfs();
    private final Iommu iommu;
    private final Iommufd iommufd;
    private final VfioPciDriver vfioPci;
    private final Kvm kvm;
    private final AtomicInteger numbers = new AtomicInteger(1000);
    private final CopyOnWriteArrayList<EmulatedProcess> processes = new CopyOnWriteArrayList<>();
    /** Closed in reverse order. */
    private final Deque<Subsystem> subsystems = new ArrayDeque<>();

    /** A machine of the default size in which no allocation fails. */
    public EmulatedKernel(KernelProfile profile, Syscalls host) {
        this(profile, host, DEFAULT_FRAMES, what -> true);
    }

    /**
     * @param host where the machine's memory comes from
     * @param frames physical memory in frames of 4 KiB; it is sparse, so be generous
     */
    public EmulatedKernel(KernelProfile profile, Syscalls host, long frames, Allocator allocator) {
        this.profile = profile;
        this.allocator = new FaultInjection(allocator);
        this.memory = new PhysicalMemory(host, frames, this.allocator);
        subsystems.push(new ProcessFiles(this));
        FaultFiles.add(profile, this.allocator, vfs);
        subsystems.push(new Udmabuf(this.allocator, memory, vfs));
        this.iommu = new Iommu(memory, this.allocator);
        this.iommufd = new Iommufd(profile, this.allocator, memory, iommu, vfs);
        subsystems.push(iommufd);
        this.vfioPci = new VfioPciDriver(this, iommu);
        subsystems.push(vfioPci);
        this.kvm = new Kvm(profile, memory, this.allocator);
        iommu.observePrivateFrames(frame -> kvm.machines().stream().anyMatch(vm -> vm.holdsPrivately(frame)));
        vfs.add("/dev/kvm", kvm::open);
        List.of("/dev/kvm", "/dev/iommu", "/dev/udmabuf", "/dev/vfio").forEach(path -> vfs.claim(path, false));
    }

    /** The release that is emulated. */
    public KernelProfile profile() {
        return profile;
    }

    /** Where allocations are counted. */
    public Allocator allocator() {
        return allocator;
    }

    /** What makes allocations fail, by thread or by chance. */
    public FaultInjection faults() {
        return allocator;
    }

    /** The machine's memory. */
    public PhysicalMemory memory() {
        return memory;
    }

    /** The paths: /dev and /sys. */
    public Vfs vfs() {
        return vfs;
    }

    /** The KVM behind /dev/kvm. */
    public Kvm kvm() {
        return kvm;
    }

    /** The IOMMU that every device is behind. */
    public Iommu iommu() {
        return iommu;
    }

    /** What is open of /dev/iommu. */
    public Iommufd iommufd() {
        return iommufd;
    }

    /**
     * Makes this a kernel that is built with IOMMUFD_TEST, before any process has opened /dev/iommu: it has a mock IOMMU
     * and IOMMU_TEST_CMD. A kernel that people use is built without.
     */
    public void enableIommufdTest() {
        new IommufdTest(iommufd, iommu, memory, vfs);
    }

    /** The driver of the machine's PCI functions; plugs in new ones. */
    public VfioPciDriver vfioPci() {
        return vfioPci;
    }

    /** Starts a process of root's, with every capability. */
    public EmulatedProcess process() {
        return process(Credentials.root());
    }

    /** Starts a process. */
    public EmulatedProcess process(Credentials credentials) {
        EmulatedProcess process = new EmulatedProcess(this, credentials);
        processes.add(process);
        return process;
    }

    /** A new process or thread number. */
    int nextNumber() {
        return numbers.incrementAndGet();
    }

    void ended(EmulatedProcess process) {
        processes.remove(process);
    }

    /** What processes have left open, and what is left of processes that are gone: a line each, empty when all is well. */
    public List<String> leaks() {
        List<String> leaks = new ArrayList<>();
        int files = 0;
        int mappings = 0;
        for (EmulatedProcess process : processes) {
            files += process.openFiles();
            mappings += process.mappings();
        }
        report(leaks, files, "open files");
        report(leaks, mappings, "mappings");
        report(leaks, memory.totalPins(), "pins");
        report(leaks, memory.framesInUse(), "frames in use");
        return leaks;
    }

    private static void report(List<String> leaks, long count, String what) {
        if (count != 0) {
            leaks.add(count + " " + what);
        }
    }

    /** Ends all processes, then takes the machine down. */
    @Override
    public void close() {
        processes.forEach(EmulatedProcess::close);
        subsystems.forEach(Subsystem::close);
        memory.close();
    }
}
