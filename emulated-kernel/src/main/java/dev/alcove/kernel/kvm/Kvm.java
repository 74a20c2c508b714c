// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.kvm;

import dev.alcove.bindings.kvm.kvm_cpuid2;
import dev.alcove.bindings.kvm.kvm_cpuid_entry2;
import dev.alcove.kernel.KernelProfile;
import dev.alcove.kernel.mm.Allocator;
import dev.alcove.kernel.mm.Mm;
import dev.alcove.kernel.mm.PhysicalMemory;
import dev.alcove.kernel.task.Task;
import dev.alcove.kernel.task.UserMemory;
import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.atomic.AtomicLong;
import org.jspecify.annotations.Nullable;

/**
 * The KVM of one kernel: the driver behind /dev/kvm.
 *
 * <p>The public methods but {@link #open} and {@link #observe} only look; they are for reports and tests, and may be called from any thread.
 */
public final class Kvm {
    /** One tick of the time stamp counter is a nanosecond. */
    static final int TSC_KHZ = 1_000_000;

    /** First inode number of what this driver opens. */
    private static final long FIRST_INODE = 1L << 32;

    private static final int MOST_TROUBLES = 100;

    private final KernelProfile profile;
    private final PhysicalMemory memory;
    private final Allocator allocator;
    private final List<Vm> vms = new CopyOnWriteArrayList<>();
    private final AtomicLong inodes = new AtomicLong(FIRST_INODE);

    /** Instructions of machines that are gone. */
    private final AtomicLong retired = new AtomicLong();

    private final ConcurrentLinkedQueue<String> troubles = new ConcurrentLinkedQueue<>();

    private volatile @Nullable GuestSteps steps;

    private volatile int processors = Runtime.getRuntime().availableProcessors();

    /** A driver that takes guest memory from {@code memory}. */
    public Kvm(KernelProfile profile, PhysicalMemory memory, Allocator allocator) {
        this.profile = profile;
        this.memory = memory;
        this.allocator = allocator;
    }

    /** open(2) of /dev/kvm. */
    public long open(Task task, int flags) {
        return task.install(
                new KvmFile(this, (flags & (Linux.O_ACCMODE | Linux.O_NONBLOCK)) | Linux.O_LARGEFILE, nextInode()),
                (flags & Linux.O_CLOEXEC) != 0);
    }

    /** Tells somebody of the steps of every vCPU that is created from now on; without, nothing is told or spent. */
    public void observe(GuestSteps observer) {
        steps = observer;
    }

    @Nullable GuestSteps steps() {
        return steps;
    }

    /** How many processors the machine has: what KVM_CAP_NR_VCPUS answers. */
    public void setProcessors(int count) {
        processors = count;
    }

    int processors() {
        return processors;
    }

    KernelProfile profile() {
        return profile;
    }

    PhysicalMemory memory() {
        return memory;
    }

    Allocator allocator() {
        return allocator;
    }

    long nextInode() {
        return inodes.getAndIncrement();
    }

    Vm create(int type, Mm mm) {
        Vm vm = new Vm(this, type, mm);
        vms.add(vm);
        return vm;
    }

    void gone(Vm vm) {
        retired.addAndGet(vm.instructions());
        vms.remove(vm);
    }

    void trouble(String what) {
        if (troubles.size() < MOST_TROUBLES) {
            troubles.add(what);
        }
    }

    /** Writes a CPUID table back to {@code struct kvm_cpuid2}; 0 or {@code -EFAULT}. */
    static long copyCpuid(UserMemory user, long argument, MemorySegment head, CpuidTable table) {
        MemorySegment entries = UserCopy.struct(table.size() * kvm_cpuid_entry2.sizeof());
        table.write(entries);
        kvm_cpuid2.nent(head, table.size());
        boolean copied = user.copyOut(argument, head) == 0
                && (table.size() == 0 || user.copyOut(argument + kvm_cpuid2.sizeof(), entries) == 0);
        return copied ? 0 : -Errno.EFAULT;
    }

    /** Guest instructions executed by all machines, closed ones too. */
    public long instructions() {
        long sum = retired.get();
        for (Vm vm : vms) {
            sum += vm.instructions();
        }
        return sum;
    }

    /** The machines that exist. */
    public List<VmView> machines() {
        return vms.stream().map(VmView::new).toList();
    }

    /** What the emulator itself could not do, one line each, the oldest first; empty when all is well. */
    public List<String> troubles() {
        return new ArrayList<>(troubles);
    }
}
