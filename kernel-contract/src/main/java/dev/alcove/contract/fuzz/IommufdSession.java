// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract.fuzz;

import dev.alcove.sys.BadInputException;
import dev.alcove.sys.Linux;
import dev.alcove.sys.MissingFeatureException;
import dev.alcove.sys.Syscalls;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** The files and the memory of a sequence of calls on /dev/iommu. */
final class IommufdSession implements Session {
    /** Pages that {@link UserPages} has. */
    static final int USER_PAGES = 64;

    private static final int PAGE = Linux.PAGE_SIZE;
    private static final String PATH = "/dev/iommu";

    private final Syscalls syscalls;
    private final Descriptors files;
    private final UserPages user;
    private final StructCaller caller;
    private final Map<String, StructCall> calls = new HashMap<>();
    private final Arena arena = Arena.ofConfined();
    private final MemorySegment buffer = arena.allocate(PAGE);

    /** @throws MissingFeatureException without /dev/iommu */
    IommufdSession(Syscalls syscalls) {
        this.syscalls = syscalls;
        int probe = syscalls.open(PATH, Linux.O_RDWR | Linux.O_CLOEXEC, 0);
        if (probe < 0) {
            throw new MissingFeatureException("no " + PATH);
        }
        syscalls.close(probe);
        this.files = new Descriptors(syscalls);
        // Twice as many addresses as are mapped, so that what runs over the end finds nothing there.
        this.user = new UserPages(syscalls, 2 * USER_PAGES);
        this.caller = new StructCaller(syscalls, files, user);
        know(IommufdCalls.all());
    }

    /** Adds calls that ops can name. */
    void know(List<StructCall> more) {
        more.forEach(call -> calls.put(call.name(), call));
    }

    Descriptors files() {
        return files;
    }

    UserPages user() {
        return user;
    }

    /** Names of an op's operands. */
    static List<String> operandNames(String op, List<StructCall> calls) {
        for (StructCall call : calls) {
            if (call.name().equals(op)) {
                return call.operandNames();
            }
        }
        return switch (op) {
            case "open", "eventfd", "close", "poll" -> List.of("@file");
            case "memfd" -> List.of("@file", "bytes");
            case "dup" -> List.of("@file", "@from");
            case "ioctl" -> List.of("@file", "request", "value");
            case "wild" -> List.of("@file", "size", "tail", "place", "request");
            case "read", "write" -> List.of("@file", "bytes");
            case "mmap" -> List.of("@file", "length", "protection", "flags", "offset");
            case "user_map" -> List.of("page", "length", "protection", "@file", "offset");
            case "user_unmap" -> List.of("page", "count");
            case "user_read" -> List.of("user");
            case "user_write" -> List.of("user", "value");
            default -> List.of();
        };
    }

    @Override
    public Answer perform(Op op) {
        StructCall call = calls.get(op.name());
        if (call != null) {
            return caller.perform(call, op);
        }
        long file = op.operand(0);
        return switch (op.name()) {
            case "open" -> Answer.ofFile(files.set(file, syscalls.open(PATH, Linux.O_RDWR | Linux.O_CLOEXEC, 0)));
            case "memfd" -> Answer.ofFile(memfd(file, op.operand(1)));
            case "eventfd" -> Answer.ofFile(files.set(file, syscalls.eventfd(0, Linux.EFD_CLOEXEC | Linux.EFD_NONBLOCK)));
            case "close" -> Answer.of(files.close(file));
            case "dup" -> Answer.ofFile(files.set(file, syscalls.dup(files.get(op.operand(1)))));
            case "ioctl" -> Answer.of(syscalls.ioctl(files.get(file), op.intOperand(1), op.operand(2)));
            case "wild" -> caller.perform(StructCall.of("wild", op.intOperand(4), 64), op);
            case "read" -> read(files.get(file), op.intOperand(1));
            case "write" -> write(files.get(file), op.intOperand(1));
            case "poll" -> poll(files.get(file));
            case "mmap" -> mmap(op);
            case "user_map" -> Answer.of(userMap(op));
            case "user_unmap" -> Answer.of(user.unmap(op.operand(0), op.operand(1)));
            case "user_read" -> user.read(op.operand(0));
            case "user_write" -> user.write(op.operand(0), op.intOperand(1));
            default -> throw new BadInputException("no op '" + op.name() + "' in this surface");
        };
    }

    private int memfd(long file, long bytes) {
        int fd = syscalls.memfdCreate("fuzz", Linux.MFD_CLOEXEC);
        syscalls.ftruncate(fd, bytes);
        return files.set(file, fd);
    }

    /** Anonymous memory for a file symbol below zero, else a shared mapping of the file. */
    private int userMap(Op op) {
        long file = op.operand(3);
        int flags = file < 0 ? Linux.MAP_PRIVATE | Linux.MAP_ANONYMOUS : Linux.MAP_SHARED;
        int fd = file < 0 ? -1 : files.get(file);
        return user.map(op.operand(0), op.operand(1), op.intOperand(2), flags, fd, file < 0 ? 0 : op.operand(4));
    }

    Answer read(int fd, int bytes) {
        buffer.fill((byte) 0);
        long answer = syscalls.read(fd, buffer.asSlice(0, bytes));
        return Answer.with(answer).and("bytes", StructCaller.hash(buffer.asSlice(0, bytes))).build();
    }

    Answer write(int fd, int bytes) {
        buffer.fill((byte) 0);
        if (bytes >= Long.BYTES) {
            buffer.set(ValueLayout.JAVA_LONG, 0, 1);
        }
        return Answer.of(syscalls.write(fd, buffer.asSlice(0, bytes)));
    }

    private Answer poll(int fd) {
        MemorySegment pollfd = buffer.asSlice(0, 8);
        pollfd.set(ValueLayout.JAVA_INT, 0, fd);
        pollfd.set(ValueLayout.JAVA_INT, 4, Linux.POLLIN | Linux.POLLOUT);
        long answer = syscalls.poll(pollfd, 0);
        return Answer.with(answer).and("events", pollfd.get(ValueLayout.JAVA_SHORT, 6)).build();
    }

    private Answer mmap(Op op) {
        long length = op.operand(1);
        long answer = syscalls.mmap(
                0, length, op.intOperand(2), op.intOperand(3), files.get(op.operand(0)), op.operand(4));
        if (Linux.isError(answer)) {
            return Answer.of(answer);
        }
        syscalls.munmap(answer, length);
        return Answer.of(0);
    }

    @Override
    public void close() {
        files.close();
        caller.close();
        user.close();
        arena.close();
    }
}
