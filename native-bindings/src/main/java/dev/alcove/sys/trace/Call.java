// SPDX-License-Identifier: Apache-2.0
package dev.alcove.sys.trace;

import dev.alcove.sys.Syscalls;
import java.lang.foreign.MemorySegment;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

import static dev.alcove.sys.trace.Parameter.Kind.INPUT;
import static dev.alcove.sys.trace.Parameter.Kind.IN_STRUCT;
import static dev.alcove.sys.trace.Parameter.Kind.NUMBER;
import static dev.alcove.sys.trace.Parameter.Kind.OUTPUT;
import static dev.alcove.sys.trace.Parameter.Kind.OUT_STRUCT;
import static dev.alcove.sys.trace.Parameter.Kind.TEXT;

/**
 * The system calls: name, parameters, what the answer stands for, and how to make the call. Recording and replay go by
 * this table; the ioctls' structs are in {@link dev.alcove.sys.Ioctls} and {@link FieldRules}.
 */
@SuppressWarnings("ImmutableEnumChecker") // it is: the functions have no state, the lists are copies
enum Call {
    OPEN("open", Role.DESCRIPTOR, (k, a) -> k.open(text(a, 0), word(a, 1), word(a, 2)),
            new Parameter("path", TEXT, Role.PATH), number("flags"), number("mode")),
    CLOSE("close", Role.PLAIN, (k, a) -> k.close(word(a, 0)), fd()),
    FCNTL("fcntl", Role.PLAIN, (k, a) -> k.fcntl(word(a, 0), word(a, 1), number(a, 2)),
            fd(), number("command"), number("argument")),
    DUP("dup", Role.DESCRIPTOR, (k, a) -> k.dup(word(a, 0)), fd()),
    READ("read", Role.PLAIN, (k, a) -> k.read(word(a, 0), memory(a, 1)), fd(), buffer(OUTPUT)),
    WRITE("write", Role.PLAIN, (k, a) -> k.write(word(a, 0), memory(a, 1)), fd(), buffer(INPUT)),
    PREAD("pread", Role.PLAIN, (k, a) -> k.pread(word(a, 0), memory(a, 1), number(a, 2)),
            fd(), buffer(OUTPUT), number("offset")),
    PWRITE("pwrite", Role.PLAIN, (k, a) -> k.pwrite(word(a, 0), memory(a, 1), number(a, 2)),
            fd(), buffer(INPUT), number("offset")),
    LSEEK("lseek", Role.PLAIN, (k, a) -> k.lseek(word(a, 0), number(a, 1), word(a, 2)),
            fd(), number("offset"), number("whence")),
    FSTAT("fstat", Role.PLAIN, (k, a) -> k.fstat(word(a, 0), memory(a, 1)),
            fd(), new Parameter("stat", OUT_STRUCT, Role.PLAIN)),
    IOCTL("ioctl", Role.PLAIN, (k, a) -> k.ioctl(word(a, 0), word(a, 1), memory(a, 2)),
            fd(), number("request"), new Parameter("arg", Parameter.Kind.ARGUMENT, Role.PLAIN)),
    IOCTL_VALUE("ioctl", Role.PLAIN, (k, a) -> k.ioctl(word(a, 0), word(a, 1), number(a, 2)),
            fd(), number("request"), number("arg")),
    MMAP("mmap", Role.ADDRESS,
            (k, a) -> k.mmap(number(a, 0), number(a, 1), word(a, 2), word(a, 3), word(a, 4), number(a, 5)),
            address(), number("length"), number("protection"), number("flags"), fd(), number("offset")),
    MUNMAP("munmap", Role.PLAIN, (k, a) -> k.munmap(number(a, 0), number(a, 1)), address(), number("length")),
    MADVISE("madvise", Role.PLAIN, (k, a) -> k.madvise(number(a, 0), number(a, 1), word(a, 2)),
            address(), number("length"), number("advice")),
    FALLOCATE("fallocate", Role.PLAIN,
            (k, a) -> k.fallocate(word(a, 0), word(a, 1), number(a, 2), number(a, 3)),
            fd(), number("mode"), number("offset"), number("length")),
    FTRUNCATE("ftruncate", Role.PLAIN, (k, a) -> k.ftruncate(word(a, 0), number(a, 1)), fd(), number("length")),
    MEMFD_CREATE("memfd_create", Role.DESCRIPTOR, (k, a) -> k.memfdCreate(text(a, 0), word(a, 1)),
            new Parameter("name", TEXT, Role.PLAIN), number("flags")),
    EVENTFD("eventfd", Role.DESCRIPTOR, (k, a) -> k.eventfd(word(a, 0), word(a, 1)),
            number("initial"), number("flags")),
    POLL("poll", Role.PLAIN, (k, a) -> k.poll(memory(a, 0), word(a, 1)),
            new Parameter("pollfds", Parameter.Kind.POLLFDS, Role.PLAIN), number("timeoutMillis")),
    PRLIMIT("prlimit", Role.PLAIN, (k, a) -> k.prlimit(word(a, 0), maybe(a, 1), maybe(a, 2)),
            number("resource"), new Parameter("newLimit", IN_STRUCT, Role.PLAIN),
            new Parameter("oldLimit", OUT_STRUCT, Role.MACHINE)),
    GETDENTS64("getdents64", Role.PLAIN, (k, a) -> k.getdents64(word(a, 0), memory(a, 1)), fd(), buffer(OUTPUT)),
    READLINK("readlink", Role.PLAIN, (k, a) -> k.readlink(text(a, 0), memory(a, 1)),
            new Parameter("path", TEXT, Role.PATH), buffer(OUTPUT)),
    UNAME("uname", Role.PLAIN, (k, a) -> k.uname(memory(a, 0)), new Parameter("utsname", OUT_STRUCT, Role.MACHINE)),
    GETPID("getpid", Role.PROCESS, (k, a) -> k.getpid()),
    GETTID("gettid", Role.THREAD, (k, a) -> k.gettid()),
    GETEUID("geteuid", Role.MACHINE, (k, a) -> k.geteuid()),
    TGKILL("tgkill", Role.PLAIN, (k, a) -> k.tgkill(word(a, 0), word(a, 1), word(a, 2)),
            new Parameter("tgid", NUMBER, Role.PROCESS), new Parameter("tid", NUMBER, Role.THREAD), number("signal")),
    SIGPROCMASK("sigprocmask", Role.PLAIN, (k, a) -> k.sigprocmask(word(a, 0), maybe(a, 1), maybe(a, 2)),
            number("how"), new Parameter("set", IN_STRUCT, Role.PLAIN),
            new Parameter("old", OUT_STRUCT, Role.MACHINE)),
    SIGTIMEDWAIT("sigtimedwait", Role.PLAIN, (k, a) -> k.sigtimedwait(memory(a, 0), number(a, 1)),
            new Parameter("set", IN_STRUCT, Role.PLAIN), number("timeoutNanos"));

