// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.kvm;

import dev.alcove.bindings.kvm.kvm;
import dev.alcove.bindings.kvm.kvm_create_device;
import dev.alcove.bindings.kvm.kvm_create_guest_memfd;
import dev.alcove.bindings.kvm.kvm_enc_region;
import dev.alcove.bindings.kvm.kvm_ioeventfd;
import dev.alcove.bindings.kvm.kvm_irq_level;
import dev.alcove.bindings.kvm.kvm_irq_routing;
import dev.alcove.bindings.kvm.kvm_irq_routing_entry;
import dev.alcove.bindings.kvm.kvm_irqfd;
import dev.alcove.bindings.kvm.kvm_memory_attributes;
import dev.alcove.bindings.kvm.kvm_msi;
import dev.alcove.bindings.kvm.kvm_userspace_memory_region;
import dev.alcove.bindings.kvm.kvm_userspace_memory_region2;
import dev.alcove.kernel.file.OpenFile;
import dev.alcove.kernel.file.Stat;
import dev.alcove.kernel.gmem.GuestMemfd;
import dev.alcove.kernel.task.Task;
import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import java.lang.foreign.MemorySegment;

/** The descriptor of a machine: the VM ioctls. */
final class VmFile extends OpenFile {
    /** Highest address of the three pages of KVM_SET_TSS_ADDR. */
    private static final long LAST_TSS = 0xffffffffL - 3 * Linux.PAGE_SIZE + 1;

    /** KVM_MIN_ALLOC_MMU_PAGES. */
    private static final long LEAST_MMU_PAGES = 64;

    private final Vm vm;
    private final long inode;

    /** @param vm whose reference goes over to this file */
    VmFile(Vm vm, long inode) {
        super(Linux.O_RDWR);
        this.vm = vm;
        this.inode = inode;
    }

    Vm vm() {
        return vm;
    }

    @Override
    public long ioctl(Task task, int request, long argument) {
        if (task.mm() != vm.mm()) {
            return -Errno.EIO;
        }
        return switch (request) {
            case Ioctl.CHECK_EXTENSION -> Capabilities.check(vm.kvm(), vm, argument);
            case Ioctl.CREATE_VCPU -> createVcpu(task, argument);
            case Ioctl.ENABLE_CAP -> EnableCapability.serve(vm, task, argument);
            case Ioctl.SET_USER_MEMORY_REGION -> setRegion1(task, argument);
            case Ioctl.SET_USER_MEMORY_REGION2 -> setRegion2(task, argument);
            case Ioctl.CREATE_GUEST_MEMFD -> createGuestMemfd(task, argument);
            case Ioctl.SET_MEMORY_ATTRIBUTES -> setAttributes(task, argument);
            case Ioctl.GET_DIRTY_LOG -> DirtyLogs.get(vm, task, argument);
            case Ioctl.CLEAR_DIRTY_LOG -> DirtyLogs.clear(vm, task, argument);
            // There are no shadow pages to limit.
            case Ioctl.SET_NR_MMU_PAGES -> Long.compareUnsigned(argument, LEAST_MMU_PAGES) < 0 ? -Errno.EINVAL : 0;
            case Ioctl.GET_TSC_KHZ -> Kvm.TSC_KHZ;
            case Ioctl.SET_TSC_KHZ -> argument == 0 || argument == Kvm.TSC_KHZ ? 0 : -Errno.EINVAL;
            case Ioctl.SET_TSS_ADDR -> Long.compareUnsigned(argument, LAST_TSS) > 0 ? -Errno.EINVAL : 0;
            case Ioctl.SET_IDENTITY_MAP_ADDR -> setIdentityMap(task, argument);
            case Ioctl.SET_BOOT_CPU_ID -> setBootCpu(argument);
            case Ioctl.SET_GSI_ROUTING -> setRouting(task, argument);
            case Ioctl.SIGNAL_MSI -> signalMsi(task, argument);
            case Ioctl.IRQFD -> irqFd(task, argument);
            case Ioctl.GET_CLOCK -> vm.clock().get(task, argument);
            case Ioctl.SET_CLOCK -> vm.clock().set(task, argument);
            case Ioctl.IOEVENTFD -> ioEventFd(task, argument);
            case Ioctl.REGISTER_COALESCED_MMIO -> vm.coalesced().serve(task, argument, true);
            case Ioctl.UNREGISTER_COALESCED_MMIO -> vm.coalesced().serve(task, argument, false);
            case Ioctl.RESET_DIRTY_RINGS -> DirtyLogs.resetRings(vm, task);
            case Ioctl.GET_STATS_FD -> vm.statistics().open(task);
            case Ioctl.IRQ_LINE, Ioctl.IRQ_LINE_STATUS -> irqLine(task, request, argument);
            case Ioctl.CREATE_DEVICE -> createDevice(task, argument);
            case Ioctl.MEMORY_ENCRYPT_REG_REGION, Ioctl.MEMORY_ENCRYPT_UNREG_REGION -> encryptedRegion(task, argument);
            default -> -Errno.ENOTTY;
        };
    }

