// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract;

import dev.alcove.bindings.kvm.kvm;
import dev.alcove.bindings.kvm.kvm_clear_dirty_log;
import dev.alcove.bindings.kvm.kvm_create_guest_memfd;
import dev.alcove.bindings.kvm.kvm_dirty_log;
import dev.alcove.bindings.kvm.kvm_enable_cap;
import dev.alcove.bindings.kvm.kvm_memory_attributes;
import dev.alcove.bindings.kvm.kvm_userspace_memory_region;
import dev.alcove.bindings.kvm.kvm_userspace_memory_region2;
import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import dev.alcove.sys.Syscalls;
import dev.alcove.sys.UserMappings;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.function.IntSupplier;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

import static dev.alcove.contract.Checks.ok;
import static org.junit.jupiter.api.Assertions.assertTrue;

/** A machine of the KVM under test, with what tests of it need again and again. */
final class KvmMachine implements AutoCloseable {
    /** KVM_CAP_PRE_FAULT_MEMORY: where KVM has two-dimensional paging. */
    static final int PRE_FAULT_MEMORY = 236;

    static final int PAGE = Linux.PAGE_SIZE;
    static final int RW = Linux.PROT_READ | Linux.PROT_WRITE;
    static final int ANONYMOUS = Linux.MAP_PRIVATE | Linux.MAP_ANONYMOUS;
    /** An address where no user has anything. */
    static final long BAD_POINTER = 8;

    static final int MEMORY_ATTRIBUTES = 233;
    static final int GUEST_MEMFD = 234;
    static final int GUEST_MEMFD_FLAGS = 244;
    static final int DEFAULT = 0;
    static final int SW_PROTECTED = 1;
    static final int LOG_DIRTY = 1;
    static final int READONLY = 2;
    static final int GMEM = 4;
    static final long PRIVATE = 8;
    static final long FLAG_MMAP = 1;
    static final long FLAG_INIT_SHARED = 2;

    final KernelUnderTest kernel;
    final Syscalls sys;
    final int kvmFd;
    final int fd;
    private final Arena arena = Arena.ofShared();
    private final List<MemorySegment> mappings = new ArrayList<>();
    private final List<Integer> descriptors = new ArrayList<>();

    /** Makes a machine of a type; skips the test where the kernel has none. */
    KvmMachine(KernelUnderTest kernel, int type) {
        this.kernel = kernel;
        sys = kernel.sys();
        kvmFd = kernel.open("/dev/kvm");
        fd = sys.ioctl(kvmFd, kvm.KVM_CREATE_VM(), (long) type);
        if (fd < 0) {
            sys.close(kvmFd);
        }
        kernel.needs("machines of type " + type, fd);
    }

    /** Closes a descriptor with the machine, before it. */
    int own(int descriptor) {
        descriptors.add((int) ok(descriptor));
        return descriptor;
    }

    int has(int capability) {
        return sys.ioctl(fd, kvm.KVM_CHECK_EXTENSION(), (long) capability);
    }

    /** What /dev/kvm itself answers. */
    int system(int capability) {
        return sys.ioctl(kvmFd, kvm.KVM_CHECK_EXTENSION(), (long) capability);
    }

    /** Skips the test, and closes the machine, where it takes no guest_memfd with these flags. */
    KvmMachine needsGmem(long flags) {
        int known = Math.max(0, has(GUEST_MEMFD_FLAGS));
        if (has(GUEST_MEMFD) != 1 || (flags & ~known) != 0) {
            close();
            kernel.needs("guest_memfd with flags " + flags + " in this machine", -Errno.EINVAL);
        }
        return this;
    }

    /** A machine that takes guest_memfds with these flags: a default one, or else one with private memory. */
    static KvmMachine withGmem(KernelUnderTest kernel, long flags) {
        KvmMachine plain = new KvmMachine(kernel, DEFAULT);
        if (plain.has(GUEST_MEMFD) == 1) {
            return plain.needsGmem(flags);
        }
        plain.close();
        return new KvmMachine(kernel, SW_PROTECTED).needsGmem(flags);
    }

    /** What a call answers while the process may have no further descriptor. */
    int withoutDescriptors(IntSupplier call) {
        MemorySegment old = struct(16);
        MemorySegment none = struct(16);
        ok(sys.prlimit(Linux.RLIMIT_NOFILE, null, old));
        none.set(ValueLayout.JAVA_LONG, 8, old.get(ValueLayout.JAVA_LONG, 8));
        ok(sys.prlimit(Linux.RLIMIT_NOFILE, none, null));
        int answer = call.getAsInt();
        ok(sys.prlimit(Linux.RLIMIT_NOFILE, old, null));
        return answer;
    }

    /** Skips the test, and closes the machine, where a capability is 0. */
    KvmMachine needs(int capability, String name) {
        if (has(capability) <= 0) {
            close();
            kernel.needs(name, -Errno.EINVAL);
        }
        return this;
    }

    /** A second machine, closed with this one. */
    int otherMachine() {
        return own(sys.ioctl(kvmFd, kvm.KVM_CREATE_VM(), 0L));
    }

    /** A zeroed struct that lives as long as the machine. */
    MemorySegment struct(long bytes) {
        return arena.allocate(bytes, 8);
    }

    /** Anonymous user memory. */
    MemorySegment memory(long pages) {
        return map(pages, ANONYMOUS, -1);
    }

    MemorySegment map(long pages, int flags, int file) {
        MemorySegment memory =
                UserMappings.segment(ok(sys.mmap(0, pages * PAGE, RW, flags, file, 0)), pages * PAGE);
        mappings.add(memory);
        return memory;
    }