    /** Makes the call. */
    @FunctionalInterface
    interface Issue {
        long on(Syscalls kernel, @Nullable Object[] arguments);
    }

    private static final Map<String, Call> BY_NAME = new HashMap<>();

    static {
        for (Call call : values()) {
            BY_NAME.putIfAbsent(call.text, call);
        }
    }

    private final String text;
    private final Role answer;
    private final Issue issue;
    private final List<Parameter> parameters;

    Call(String text, Role answer, Issue issue, Parameter... parameters) {
        this.text = text;
        this.answer = answer;
        this.issue = issue;
        this.parameters = List.of(parameters);
    }

    /** The call of a name; {@link #IOCTL} for both kinds of ioctl. */
    static @Nullable Call named(String name) {
        return BY_NAME.get(name);
    }

    /** Its name in a trace. */
    String text() {
        return text;
    }

    /** What an answer that is no error stands for, but for that of an ioctl. */
    Role answer() {
        return answer;
    }

    List<Parameter> parameters() {
        return parameters;
    }

    /** The answer of {@code kernel}. */
    long issue(Syscalls kernel, @Nullable Object[] arguments) {
        return issue.on(kernel, arguments);
    }

    /**
     * Whether the call takes its place in the trace when it begins, and not when it is back: it gives something up
     * that another thread may get, or wakes another thread, before it is back itself.
     */
    boolean countsFromItsBegin() {
        return switch (this) {
            case CLOSE, MUNMAP, TGKILL, WRITE -> true;
            default -> false;
        };
    }

    boolean isIoctl() {
        return this == IOCTL || this == IOCTL_VALUE;
    }

    private static Parameter fd() {
        return new Parameter("fd", NUMBER, Role.DESCRIPTOR);
    }

    private static Parameter address() {
        return new Parameter("address", NUMBER, Role.ADDRESS);
    }

    private static Parameter number(String name) {
        return new Parameter(name, NUMBER, Role.PLAIN);
    }

    private static Parameter buffer(Parameter.Kind kind) {
        return new Parameter("buffer", kind, Role.PLAIN);
    }

    private static int word(@Nullable Object[] arguments, int index) {
        return (int) number(arguments, index);
    }

    private static long number(@Nullable Object[] arguments, int index) {
        return ((Number) Objects.requireNonNull(arguments[index])).longValue();
    }

    private static String text(@Nullable Object[] arguments, int index) {
        return (String) Objects.requireNonNull(arguments[index]);
    }

    private static MemorySegment memory(@Nullable Object[] arguments, int index) {
        return (MemorySegment) Objects.requireNonNull(arguments[index]);
    }

    private static @Nullable MemorySegment maybe(@Nullable Object[] arguments, int index) {
        return (MemorySegment) arguments[index];
    }
}