    private long createVcpu(Task task, long id) {
        if (id < 0 || id >= Capabilities.MOST_VCPU_IDS) {
            return -Errno.EINVAL;
        }
        vm.lock.lock();
        try {
            if (vm.vcpus().size() >= Capabilities.MOST_VCPUS) {
                return -Errno.EINVAL;
            }
            if (vm.mostVcpuIds() == 0) {
                vm.setMostVcpuIds(Capabilities.MOST_VCPU_IDS);
            }
            if (id >= vm.mostVcpuIds()) {
                return -Errno.EINVAL;
            }
            for (Vcpu other : vm.vcpus()) {
                if (other.id == id) {
                    return -Errno.EEXIST;
                }
            }
            RunPage first = vm.vcpus().isEmpty() ? null : vm.vcpus().getFirst().runPage();
            RunPage run = vm.charge("vcpu") ? RunPage.allocate(vm.memory(), first, vm.dirtyRingBytes()) : null;
            if (run == null) {
                return -Errno.ENOMEM;
            }
            if (first == null) {
                vm.coalesced().setRing(run.coalesced());
            }
            Vcpu vcpu = new Vcpu(vm, (int) id, run);
            vm.vcpus().add(vcpu);
            vm.get();
            int fd = task.install(new VcpuFile(vcpu, vm.nextInode()), true);
            if (fd < 0) {
                vm.remove(vcpu);
            }
            return fd;
        } finally {
            vm.lock.unlock();
        }
    }

    private long setRegion1(Task task, long argument) {
        MemorySegment s = UserCopy.struct(kvm_userspace_memory_region.sizeof());
        if (task.memory().copyIn(argument, s) != 0) {
            return -Errno.EFAULT;
        }
        if ((kvm_userspace_memory_region.flags(s) & ~(Memslot.LOG_DIRTY | Memslot.READONLY)) != 0) {
            return -Errno.EINVAL;
        }
        return apply(task, MemoryRegion.v1(s));
    }

    private long setRegion2(Task task, long argument) {
        MemorySegment s = UserCopy.struct(kvm_userspace_memory_region2.sizeof());
        if (task.memory().copyIn(argument, s) != 0) {
            return -Errno.EFAULT;
        }
        return apply(task, MemoryRegion.v2(s));
    }

    private long apply(Task task, MemoryRegion region) {
        vm.slotsLock.lock();
        try {
            return region.apply(task, vm);
        } finally {
            vm.slotsLock.unlock();
        }
    }

    private long createGuestMemfd(Task task, long argument) {
        MemorySegment s = UserCopy.struct(kvm_create_guest_memfd.sizeof());
        if (task.memory().copyIn(argument, s) != 0) {
            return -Errno.EFAULT;
        }
        long size = kvm_create_guest_memfd.size(s);
        long flags = kvm_create_guest_memfd.flags(s);
        if ((flags & ~Capabilities.gmemFlags(vm.profile(), vm)) != 0
                || size <= 0
                || (size & Linux.PAGE_SIZE - 1) != 0) {
            return -Errno.EINVAL;
        }
        if (!vm.charge("guest_memfd") || !vm.charge("inode of a guest_memfd")) {
            return -Errno.ENOMEM;
        }
        vm.get();
        GuestMemfd file = new GuestMemfd(vm.profile(), vm.memory(), vm, size, flags, vm.nextInode());
        vm.created(file);
        return task.install(file, false);
    }

    private long setAttributes(Task task, long argument) {
        if (vm.inPlace()) {
            return -Errno.ENOTTY;
        }
        MemorySegment s = UserCopy.struct(kvm_memory_attributes.sizeof());
        if (task.memory().copyIn(argument, s) != 0) {
            return -Errno.EFAULT;
        }
        long address = kvm_memory_attributes.address(s);
        long size = kvm_memory_attributes.size(s);
        long wanted = kvm_memory_attributes.attributes(s);
        long supported = vm.hasPrivateMemory() ? Vm.ATTRIBUTE_PRIVATE : 0;
        if (kvm_memory_attributes.flags(s) != 0
                || (wanted & ~supported) != 0
                || size == 0
                || Long.compareUnsigned(address + size, address) < 0
                || ((address | size) & Linux.PAGE_SIZE - 1) != 0) {
            return -Errno.EINVAL;
        }
        return vm.setAttribute(address >>> 12, (address + size) >>> 12, wanted != 0) ? 0 : -Errno.ENOMEM;
    }

