// SPDX-License-Identifier: Apache-2.0
package dev.alcove.sys;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.reflect.InvocationHandler;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.lang.reflect.Proxy;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * Makes each call with its first allocation failing, then with its second, and so on, until it succeeds or no
 * allocation is left to fail; only the last answer is handed on. A caller notices nothing, if each failure leaves all
 * as it was.
 *
 * <p>The failures are the kernel's own ({@code fail-nth}); which kinds of allocations may fail is set in debugfs
 * before. Thread safe, as far as the calls are.
 */
public final class RetriedSyscalls implements InvocationHandler {
    private static final String FAIL_NTH = "/proc/thread-self/fail-nth";
    private static final int LONGEST = 16;
    private static final int HIGH = 500;

    /** Up to here every allocation is tried; beyond, ever fewer of them. */
    private static final int EACH = 64;

    /** Calls without allocations, and waiting, which a second call would do once more. */
    private static final Set<String> ONCE = Set.of(
            "close", "getpid", "gettid", "geteuid", "tgkill", "sigprocmask", "sigtimedwait", "uname", "prlimit", "poll");

    /** Calls that can do a part of their work: the buffer is their second argument, its place the third. */
    private static final Set<String> TRANSFERS = Set.of("read", "write", "pread", "pwrite");

    private static final Map<String, String> UNSPARED = Map.of(
            "failslab/ignore-gfp-wait", "N",
            "fail_page_alloc/ignore-gfp-wait", "N",
            "fail_page_alloc/ignore-gfp-highmem", "N",
            "fail_page_alloc/min-order", "0");

    /** What a call answers when something cannot be had: a page of the caller's is then as good as none. */
    private static final Set<Long> REFUSALS = Set.of((long) -Errno.ENOMEM, (long) -Errno.ENOSPC, (long) -Errno.EFAULT);

    /** What requests of iommufd and VFIO can answer besides, when a step of iommufd fails (fail_iommufd). */
    private static final Set<Long> REFUSALS_OF_IOMMUFD = Set.of((long) -Errno.EINVAL, (long) -Errno.ENOENT);

    /** {@code IOMMUFD_TYPE} and {@code VFIO_TYPE}. */
    private static final int IOMMUFD_TYPE = ';';

    /** Takes the log before it finds no room for it. */
    private static final int KVM_GET_DIRTY_LOG = 0x4010ae42;

    /** Takes the dirty bits before it finds no room for them. */
    private static final int IOMMU_HWPT_GET_DIRTY_BITMAP = 0x3b8c;

    /** Leaves in its struct how many requests are done, and so none to be done again. */
    private static final int IOMMU_HWPT_INVALIDATE = 0x3b8d;

    /** Of the mock IOMMU's commands that which reports an event: one without memory is numbered, and told as lost. */
    private static final int IOMMU_TEST_CMD = 0x3ba0;

    private static final int IOMMU_TEST_OP_TRIGGER_VEVENT = 17;

    /** Its emulator takes memory that it cannot get for a device, and has gone on when it says so. */
    private static final int KVM_RUN = 0xae80;

    private static final int KVM_PRE_FAULT_MEMORY = 0xc040aed5;

    /** Is told of failures. */
    @FunctionalInterface
    public interface Observer {
        /**
         * A call has been made in which an allocation failed. Called before the next one is made.
         *
         * @param call the method's name
         * @param nth which allocation failed, from 1
         * @param answer of the call: a negated errno, or what it answers in spite of the failure
         */
        void failed(String call, int nth, long answer);
    }

    private final Syscalls target;
    private final Observer observer;

    private RetriedSyscalls(Syscalls target, Observer observer) {
        this.target = target;
        this.observer = observer;
    }

    /** Calls on a kernel whose allocations are to fail. */
    public static Syscalls of(Syscalls target, Observer observer) {
        return (Syscalls) Proxy.newProxyInstance(
                Syscalls.class.getClassLoader(), new Class<?>[] {Syscalls.class}, new RetriedSyscalls(target, observer));
    }

    /** Sets a kernel up so that every allocation is one that can fail, which is not so at first. */
    public static void spareNothing(Syscalls target) {
        UNSPARED.forEach((file, value) -> {
            int fd = target.open("/sys/kernel/debug/" + file, Linux.O_WRONLY | Linux.O_CLOEXEC, 0);
            try (Arena arena = Arena.ofConfined()) {
                byte[] text = value.getBytes(StandardCharsets.US_ASCII);
                check(target.write(fd, arena.allocateFrom(ValueLayout.JAVA_BYTE, text)));
            } finally {
                target.close(fd);
            }
        });
    }

