// SPDX-License-Identifier: Apache-2.0
package dev.alcove.explore;

import dev.alcove.bindings.kvm.kvm;
import dev.alcove.explore.schedule.Scheduler;
import dev.alcove.sys.Syscalls;
import java.lang.reflect.InvocationHandler;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.lang.reflect.Proxy;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * Makes every system call a step. The call itself then happens at once, as far as the other threads can see; only
 * KVM_RUN takes steps of its own while it goes on, so that it needs none here.
 */
final class SteppedSyscalls implements InvocationHandler {
    /** Calls about the calling thread alone: nobody can tell in which order they come. */
    private static final Set<String> OWN =
            Set.of("getpid", "gettid", "geteuid", "sigprocmask", "sigtimedwait", "uname", "prlimit");

    private static final Set<Integer> OWN_IOCTLS =
            Set.of(kvm.KVM_RUN(), (int) kvm.KVM_SET_SIGNAL_MASK(), (int) kvm.KVM_GET_REGS());

    private final Syscalls target;
    private final Scheduler scheduler;
    private final CallText text;

    private SteppedSyscalls(Syscalls target, Scheduler scheduler, CallText text) {
        this.target = target;
        this.scheduler = scheduler;
        this.text = text;
    }

    static Syscalls of(Syscalls target, Scheduler scheduler, CallText text) {
        return (Syscalls) Proxy.newProxyInstance(
                Syscalls.class.getClassLoader(),
                new Class<?>[] {Syscalls.class},
                new SteppedSyscalls(target, scheduler, text));
    }

    @Override
    public @Nullable Object invoke(Object proxy, Method method, @Nullable Object @Nullable [] arguments)
            throws Throwable {
        boolean own = OWN.contains(method.getName())
                || method.getDeclaringClass() == Object.class
                || (arguments != null && arguments.length == 3 && OWN_IOCTLS.contains(arguments[1]));
        if (own) {
            return call(method, arguments);
        }
        scheduler.step(() -> text.of(method.getName(), arguments));
        Object answer = call(method, arguments);
        scheduler.answer(() -> " = " + text.answer(answer));
        return answer;
    }

    private @Nullable Object call(Method method, @Nullable Object @Nullable [] arguments) throws Throwable {
        try {
            return method.invoke(target, arguments);
        } catch (InvocationTargetException e) {
            throw e.getCause() != null ? e.getCause() : e;
        }
    }
}