    private long setIdentityMap(Task task, long argument) {
        if (task.memory().copyIn(argument, UserCopy.struct(8)) != 0) {
            return -Errno.EFAULT;
        }
        return vm.vcpus().isEmpty() ? 0 : -Errno.EINVAL;
    }

    private long setBootCpu(long id) {
        vm.lock.lock();
        try {
            if (!vm.vcpus().isEmpty()) {
                return -Errno.EBUSY;
            }
            int most = vm.mostVcpuIds() == 0 ? Capabilities.MOST_VCPU_IDS : vm.mostVcpuIds();
            if (Long.compareUnsigned(id, most) > 0) {
                return -Errno.EINVAL;
            }
            vm.setBootCpuId((int) id);
            return 0;
        } finally {
            vm.lock.unlock();
        }
    }

    private long setRouting(Task task, long argument) {
        MemorySegment s = UserCopy.struct(kvm_irq_routing.sizeof());
        if (task.memory().copyIn(argument, s) != 0) {
            return -Errno.EFAULT;
        }
        int count = kvm_irq_routing.nr(s);
        if (!vm.splitIrqchip()
                || Integer.compareUnsigned(count, Irqchip.MOST_ROUTES) > 0
                || kvm_irq_routing.flags(s) != 0) {
            return -Errno.EINVAL;
        }
        MemorySegment entries = UserCopy.struct(count * kvm_irq_routing_entry.sizeof());
        if (count != 0 && task.memory().copyIn(argument + kvm_irq_routing.sizeof(), entries) != 0) {
            return -Errno.EFAULT;
        }
        if ((count != 0 && !vm.charge("interrupt routes of a user"))
                || !vm.charge("interrupt routing table")
                || (count != 0 && !vm.charge("interrupt route"))) {
            return -Errno.ENOMEM;
        }
        vm.lock.lock();
        try {
            return vm.irqchip().setRoutes(count, entries);
        } finally {
            vm.lock.unlock();
        }
    }

    private long signalMsi(Task task, long argument) {
        MemorySegment s = UserCopy.struct(kvm_msi.sizeof());
        if (task.memory().copyIn(argument, s) != 0) {
            return -Errno.EFAULT;
        }
        return vm.splitIrqchip() ? vm.irqchip().signal(s) : -Errno.EINVAL;
    }

    private long irqFd(Task task, long argument) {
        MemorySegment s = UserCopy.struct(kvm_irqfd.sizeof());
        if (task.memory().copyIn(argument, s) != 0) {
            return -Errno.EFAULT;
        }
        return vm.irqchip().irqFd(task, s, vm.splitIrqchip(), vm.allocator());
    }

    private long ioEventFd(Task task, long argument) {
        MemorySegment s = UserCopy.struct(kvm_ioeventfd.sizeof());
        return task.memory().copyIn(argument, s) != 0 ? -Errno.EFAULT : vm.ioEventFds().serve(task, s);
    }

    private long irqLine(Task task, int request, long argument) {
        MemorySegment s = UserCopy.struct(kvm_irq_level.sizeof());
        if (task.memory().copyIn(argument, s) != 0) {
            return -Errno.EFAULT;
        }
        if (!vm.splitIrqchip()) {
            return -Errno.ENXIO;
        }
        int status = kvm_irq_level.level(s) == 0 ? -1 : vm.irqchip().raise(kvm_irq_level.irq(s));
        if (request == Ioctl.IRQ_LINE_STATUS) {
            kvm_irq_level.status(s, status);
            return task.memory().copyOut(argument, s) == 0 ? 0 : -Errno.EFAULT;
        }
        return 0;
    }

    private long createDevice(Task task, long argument) {
        MemorySegment s = UserCopy.struct(kvm_create_device.sizeof());
        if (task.memory().copyIn(argument, s) != 0) {
            return -Errno.EFAULT;
        }
        if (kvm_create_device.type(s) != VfioLink.TYPE) {
            return -Errno.ENODEV;
        }
        if ((kvm_create_device.flags(s) & kvm.KVM_CREATE_DEVICE_TEST()) == 0) {
            int fd = VfioLink.create(vm, task);
            if (fd < 0) {
                return fd;
            }
            kvm_create_device.fd(s, fd);
        }
        return task.memory().copyOut(argument, s);
    }

    /** Checks the pointer; this processor encrypts nothing. */
    private static long encryptedRegion(Task task, long argument) {
        return task.memory().copyIn(argument, UserCopy.struct(kvm_enc_region.sizeof())) != 0
                ? -Errno.EFAULT
                : -Errno.ENOTTY;
    }

    @Override
    public long seek(Task task, long offset, int whence) {
        return 0;
    }

    @Override
    public boolean anonymous() {
        return true;
    }

    @Override
    public Stat stat() {
        return new Stat(inode, 0600, 0, 0);
    }

    @Override
    protected void release() {
        vm.irqchip().releaseIrqFds();
        vm.put();
    }
}
