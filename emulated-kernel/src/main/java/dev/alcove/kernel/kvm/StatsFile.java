// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.kvm;

import dev.alcove.bindings.kvm.kvm_stats_desc;
import dev.alcove.bindings.kvm.kvm_stats_header;
import dev.alcove.kernel.file.OpenFile;
import dev.alcove.kernel.file.Stat;
import dev.alcove.kernel.task.Task;
import dev.alcove.sys.Linux;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.Supplier;

/**
 * A descriptor of KVM_GET_STATS_FD, of a machine or a vCPU: header, name, descriptors, values, one behind the other. It
 * holds a reference to the machine.
 */
final class StatsFile extends OpenFile {
    /** KVM_STATS_NAME_SIZE. */
    private static final int NAME = 48;

    private static final int DESCRIPTOR = (int) kvm_stats_desc.sizeof() + NAME;

    private final Vm vm;
    private final byte[] head;
    private final Supplier<long[]> values;
    private final AtomicLong position = new AtomicLong();
    private final long inode;

    /**
     * @param vm to which a reference has been taken for this file
     * @param id name of the machine or vCPU
     * @param values a copy of them, in their places
     */
    StatsFile(Vm vm, String id, List<Statistic> statistics, Supplier<long[]> values) {
        super(Linux.O_RDONLY);
        this.vm = vm;
        this.values = values;
        this.inode = vm.nextInode();
        int first = (int) kvm_stats_header.sizeof() + NAME;
        head = new byte[first + statistics.size() * DESCRIPTOR];
        MemorySegment s = UserCopy.struct(head.length);
        kvm_stats_header.name_size(s, NAME);
        kvm_stats_header.num_desc(s, statistics.size());
        kvm_stats_header.id_offset(s, (int) kvm_stats_header.sizeof());
        kvm_stats_header.desc_offset(s, first);
        kvm_stats_header.data_offset(s, head.length);
        text(s, kvm_stats_header.sizeof(), id);
        for (int i = 0; i < statistics.size(); i++) {
            Statistic statistic = statistics.get(i);
            long at = first + (long) i * DESCRIPTOR;
            MemorySegment descriptor = s.asSlice(at, DESCRIPTOR);
            kvm_stats_desc.flags(descriptor, statistic.flags());
            kvm_stats_desc.exponent(descriptor, (short) statistic.exponent());
            kvm_stats_desc.size(descriptor, (short) statistic.size());
            kvm_stats_desc.offset(descriptor, statistic.offset());
            text(s, at + kvm_stats_desc.sizeof(), statistic.name());
        }
        MemorySegment.copy(s, ValueLayout.JAVA_BYTE, 0, head, 0, head.length);
    }

    private static void text(MemorySegment s, long at, String text) {
        byte[] bytes = text.getBytes(StandardCharsets.US_ASCII);
        MemorySegment.copy(bytes, 0, s, ValueLayout.JAVA_BYTE, at, bytes.length);
    }

    @Override
    public long pread(Task task, MemorySegment buffer, long offset) {
        long[] data = values.get();
        long size = head.length + (long) data.length * Long.BYTES;
        long length = Math.min(size - offset, buffer.byteSize());
        if (length <= 0) {
            return 0;
        }
        long fromHead = Math.clamp(head.length - offset, 0, length);
        MemorySegment.copy(MemorySegment.ofArray(head), Math.min(offset, head.length), buffer, 0, fromHead);
        if (fromHead < length) {
            MemorySegment.copy(
                    MemorySegment.ofArray(data), offset + fromHead - head.length, buffer, fromHead, length - fromHead);
        }
        return length;
    }

    /** At the file's own position, which nothing but reading moves. */
    @Override
    public long read(Task task, MemorySegment buffer) {
        long length = pread(task, buffer, position.get());
        position.addAndGet(Math.max(length, 0));
        return length;
    }

    @Override
    public long seek(Task task, long offset, int whence) {
        return position.get();
    }

    @Override
    public boolean transfers() {
        return true;
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
        vm.put();
    }
}
