// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract.fuzz;

import dev.alcove.bindings.kvm.kvm;
import dev.alcove.bindings.kvm.kvm_pre_fault_memory;
import dev.alcove.bindings.kvm.kvm_regs;
import dev.alcove.bindings.kvm.kvm_run;
import dev.alcove.bindings.kvm.kvm_segment;
import dev.alcove.bindings.kvm.kvm_sregs;
import dev.alcove.bindings.kvm.kvm_userspace_memory_region;
import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import dev.alcove.sys.SyscallException;
import dev.alcove.sys.Syscalls;
import dev.alcove.sys.UserArena;
import dev.alcove.sys.UserMappings;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Map;
import java.util.TreeMap;
import org.jspecify.annotations.Nullable;

/**
 * The vCPUs of a run: each executes one instruction of {@link GuestCode} and halts. Their code is in a slot of its own,
 * the same page in every machine.
 */
final class KvmGuests {
    /** The slot of the code. */
    static final int CODE_SLOT = 30;

    /** Where guests see the code. */
    static final long CODE_GPA = 0x4000_0000L;

    private static final int MOST_EXITS = 40;
    private static final int MOST_VCPUS = 10;

    private final Syscalls syscalls;
    private final Descriptors files;
    private final UserArena code;
    private final MemorySegment page;
    private final MemorySegment regs;
    private final MemorySegment sregs;
    private final MemorySegment struct;
    private final int runBytes;
    private final long runPlaces;

    /** The kvm_run of each vCPU that has been made, by its symbol. */
    private final Map<Long, MemorySegment> runs = new TreeMap<>();

    KvmGuests(Syscalls syscalls, Descriptors files, Arena arena) {
        this.syscalls = syscalls;
        this.files = files;
        regs = arena.allocate(kvm_regs.sizeof(), 8);
        sregs = arena.allocate(kvm_sregs.sizeof(), 8);
        struct = arena.allocate(64, 8);
        code = new UserArena(syscalls, Linux.PAGE_SIZE);
        page = code.allocate(Linux.PAGE_SIZE, Linux.PAGE_SIZE);
        GuestCode.write(page);
        runBytes = syscalls.ioctl(files.get(KvmSession.SYSTEM), kvm.KVM_GET_VCPU_MMAP_SIZE(), 0L);
        runPlaces = reserve(0, (long) MOST_VCPUS * runBytes, 0);
        if (Linux.isError(runPlaces)) {
            throw new SyscallException("mmap", "places for the run pages of vCPUs", runPlaces);
        }
    }

    private long reserve(long address, long length, int flags) {
        int all = flags | Linux.MAP_PRIVATE | Linux.MAP_ANONYMOUS | Linux.MAP_NORESERVE;
        return syscalls.mmap(address, length, Linux.PROT_NONE, all, -1, 0);
    }

    /** Puts the code into a new machine. */
    int addCode(int vm) {
        MemorySegment s = struct.fill((byte) 0);
        kvm_userspace_memory_region.slot(s, CODE_SLOT);
        kvm_userspace_memory_region.guest_phys_addr(s, CODE_GPA);
        kvm_userspace_memory_region.memory_size(s, Linux.PAGE_SIZE);
        kvm_userspace_memory_region.userspace_addr(s, page.address());
        return syscalls.ioctl(vm, (int) kvm.KVM_SET_USER_MEMORY_REGION(), s);
    }

    Answer create(Op op) {
        long symbol = op.operand(0);
        forget(symbol);
        int fd = files.set(symbol, syscalls.ioctl(files.get(op.operand(1)), kvm.KVM_CREATE_VCPU(), op.operand(2)));
        long number = symbol - KvmSession.VCPU;
        if (fd < 0 || number < 0 || number >= MOST_VCPUS) {
            return Answer.ofFile(fd);
        }
        int flags = Linux.MAP_SHARED | Linux.MAP_FIXED;
        long run = syscalls.mmap(
                runPlaces + number * runBytes, runBytes, Linux.PROT_READ | Linux.PROT_WRITE, flags, fd, 0);
        if (Linux.isError(run)) {
            return Answer.with(0).and("mmap", run).build();
        }
        runs.put(symbol, UserMappings.segment(run, runBytes));
        return Answer.with(0).and("mmap", 0).and("sregs", enterProtectedMode(fd)).build();
    }

    /** 32-bit protected mode, flat, no paging. */
    private int enterProtectedMode(int fd) {
        int answer = syscalls.ioctl(fd, (int) kvm.KVM_GET_SREGS(), sregs);
        if (answer != 0) {
            return answer;
        }
        flat(kvm_sregs.cs(sregs), 8, 11);
        flat(kvm_sregs.ds(sregs), 16, 3);
        flat(kvm_sregs.es(sregs), 16, 3);
        flat(kvm_sregs.ss(sregs), 16, 3);
        kvm_sregs.cr0(sregs, kvm_sregs.cr0(sregs) | 1);
        return syscalls.ioctl(fd, (int) kvm.KVM_SET_SREGS(), sregs);
    }

