// SPDX-License-Identifier: Apache-2.0
package dev.alcove.sys;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemoryLayout;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;
import java.util.List;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;
import static java.lang.foreign.ValueLayout.JAVA_SHORT;

/**
 * System calls by number, for work on other processes that {@link Syscalls} has no words for: what supervises a
 * program. They always go to the host's kernel. Thread safe.
 */
@SuppressWarnings("restricted") // links natively: the calls are made by number
public final class RawSyscalls {
    private static final Linker LINKER = Linker.nativeLinker();
    private static final ValueLayout.OfInt ERRNO_LAYOUT = (ValueLayout.OfInt)
            Linker.Option.captureStateLayout().select(MemoryLayout.PathElement.groupElement("errno"));
    private static final long ERRNO_OFFSET =
            Linker.Option.captureStateLayout().byteOffset(MemoryLayout.PathElement.groupElement("errno"));
    private static final MethodHandle SYSCALL = LINKER.downcallHandle(
            LINKER.defaultLookup().findOrThrow("syscall"),
            FunctionDescriptor.of(
                    JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG),
            Linker.Option.captureCallState("errno"),
            Linker.Option.firstVariadicArg(1));

    private static final MethodHandle ATTRIBUTES = posix("posix_spawnattr_init", ADDRESS);
    private static final MethodHandle FLAGS = posix("posix_spawnattr_setflags", ADDRESS, JAVA_SHORT);
    private static final MethodHandle MASK = posix("posix_spawnattr_setsigmask", ADDRESS, ADDRESS);
    private static final MethodHandle ACTIONS = posix("posix_spawn_file_actions_init", ADDRESS);
    private static final MethodHandle CLOSE_FROM =
            posix("posix_spawn_file_actions_addclosefrom_np", ADDRESS, JAVA_INT);
    private static final MethodHandle SPAWN =
            posix("posix_spawn", ADDRESS, ADDRESS, ADDRESS, ADDRESS, ADDRESS, ADDRESS);

    private static final short POSIX_SPAWN_SETSIGMASK = 8;
    private static final int STANDARD_STREAMS = 3;
    /** More than glibc's posix_spawnattr_t, posix_spawn_file_actions_t and sigset_t take. */
    private static final long OPAQUE = 1024;

    private final ThreadLocal<MemorySegment> callState =
            ThreadLocal.withInitial(() -> Arena.ofAuto().allocate(Linker.Option.captureStateLayout()));

    private static MethodHandle posix(String name, MemoryLayout... arguments) {
        return LINKER.downcallHandle(
                LINKER.defaultLookup().findOrThrow(name), FunctionDescriptor.of(JAVA_INT, arguments));
    }

    /** A call with six arguments; the answer is the kernel's own: a value or a negated errno. */
    public long call(long number, long a, long b, long c, long d, long e, long f) {
        MemorySegment state = callState.get();
        try {
            long result = (long) SYSCALL.invokeExact(state, number, a, b, c, d, e, f);
            return result == -1 ? -state.get(ERRNO_LAYOUT, ERRNO_OFFSET) : result;
        } catch (Throwable thrown) {
            throw new AssertionError("a downcall throws nothing", thrown);
        }
    }

    /** Where a function of this process's C library starts, 0 when it has none of that name. */
    public long addressOf(String function) {
        return LINKER.defaultLookup().find(function).map(MemorySegment::address).orElse(0L);
    }

    /** A call with up to four arguments. */
    public long call(long number, long a, long b, long c, long d) {
        return call(number, a, b, c, d, 0, 0);
    }

    /** A call with up to three arguments. */
    public long call(long number, long a, long b, long c) {
        return call(number, a, b, c, 0, 0, 0);
    }

    /**
     * posix_spawn(3), with no signal blocked and no descriptor passed on but the standard streams.
     *
     * @param path absolute
     * @param arguments of the program, its name first
     * @param environment {@code NAME=value} each
     * @return the process, or a negated errno
     */
    public int spawn(String path, List<String> arguments, List<String> environment) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment attributes = arena.allocate(OPAQUE, 16);
            MemorySegment actions = arena.allocate(OPAQUE, 16);
            MemorySegment noSignals = arena.allocate(OPAQUE, 16);
            MemorySegment pid = arena.allocate(JAVA_INT);
            check((int) ATTRIBUTES.invokeExact(attributes));
            check((int) FLAGS.invokeExact(attributes, POSIX_SPAWN_SETSIGMASK));
            check((int) MASK.invokeExact(attributes, noSignals));
            check((int) ACTIONS.invokeExact(actions));
            check((int) CLOSE_FROM.invokeExact(actions, STANDARD_STREAMS));
            int error = (int) SPAWN.invokeExact(
                    pid, arena.allocateFrom(path), actions, attributes, strings(arena, arguments), strings(arena, environment));
            return error == 0 ? pid.get(JAVA_INT, 0) : -error;
        } catch (RuntimeException | Error known) {
            throw known;
        } catch (Throwable thrown) {
            throw new AssertionError("a downcall throws nothing", thrown);
        }
    }

    private static void check(int error) {
        if (error != 0) {
            throw new SyscallException("posix_spawn", "its attributes", -error);
        }
    }

    /** A vector of strings that ends with a null pointer. */
    private static MemorySegment strings(Arena arena, List<String> texts) {
        MemorySegment vector = arena.allocate(ADDRESS, texts.size() + 1L);
        for (int i = 0; i < texts.size(); i++) {
            vector.setAtIndex(ADDRESS, i, arena.allocateFrom(texts.get(i)));
        }
        return vector;
    }
}