    int region1(int slot, int flags, long gpa, long size, long address) {
        MemorySegment s = struct(kvm_userspace_memory_region.sizeof());
        kvm_userspace_memory_region.slot(s, slot);
        kvm_userspace_memory_region.flags(s, flags);
        kvm_userspace_memory_region.guest_phys_addr(s, gpa);
        kvm_userspace_memory_region.memory_size(s, size);
        kvm_userspace_memory_region.userspace_addr(s, address);
        return sys.ioctl(fd, (int) kvm.KVM_SET_USER_MEMORY_REGION(), s);
    }

    int region(int slot, int flags, long gpa, long size, long address, int gmem, long offset) {
        MemorySegment s = struct(kvm_userspace_memory_region2.sizeof());
        kvm_userspace_memory_region2.slot(s, slot);
        kvm_userspace_memory_region2.flags(s, flags);
        kvm_userspace_memory_region2.guest_phys_addr(s, gpa);
        kvm_userspace_memory_region2.memory_size(s, size);
        kvm_userspace_memory_region2.userspace_addr(s, address);
        kvm_userspace_memory_region2.guest_memfd(s, gmem);
        kvm_userspace_memory_region2.guest_memfd_offset(s, offset);
        return sys.ioctl(fd, (int) kvm.KVM_SET_USER_MEMORY_REGION2(), s);
    }

    int gmem(long size, long flags) {
        MemorySegment s = struct(kvm_create_guest_memfd.sizeof());
        kvm_create_guest_memfd.size(s, size);
        kvm_create_guest_memfd.flags(s, flags);
        kvm_create_guest_memfd.reserved(s, 0, 77);
        return sys.ioctl(fd, (int) kvm.KVM_CREATE_GUEST_MEMFD(), s);
    }

    int attributes(long gpa, long size, long attributes, long flags) {
        MemorySegment s = struct(kvm_memory_attributes.sizeof());
        kvm_memory_attributes.address(s, gpa);
        kvm_memory_attributes.size(s, size);
        kvm_memory_attributes.attributes(s, attributes);
        kvm_memory_attributes.flags(s, flags);
        return sys.ioctl(fd, (int) kvm.KVM_SET_MEMORY_ATTRIBUTES(), s);
    }

    int enable(int capability, long value) {
        MemorySegment s = struct(kvm_enable_cap.sizeof());
        kvm_enable_cap.cap(s, capability);
        kvm_enable_cap.args(s, 0, value);
        return sys.ioctl(fd, (int) kvm.KVM_ENABLE_CAP(), s);
    }

    /** KVM_GET_DIRTY_LOG into {@code bitmap}. */
    int dirtyLog(int slot, long bitmap) {
        MemorySegment s = struct(kvm_dirty_log.sizeof());
        kvm_dirty_log.slot(s, slot);
        s.set(ValueLayout.JAVA_LONG, 8, bitmap);
        return sys.ioctl(fd, (int) kvm.KVM_GET_DIRTY_LOG(), s);
    }

    /** The first 64 bits of a slot's dirty log. */
    long dirtyLog(int slot) {
        MemorySegment bitmap = memory(1);
        ok(dirtyLog(slot, bitmap.address()));
        long bits = bitmap.get(ValueLayout.JAVA_LONG, 0);
        unmap(bitmap);
        return bits;
    }

    /** KVM_CLEAR_DIRTY_LOG of pages whose bits are set at {@code bitmap}. */
    int clearDirtyLog(int slot, long first, int pages, long bitmap) {
        MemorySegment s = struct(kvm_clear_dirty_log.sizeof());
        kvm_clear_dirty_log.slot(s, slot);
        kvm_clear_dirty_log.num_pages(s, pages);
        kvm_clear_dirty_log.first_page(s, first);
        s.set(ValueLayout.JAVA_LONG, 16, bitmap);
        return sys.ioctl(fd, (int) kvm.KVM_CLEAR_DIRTY_LOG(), s);
    }

    int punch(int gmem, long offset, long length) {
        return sys.fallocate(gmem, Linux.FALLOC_FL_KEEP_SIZE | Linux.FALLOC_FL_PUNCH_HOLE, offset, length);
    }

    /** A vCPU that is closed with the machine. */
    KvmVcpu vcpu(int id) {
        return new KvmVcpu(this, own(sys.ioctl(fd, kvm.KVM_CREATE_VCPU(), (long) id)));
    }

    void unmap(MemorySegment memory) {
        mappings.remove(memory);
        ok(sys.munmap(memory.address(), memory.byteSize()));
    }

    void close(int descriptor) {
        descriptors.remove((Integer) descriptor);
        ok(sys.close(descriptor));
    }

    /** Whether the kernel is older than a release. */
    static boolean before(Syscalls sys, int major, int minor) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment name = arena.allocate(390);
            ok(sys.uname(name));
            String release = name.asSlice(130, 65).getString(0, StandardCharsets.US_ASCII);
            Matcher number = Pattern.compile("(\\d+)\\.(\\d+).*").matcher(release);
            assertTrue(number.matches(), release);
            int have = Integer.parseInt(number.group(1)) * 1000 + Integer.parseInt(number.group(2));
            return have < major * 1000 + minor;
        }
    }

    @Override
    public void close() {
        for (MemorySegment memory : List.copyOf(mappings)) {
            unmap(memory);
        }
        for (int descriptor : List.copyOf(descriptors)) {
            close(descriptor);
        }
        ok(sys.close(fd));
        ok(sys.close(kvmFd));
        arena.close();
    }
}
