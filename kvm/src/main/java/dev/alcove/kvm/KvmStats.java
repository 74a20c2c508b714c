// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kvm;

import dev.alcove.bindings.kvm.kvm;
import dev.alcove.bindings.kvm.kvm_stats_desc;
import dev.alcove.bindings.kvm.kvm_stats_header;
import dev.alcove.sys.KernelFile;
import dev.alcove.sys.SyscallException;
import dev.alcove.sys.Syscalls;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;
import java.util.LinkedHashMap;
import java.util.Map;

import static dev.alcove.sys.SyscallException.check;

/**
 * The statistics of a VM or a vCPU (KVM_GET_STATS_FD, Documentation/virt/kvm/api.rst): names with one value or a
 * histogram of several. They can be read when the VM's and the vCPU's own descriptors are closed. Methods may be called
 * from any thread.
 */
public final class KvmStats extends KernelFile {
    private final String id;
    private final long dataOffset;

    /** Offset in the data, and number of values. */
    private record Place(long offset, int size) {}

    private final Map<String, Place> places = new LinkedHashMap<>();

    private KvmStats(Syscalls syscalls, int fd) {
        super(syscalls, fd);
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment header = read(arena, 0, kvm_stats_header.sizeof());
            int nameSize = kvm_stats_header.name_size(header);
            id = text(read(arena, kvm_stats_header.id_offset(header), nameSize), 0);
            dataOffset = kvm_stats_header.data_offset(header);
            long size = kvm_stats_desc.sizeof() + nameSize;
            for (int i = 0; i < kvm_stats_header.num_desc(header); i++) {
                MemorySegment one = read(arena, kvm_stats_header.desc_offset(header) + i * size, size);
                places.put(
                        text(one, kvm_stats_desc.sizeof()),
                        new Place(Integer.toUnsignedLong(kvm_stats_desc.offset(one)), kvm_stats_desc.size(one)));
            }
        }
    }

    static KvmStats open(Syscalls syscalls, int of, String whose) {
        int fd = check(syscalls.ioctl(of, kvm.KVM_GET_STATS_FD(), 0), "KVM_GET_STATS_FD", whose);
        return new KvmStats(syscalls, fd);
    }

    private static String text(MemorySegment s, long at) {
        return s.getString(at, StandardCharsets.US_ASCII);
    }

    private MemorySegment read(Arena arena, long offset, long size) {
        MemorySegment buffer = arena.allocate(size, Long.BYTES);
        long length = syscalls.pread(fd(), buffer, offset);
        if (length != size) {
            throw new SyscallException("pread", "KVM statistics at " + offset, (int) Math.min(length, 0));
        }
        return buffer;
    }

    /** The name that the kernel has for the VM or vCPU, such as {@code kvm-815/vcpu-0}. */
    public String id() {
        return id;
    }

    /** All values as they are now, by name, in the kernel's order; those of a histogram are in ascending buckets. */
    public Map<String, long[]> values() {
        Map<String, long[]> values = new LinkedHashMap<>();
        try (Arena arena = Arena.ofConfined()) {
            places.forEach((name, place) -> values.put(
                    name,
                    read(arena, dataOffset + place.offset, (long) place.size * Long.BYTES)
                            .toArray(ValueLayout.JAVA_LONG)));
        }
        return values;
    }
}