    private static void flat(MemorySegment segment, int selector, int type) {
        kvm_segment.base(segment, 0);
        kvm_segment.limit(segment, -1);
        kvm_segment.selector(segment, (short) selector);
        kvm_segment.type(segment, (byte) type);
        kvm_segment.present(segment, (byte) 1);
        kvm_segment.dpl(segment, (byte) 0);
        kvm_segment.s(segment, (byte) 1);
        kvm_segment.g(segment, (byte) 1);
        kvm_segment.db(segment, (byte) 1);
        kvm_segment.l(segment, (byte) 0);
        kvm_segment.unusable(segment, (byte) 0);
    }

    /** The pages that a vCPU shares, or null when there is no such vCPU. */
    @Nullable MemorySegment pages(long symbol) {
        return runs.get(symbol);
    }

    /** Runs one instruction to the halt behind it, through all exits on the way. */
    Answer run(Op op) {
        int fd = files.get(op.operand(0));
        MemorySegment run = runs.get(op.operand(0));
        long start = CODE_GPA + GuestCode.offset(op.operand(1));
        regs.fill((byte) 0);
        kvm_regs.rax(regs, op.operand(3) & 0xffff_ffffL);
        kvm_regs.rbx(regs, op.operand(2) & 0xffff_ffffL);
        kvm_regs.rsi(regs, op.operand(4) & 0xffff_ffffL);
        kvm_regs.rdi(regs, op.operand(2) & 0xffff_ffffL);
        kvm_regs.rcx(regs, 3);
        kvm_regs.rip(regs, start);
        kvm_regs.rflags(regs, 2);
        int answer = syscalls.ioctl(fd, (int) kvm.KVM_SET_REGS(), regs);
        if (answer != 0 || run == null) {
            return Answer.of(answer);
        }
        Answer.Builder values = Answer.with(0);
        for (int exit = 0; exit < MOST_EXITS && follow(fd, run, exit, values); exit++) {}
        syscalls.ioctl(fd, (int) kvm.KVM_GET_REGS(), regs);
        return values.and("eip", kvm_regs.rip(regs) - start)
                .and("eax", kvm_regs.rax(regs))
                .and("ecx", kvm_regs.rcx(regs))
                .build();
    }

    /** One KVM_RUN. Returns whether there is to be another. */
    private boolean follow(int fd, MemorySegment run, int number, Answer.Builder values) {
        int answer;
        do {
            answer = syscalls.ioctl(fd, kvm.KVM_RUN(), 0L);
        } while (answer == -Errno.EINTR);
        int reason = kvm_run.exit_reason(run);
        String suffix = number == 0 ? "" : "." + number;
        values.and(number == 0 ? Answer.ANSWER : "run" + suffix, answer).and("exit" + suffix, reason);
        if (reason == kvm.KVM_EXIT_MEMORY_FAULT()) {
            MemorySegment fault = kvm_run.memory_fault(run);
            values.and("flags" + suffix, kvm_run.memory_fault.flags(fault))
                    .and("gpa" + suffix, kvm_run.memory_fault.gpa(fault))
                    .and("size" + suffix, kvm_run.memory_fault.size(fault));
        } else if (reason == kvm.KVM_EXIT_MMIO()) {
            mmio(kvm_run.mmio(run), number, suffix, values);
            return answer == 0;
        } else if (reason == kvm.KVM_EXIT_INTERNAL_ERROR()) {
            values.and("suberror" + suffix, kvm_run.internal.suberror(kvm_run.internal(run)));
        }
        return false;
    }

    /** Notes a device access, and answers a read with bytes that tell which one it was. */
    private static void mmio(MemorySegment mmio, int number, String suffix, Answer.Builder values) {
        int length = kvm_run.mmio.len(mmio);
        boolean write = kvm_run.mmio.is_write(mmio) != 0;
        values.and("gpa" + suffix, kvm_run.mmio.phys_addr(mmio))
                .and("len" + suffix, length)
                .and("write" + suffix, write ? 1 : 0);
        MemorySegment data = kvm_run.mmio.data(mmio);
        if (write) {
            long value = data.get(ValueLayout.JAVA_LONG_UNALIGNED, 0);
            values.and("data" + suffix, length >= 8 ? value : value & ((1L << (8 * length)) - 1));
        } else {
            data.set(ValueLayout.JAVA_LONG_UNALIGNED, 0, 0x1122_3344_5566_7788L + number * 0x0101_0101_0101_0101L);
        }
    }

    Answer preFault(Op op) {
        MemorySegment s = struct.fill((byte) 0);
        kvm_pre_fault_memory.gpa(s, op.operand(1));
        kvm_pre_fault_memory.size(s, op.operand(2));
        kvm_pre_fault_memory.flags(s, op.operand(3));
        int answer = syscalls.ioctl(files.get(op.operand(0)), (int) kvm.KVM_PRE_FAULT_MEMORY(), s);
        return Answer.with(answer)
                .and("gpa", kvm_pre_fault_memory.gpa(s))
                .and("size", kvm_pre_fault_memory.size(s))
                .build();
    }

    /** A symbol is about to stand for another file, or for none. */
    void forget(long symbol) {
        MemorySegment run = runs.remove(symbol);
        if (run != null) {
            reserve(run.address(), run.byteSize(), Linux.MAP_FIXED);
        }
    }

    void close() {
        for (long symbol : runs.keySet().toArray(Long[]::new)) {
            forget(symbol);
        }
        syscalls.munmap(runPlaces, (long) MOST_VCPUS * runBytes);
        code.close();
    }
}
