// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract.fuzz;

import dev.alcove.bindings.kvm.kvm;
import dev.alcove.bindings.kvm.kvm_create_guest_memfd;
import dev.alcove.bindings.kvm.kvm_enable_cap;
import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import dev.alcove.sys.MissingFeatureException;
import dev.alcove.sys.Syscalls;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;

/** Machines, vCPUs, guest_memfds and user memory of one run. All files are symbols of one table. */
final class KvmSession implements Session {
    /** The first machine; there is room for ten. */
    static final long VM = 0;

    /** The first vCPU. */
    static final long VCPU = 10;

    /** The first guest_memfd. */
    static final long GMEM = 20;

    /** /dev/kvm. */
    static final long SYSTEM = 40;

    /** An eventfd: a file of another kind. */
    static final long EVENT = 41;

    /** A memfd: a file with pages, and still no guest_memfd. */
    static final long MEMFD = 42;

    /** Pages of user addresses. */
    static final int PAGES = 64;

    private final Syscalls syscalls;
    private final Descriptors files;
    private final UserPages user;
    private final KvmSlots slots;
    private final KvmGuests guests;
    private final KvmDevices devices;
    private final FileCalls fileCalls;
    private final Arena arena = Arena.ofConfined();

    /** @throws MissingFeatureException where there is no KVM with private memory */
    KvmSession(Syscalls syscalls) {
        this.syscalls = syscalls;
        int system = syscalls.open("/dev/kvm", Linux.O_RDWR | Linux.O_CLOEXEC, 0);
        if (system < 0) {
            throw new MissingFeatureException("/dev/kvm cannot be opened: " + Errno.name(system));
        }
        long types = syscalls.ioctl(system, kvm.KVM_CHECK_EXTENSION(), (long) kvm.KVM_CAP_VM_TYPES());
        if ((types & 1L << kvm.KVM_X86_SW_PROTECTED_VM()) == 0) {
            syscalls.close(system);
            throw new MissingFeatureException(
                    "KVM offers no private memory (no VM type KVM_X86_SW_PROTECTED_VM)",
                    "use --kernel emulated, or run this in the lab: lab/run ./alcove fuzz ...");
        }
        files = new Descriptors(syscalls);
        files.set(SYSTEM, system);
        files.set(EVENT, syscalls.eventfd(0, Linux.EFD_CLOEXEC | Linux.EFD_NONBLOCK));
        files.set(MEMFD, syscalls.memfdCreate("fuzz", Linux.MFD_CLOEXEC));
        syscalls.ftruncate(files.get(MEMFD), 16 * Linux.PAGE_SIZE);
        user = new UserPages(syscalls, PAGES);
        slots = new KvmSlots(syscalls, files, user, arena);
        guests = new KvmGuests(syscalls, files, arena);
        devices = new KvmDevices(syscalls, files, slots);
        fileCalls = new FileCalls(syscalls, files, arena);
    }

    @Override
    public Answer perform(Op op) {
        return switch (KvmCall.of(op.name())) {
            case CREATE_VM -> createVm(op);
            case CREATE_VCPU -> guests.create(op);
            case CREATE_GMEM -> createGmem(op);
            case DUP -> {
                guests.forget(op.operand(0));
                yield Answer.ofFile(files.set(op.operand(0), syscalls.dup(files.get(op.operand(1)))));
            }
            case CLOSE -> {
                guests.forget(op.operand(0));
                yield Answer.of(files.close(op.operand(0)));
            }
            case CLOSE_TWICE -> closeTwice(op);
            case REGION1 -> slots.region1(op);
            case REGION2 -> slots.region2(op);
            case ATTRIBUTES -> slots.attributes(op);
            case DIRTY_LOG -> slots.dirtyLog(op);
            case CLEAR_DIRTY_LOG -> slots.clearDirtyLog(op);
            case PRE_FAULT -> guests.preFault(op);
            case GUEST -> guests.run(op);
            case IOEVENTFD -> devices.ioEventFd(op);
            case EVENT_COUNT -> devices.eventCount();
            case COALESCE -> devices.coalesce(op);
            case RING -> KvmDevices.ring(guests.pages(op.operand(0)));
            case RESET_RINGS -> Answer.of(
                    syscalls.ioctl(files.get(op.operand(0)), kvm.KVM_RESET_DIRTY_RINGS(), 0L));
            case ENABLE_CAP -> enableCap(op);
            case CHECK_EXTENSION -> Answer.of(
                    syscalls.ioctl(files.get(op.operand(0)), kvm.KVM_CHECK_EXTENSION(), op.operand(1)));
            case WILD_IOCTL -> Answer.of(
                    syscalls.ioctl(files.get(op.operand(0)), op.intOperand(1), user.address(op.operand(2))));
            case MAP -> Answer.of(user.map(
                    op.operand(0),
                    op.operand(1),
                    op.intOperand(2),
                    op.intOperand(3),
                    files.get(op.operand(4)),
                    op.operand(5)));
            case UNMAP -> Answer.of(user.unmap(op.operand(0), op.operand(1)));
            case ADVISE -> Answer.of(user.advise(op.operand(0), op.operand(1), op.intOperand(2)));
            case READ -> user.read(op.operand(0));
            case WRITE -> user.write(op.operand(0), op.intOperand(1));
            case FALLOCATE -> fileCalls.fallocate(op);
            case TRUNCATE -> fileCalls.truncate(op);
            case SEEK -> fileCalls.seek(op);
            case FILE_READ -> fileCalls.read(op);
            case FILE_WRITE -> fileCalls.write(op);
            case STAT -> fileCalls.stat(op);
            case FCNTL -> fileCalls.fcntl(op);
            case POLL -> fileCalls.poll(op);
        };
    }

    private Answer createVm(Op op) {
        guests.forget(op.operand(0));
        int vm = files.set(op.operand(0), syscalls.ioctl(files.get(SYSTEM), kvm.KVM_CREATE_VM(), op.operand(1)));
        return vm < 0
                ? Answer.of(vm)
                : Answer.with(0).and("code", guests.addCode(vm)).build();
    }

    private Answer createGmem(Op op) {
        guests.forget(op.operand(0));
        MemorySegment s = slots.scratch(kvm_create_guest_memfd.sizeof());
        kvm_create_guest_memfd.size(s, op.operand(2));
        kvm_create_guest_memfd.flags(s, op.operand(3));
        return Answer.ofFile(files.set(op.operand(0),
                syscalls.ioctl(files.get(op.operand(1)), (int) kvm.KVM_CREATE_GUEST_MEMFD(), s)));
    }

    private Answer closeTwice(Op op) {
        guests.forget(op.operand(0));
        int fd = files.get(op.operand(0));
        return Answer.with(files.close(op.operand(0))).and("again", syscalls.close(fd)).build();
    }

    private Answer enableCap(Op op) {
        MemorySegment s = slots.scratch(kvm_enable_cap.sizeof());
        kvm_enable_cap.cap(s, op.intOperand(1));
        kvm_enable_cap.args(s, 0, op.operand(2));
        kvm_enable_cap.flags(s, op.intOperand(3));
        return Answer.of(syscalls.ioctl(files.get(op.operand(0)), (int) kvm.KVM_ENABLE_CAP(), s));
    }

    @Override
    public void close() {
        guests.close();
        slots.close();
        files.close();
        user.close();
        arena.close();
    }
}