    @Override
    public @Nullable Object invoke(Object proxy, Method method, @Nullable Object @Nullable [] arguments) throws Throwable {
        boolean once = ONCE.contains(method.getName())
                || isRequest(method, arguments, KVM_GET_DIRTY_LOG)
                || isRequest(method, arguments, KVM_RUN)
                || isRequest(method, arguments, IOMMU_HWPT_GET_DIRTY_BITMAP)
                || isRequest(method, arguments, IOMMU_HWPT_INVALIDATE)
                || reportsEvent(method, arguments);
        if (once || method.getDeclaringClass() == Object.class) {
            return call(method, arguments);
        }
        int fd = open();
        if (fd < 0) {
            // No descriptor is left: that is what the caller is to see.
            return call(method, arguments);
        }
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment buffer = arena.allocate(LONGEST);
            for (int nth = 1; ; nth += 1 + nth / EACH) {
                write(fd, buffer, nth);
                Object answer;
                int left;
                try {
                    answer = call(method, arguments);
                } finally {
                    left = read(fd, buffer);
                    write(fd, buffer, 0);
                }
                if (left != 0) {
                    return answer;
                }
                long value = answer instanceof Number number ? number.longValue() : 0;
                observer.failed(method.getName(), nth, value);
                if (value == 0 && isRequest(method, arguments, KVM_PRE_FAULT_MEMORY)) {
                    // It stopped at the failure, and has said where in its struct.
                    invoke(proxy, method, arguments);
                    return answer;
                }
                if (value > 0 && TRANSFERS.contains(method.getName()) && arguments != null) {
                    return value + rest(method, arguments, value);
                }
                if (!isRefusal(method, arguments, value)) {
                    return answer;
                }
            }
        } finally {
            target.close(fd);
        }
    }

    private static boolean isRequest(Method method, @Nullable Object @Nullable [] arguments, int request) {
        return method.getName().equals("ioctl") && arguments != null && Objects.equals(arguments[1], request);
    }

    private static boolean isRefusal(Method method, @Nullable Object @Nullable [] arguments, long answer) {
        return REFUSALS.contains(answer)
                || (REFUSALS_OF_IOMMUFD.contains(answer)
                        && method.getName().equals("ioctl")
                        && arguments != null
                        && arguments[1] instanceof Integer request
                        && (request >>> 8 & 0xff) == IOMMUFD_TYPE);
    }

    private static boolean reportsEvent(Method method, @Nullable Object @Nullable [] arguments) {
        return isRequest(method, arguments, IOMMU_TEST_CMD)
                && arguments != null
                && arguments[2] instanceof MemorySegment struct
                && struct.get(ValueLayout.JAVA_INT, Integer.BYTES) == IOMMU_TEST_OP_TRIGGER_VEVENT;
    }

    /** What is left of a transfer that a failure has cut short: the bytes moved. */
    private long rest(Method method, @Nullable Object[] arguments, long done) throws Throwable {
        MemorySegment buffer = (MemorySegment) Objects.requireNonNull(arguments[1]);
        if (done >= buffer.byteSize()) {
            return 0;
        }
        @Nullable Object[] rest = arguments.clone();
        rest[1] = buffer.asSlice(done);
        if (rest.length > 2) {
            rest[2] = (Long) Objects.requireNonNull(arguments[2]) + done;
        }
        return Math.max(0, (Long) Objects.requireNonNull(invoke(this, method, rest)));
    }

    private @Nullable Object call(Method method, @Nullable Object @Nullable [] arguments) throws Throwable {
        try {
            return method.invoke(target, arguments);
        } catch (InvocationTargetException e) {
            throw e.getCause() != null ? e.getCause() : e;
        }
    }

    /** Opens fail-nth where it is in nobody's way: who opens a file gets the lowest number. */
    private int open() {
        int low = target.open(FAIL_NTH, Linux.O_RDWR | Linux.O_CLOEXEC, 0);
        if (low < 0) {
            return low;
        }
        int high = target.fcntl(low, Linux.F_DUPFD_CLOEXEC, HIGH);
        target.close(low);
        return high;
    }

    private void write(int fd, MemorySegment buffer, int nth) {
        byte[] text = Integer.toString(nth).getBytes(StandardCharsets.US_ASCII);
        MemorySegment.copy(text, 0, buffer, ValueLayout.JAVA_BYTE, 0, text.length);
        check(target.pwrite(fd, buffer.asSlice(0, text.length), 0));
    }

    private int read(int fd, MemorySegment buffer) {
        int length = (int) check(target.pread(fd, buffer, 0));
        byte[] text = buffer.asSlice(0, length - 1).toArray(ValueLayout.JAVA_BYTE);
        return Integer.parseUnsignedInt(new String(text, StandardCharsets.US_ASCII));
    }

    private static long check(long answer) {
        if (answer <= 0) {
            throw new SyscallException("read or write", "a file of fault injection", answer);
        }
        return answer;
    }
}
