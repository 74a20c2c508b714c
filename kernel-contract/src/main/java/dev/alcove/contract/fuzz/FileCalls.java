// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract.fuzz;

import dev.alcove.sys.Linux;
import dev.alcove.sys.Syscalls;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/** The calls that any file has. */
final class FileCalls {
    private static final int MOST_BYTES = 2 * Linux.PAGE_SIZE;
    private static final int STAT_BYTES = 144;
    private static final long STAT_LINKS = 16;
    private static final long STAT_MODE = 24;
    private static final long STAT_SIZE = 48;
    private static final long STAT_BLOCK = 56;
    private static final long STAT_BLOCKS = 64;

    private final Syscalls syscalls;
    private final Descriptors files;
    private final MemorySegment buffer;

    FileCalls(Syscalls syscalls, Descriptors files, Arena arena) {
        this.syscalls = syscalls;
        this.files = files;
        this.buffer = arena.allocate(MOST_BYTES, 8);
    }

    private int fd(Op op) {
        return files.get(op.operand(0));
    }

    private MemorySegment buffer(long length) {
        return buffer.asSlice(0, Math.clamp(length, 0, MOST_BYTES)).fill((byte) 0x55);
    }

    Answer fallocate(Op op) {
        return Answer.of(syscalls.fallocate(fd(op), op.intOperand(1), op.operand(2), op.operand(3)));
    }

    Answer truncate(Op op) {
        return Answer.of(syscalls.ftruncate(fd(op), op.operand(1)));
    }

    Answer seek(Op op) {
        return Answer.of(syscalls.lseek(fd(op), op.operand(1), op.intOperand(2)));
    }

    /** read(2) where the offset is -1, else pread64(2). */
    Answer read(Op op) {
        MemorySegment into = buffer(op.operand(1));
        return Answer.of(op.operand(2) == -1
                ? syscalls.read(fd(op), into)
                : syscalls.pread(fd(op), into, op.operand(2)));
    }

    /** write(2) where the offset is -1, else pwrite64(2). */
    Answer write(Op op) {
        MemorySegment from = buffer(op.operand(1));
        return Answer.of(op.operand(2) == -1
                ? syscalls.write(fd(op), from)
                : syscalls.pwrite(fd(op), from, op.operand(2)));
    }

    Answer stat(Op op) {
        MemorySegment stat = buffer(STAT_BYTES);
        int answer = syscalls.fstat(fd(op), stat);
        return answer != 0
                ? Answer.of(answer)
                : Answer.with(answer)
                        .and("mode", stat.get(ValueLayout.JAVA_INT, STAT_MODE))
                        .and("links", stat.get(ValueLayout.JAVA_LONG, STAT_LINKS))
                        .and("size", stat.get(ValueLayout.JAVA_LONG, STAT_SIZE))
                        .and("block", stat.get(ValueLayout.JAVA_LONG, STAT_BLOCK))
                        .and("blocks", stat.get(ValueLayout.JAVA_LONG, STAT_BLOCKS))
                        .build();
    }

    Answer fcntl(Op op) {
        return Answer.of(syscalls.fcntl(fd(op), op.intOperand(1), op.operand(2)));
    }

    Answer poll(Op op) {
        MemorySegment poll = buffer(Long.BYTES);
        poll.set(ValueLayout.JAVA_INT, 0, fd(op));
        poll.set(ValueLayout.JAVA_INT, 4, Linux.POLLIN | Linux.POLLOUT);
        int answer = syscalls.poll(poll, 0);
        return Answer.with(answer)
                .and("events", poll.get(ValueLayout.JAVA_SHORT, 6))
                .build();
    }
}
