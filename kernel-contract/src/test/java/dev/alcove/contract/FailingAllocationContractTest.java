// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract;

import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import dev.alcove.sys.Syscalls;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Set;
import java.util.function.LongSupplier;
import org.junit.jupiter.api.Timeout;

import static dev.alcove.contract.Checks.fails;
import static dev.alcove.contract.Checks.fd;
import static dev.alcove.contract.Checks.ok;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

/**
 * What is left of a call that finds no memory: each of its allocations fails in turn. Some of a real kernel's are of a
 * kind that it gets along without; the call works then.
 */
@Surface("fault injection")
@Timeout(60)
final class FailingAllocationContractTest {
    private static final String SLAB = "/sys/kernel/debug/failslab/";
    private static final Set<Integer> NO_MEMORY = Set.of(Errno.ENOMEM);
    private static final long PAGE = Linux.PAGE_SIZE;

    /** Sees to it that allocations fail that can wait, too. */
    private static final class Rig implements AutoCloseable {
        final Syscalls sys;
        private final TextFiles files;
        private final NthFailure nth;

        Rig(KernelUnderTest kernel) {
            sys = kernel.sys();
            int probe = sys.open(SLAB + "verbose", Linux.O_RDWR | Linux.O_CLOEXEC, 0);
            kernel.needs("fault injection (CONFIG_FAILSLAB), or the right to use it", probe);
            ok(sys.close(probe));
            nth = new NthFailure(sys);
            files = new TextFiles(sys);
            ok(files.write(SLAB + "verbose", "0"));
        }

        /**
         * Fails each allocation of a call in turn: how many failures it has told.
         *
         * @param call which is made once before, as what the JVM allocates for its first time must not fail
         * @param errnos in which the call tells them
         * @param undo of a call that has worked
         * @param refused what must hold after a call that has not
         */
        int failures(LongSupplier call, Set<Integer> errnos, Runnable undo, Runnable refused) {
            ok(call.getAsLong());
            undo.run();
            int told = 0;
            for (int number = 1; number < NthFailure.MOST; number++) {
                ok(files.write(SLAB + "ignore-gfp-wait", "N"));
                long answer = nth.answer(number, call);
                ok(files.write(SLAB + "ignore-gfp-wait", "Y"));
                if (!nth.failed()) {
                    ok(answer);
                    return told;
                }
                if (answer >= 0) {
                    undo.run();
                } else {
                    assertTrue(errnos.contains((int) -answer), "allocation " + number + ": " + Errno.name(answer));
                    told++;
                    refused.run();
                }
            }
            throw new AssertionError("no end of allocations");
        }

        @Override
        public void close() {
            nth.close();
        }
    }

    @EveryKernel
    void aMemslotStaysWhenItCannotBeDeleted(KernelUnderTest kernel) {
        try (KvmMachine machine = new KvmMachine(kernel, 0);
                Rig rig = new Rig(kernel)) {
            long ram = machine.memory(4).address();
            int told = rig.failures(
                    () -> machine.region1(0, 0, 0, 4 * PAGE, ram),
                    NO_MEMORY,
                    () -> ok(machine.region1(0, 0, 0, 0, ram)),
                    () -> fails(Errno.EINVAL, machine.region1(0, 0, 0, 0, ram)));
            assertTrue(told >= 3, told + " failures of the new slot");
            told = rig.failures(
                    () -> machine.region1(0, 0, 16 * PAGE, 4 * PAGE, ram),
                    NO_MEMORY,
                    () -> ok(machine.region1(0, 0, 0, 4 * PAGE, ram)),
                    () -> fails(Errno.EEXIST, machine.region1(1, 0, 3 * PAGE, PAGE, ram)));
            assertTrue(told >= 4, told + " failures of the move");
            told = rig.failures(
                    () -> machine.region1(0, 0, 0, 0, ram),
                    NO_MEMORY,
                    () -> ok(machine.region1(0, 0, 16 * PAGE, 4 * PAGE, ram)),
                    () -> fails(Errno.EEXIST, machine.region1(1, 0, 16 * PAGE, PAGE, ram)));
            assertTrue(told >= 1, told + " failures of the deletion");
        }
    }

    @EveryKernel
    void anInterruptLosesItsEventfdWhenThereIsNoOther(KernelUnderTest kernel) {
        try (EduUnderTest edu = new EduUnderTest(kernel)) {
            ok(edu.bind());
            edu.enable();
            int first = fd(edu.sys.eventfd(0, Linux.EFD_NONBLOCK));
            int second = fd(edu.sys.eventfd(0, Linux.EFD_NONBLOCK));
            try (Rig rig = new Rig(kernel)) {
                int none = rig.failures(
                        () -> message(edu, first),
                        Set.of(Errno.ENOMEM, Errno.ENODEV, Errno.ENOSPC), // Some come from the depths of interrupts.
                        () -> ok(message(edu, -2)),
                        () -> fails(Errno.EINVAL, test(edu)));
                assertTrue(none >= 3, none + " failures of the first eventfd");
                int[] attempts = new int[1];
                Runnable lost = () -> {
                    ok(test(edu));
                    assertEquals(-Errno.EAGAIN, read(edu.sys, second));
                    // Without memory for the argument nothing has been done yet.
                    assertEquals(attempts[0] == 2 ? 1 : -Errno.EAGAIN, read(edu.sys, first));
                    ok(message(edu, first));
                };
                int told = rig.failures(
                        () -> {
                            attempts[0]++;
                            return message(edu, second);
                        },
                        NO_MEMORY,
                        () -> {
                            ok(test(edu));
                            assertEquals(1, read(edu.sys, second));
                            ok(message(edu, first));
                        },
                        lost);
                assertTrue(told >= 3, told + " failures of the second eventfd");
                ok(test(edu));
                assertEquals(1, read(edu.sys, second));
                assertEquals(-Errno.EAGAIN, read(edu.sys, first));
            } finally {
                edu.sys.close(first);
                edu.sys.close(second);
            }
        }
    }

    /** Gives MSI an eventfd; -2 ends it. */
    private static int message(EduUnderTest edu, int event) {
        return event == -2
                ? edu.ioctl(EduUnderTest.SET_IRQS, 24, 0x21, 1, 0, 0, 0)
                : edu.ioctl(EduUnderTest.SET_IRQS, 24, 0x24, 1, 0, 1, event);
    }

    /** Sends the message as the device would. */
    private static int test(EduUnderTest edu) {
        return edu.ioctl(EduUnderTest.SET_IRQS, 24, 0x21, 1, 0, 1, 0);
    }

    private static long read(Syscalls sys, int event) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment value = arena.allocate(8, 8);
            long answer = sys.read(event, value);
            return answer < 0 ? answer : value.get(ValueLayout.JAVA_LONG, 0);
        }
    }
}
