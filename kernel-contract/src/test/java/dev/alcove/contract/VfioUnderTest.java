// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract;

import dev.alcove.sys.Linux;
import dev.alcove.sys.Syscalls;
import dev.alcove.sys.UserArena;
import dev.alcove.sys.UserMappings;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

import static dev.alcove.contract.Checks.ok;

/**
 * A VFIO device of a kernel under test, driven by nothing but system calls: VFIO device file, iommufd, registers. Struct
 * offsets are those of linux/vfio.h and linux/iommufd.h.
 */
class VfioUnderTest implements AutoCloseable {
    static final int GET_INFO = 0x3b6b;
    static final int GET_REGION_INFO = 0x3b6c;
    static final int GET_IRQ_INFO = 0x3b6d;
    static final int SET_IRQS = 0x3b6e;
    static final int RESET = 0x3b6f;
    static final int FEATURE = 0x3b75;
    static final int BIND = 0x3b76;
    static final int ATTACH = 0x3b77;
    static final int DETACH = 0x3b78;
    static final int IOAS_ALLOC = 0x3b81;
    static final int IOAS_MAP = 0x3b85;
    static final int IOAS_UNMAP = 0x3b86;
    static final int DESTROY = 0x3b80;

    static final long CONFIG = 7L << 40;
    static final int COMMAND = 4;
    static final int MEMORY_AND_MASTER = 6;

    final Syscalls sys;
    final UserArena user;
    final int device;
    final int iommu;

    /** Opens a device and /dev/iommu; nothing is bound yet. Skips the test where there is no such device. */
    VfioUnderTest(KernelUnderTest kernel, String path) {
        this.sys = kernel.sys();
        this.device = kernel.open(path);
        this.iommu = kernel.open("/dev/iommu");
        this.user = new UserArena(sys, 1 << 16);
    }

    /** A struct of words, argsz first. */
    MemorySegment words(int... values) {
        MemorySegment struct = user.allocate(4L * values.length, 8);
        for (int i = 0; i < values.length; i++) {
            struct.set(ValueLayout.JAVA_INT, 4L * i, values[i]);
        }
        return struct;
    }

    static int word(MemorySegment struct, long offset) {
        return struct.get(ValueLayout.JAVA_INT, offset);
    }

    int ioctl(int request, int... struct) {
        return sys.ioctl(device, request, words(struct));
    }

    int bind() {
        return ioctl(BIND, 16, 0, iommu, 0);
    }

    int newIoas() {
        MemorySegment alloc = words(12, 0, 0);
        ok(sys.ioctl(iommu, IOAS_ALLOC, alloc));
        return word(alloc, 8);
    }

    /** Binds and attaches to a new IOAS, whose id is the answer. */
    int attached() {
        ok(bind());
        int ioas = newIoas();
        ok(ioctl(ATTACH, 12, 0, ioas));
        return ioas;
    }

    long map(int ioas, long address, long length, long iova, boolean writable) {
        MemorySegment map = words(40, writable ? 7 : 5, ioas, 0, 0, 0, 0, 0, 0, 0);
        map.set(ValueLayout.JAVA_LONG, 16, address);
        map.set(ValueLayout.JAVA_LONG, 24, length);
        map.set(ValueLayout.JAVA_LONG, 32, iova);
        return sys.ioctl(iommu, IOAS_MAP, map);
    }

    long unmap(int ioas, long iova, long length) {
        MemorySegment unmap = words(24, ioas, 0, 0, 0, 0);
        unmap.set(ValueLayout.JAVA_LONG, 8, iova);
        unmap.set(ValueLayout.JAVA_LONG, 16, length);
        return sys.ioctl(iommu, IOAS_UNMAP, unmap);
    }

    /** Anonymous memory of the caller; lives as long as the process. */
    MemorySegment memory(long bytes) {
        long address =
                ok(sys.mmap(0, bytes, Linux.PROT_READ | Linux.PROT_WRITE, Linux.MAP_PRIVATE | Linux.MAP_ANONYMOUS, -1, 0));
        return UserMappings.segment(address, bytes);
    }

    long read(long offset, int size) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment value = arena.allocate(8, 8);
            long answer = sys.pread(device, value.asSlice(0, size), offset);
            return answer < 0 ? answer : value.get(ValueLayout.JAVA_LONG, 0);
        }
    }

    long write(long offset, int size, long value) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment bytes = arena.allocateFrom(ValueLayout.JAVA_LONG, value);
            return sys.pwrite(device, bytes.asSlice(0, size), offset);
        }
    }

    void enable() {
        ok(write(CONFIG + COMMAND, 2, MEMORY_AND_MASTER));
    }

    @Override
    public void close() {
        sys.close(device);
        sys.close(iommu);
        user.close();
    }
}
