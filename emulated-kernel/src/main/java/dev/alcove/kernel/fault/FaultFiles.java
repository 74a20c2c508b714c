// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.fault;

import dev.alcove.kernel.KernelProfile;
import dev.alcove.kernel.file.Attribute;
import dev.alcove.kernel.file.Vfs;
import dev.alcove.kernel.task.Task;
import dev.alcove.sys.Errno;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.BooleanSupplier;
import java.util.function.Consumer;
import java.util.function.LongConsumer;
import java.util.function.LongSupplier;

/**
 * The files of fault injection: fail-nth and make-it-fail of each thread, and the folders fail* of debugfs. There is no
 * log to be verbose in: those files keep what is written.
 */
public final class FaultFiles {
    private static final String DEBUGFS = "/sys/kernel/debug/";
    /** {@code PROC_NUMBUF} without the terminator: more of a write is left out. */
    private static final int NUMBER_LENGTH = 12;

    /** What {@code kstrtouint_from_user} looks at. */
    private static final int UNSIGNED_LENGTH = 34;

    private static final int VERBOSE = 2;
    private static final int BURST = 10;

    private final FaultInjection faults;
    private final Vfs vfs;

    /** Whether flags can be "enabled" and "disabled" too. */
    private final boolean enabled;

    private FaultFiles(FaultInjection faults, Vfs vfs, boolean enabled) {
        this.faults = faults;
        this.vfs = vfs;
        this.enabled = enabled;
    }

    /** Puts the files into the tree. */
    public static void add(KernelProfile profile, FaultInjection faults, Vfs vfs) {
        new FaultFiles(faults, vfs, profile.atLeast(6, 18)).add();
    }

    private void add() {
        vfs.addTaskText("fail-nth", 0644, this::failNth);
        vfs.addTaskText("make-it-fail", 0644, this::makeItFail);
        faults.attributes().forEach(this::addFolder);
        flag("failslab/ignore-gfp-wait", faults::slabSparesReclaim, faults::setSlabSparesReclaim);
        AtomicBoolean filter = new AtomicBoolean();
        flag("failslab/cache-filter", filter::get, filter::set);
        flag("fail_page_alloc/ignore-gfp-wait", faults::pageSparesReclaim, faults::setPageSparesReclaim);
        flag("fail_page_alloc/ignore-gfp-highmem", faults::pageSparesHighmem, faults::setPageSparesHighmem);
        number(
                "fail_page_alloc/min-order",
                () -> Integer.toUnsignedLong(faults.pageMinOrder()),
                order -> faults.setPageMinOrder((int) order));
        vfs.claim("/sys/kernel/debug", false);
    }

    private void addFolder(FaultAttribute attribute) {
        String folder = attribute.name() + "/";
        number(folder + "probability", attribute::probability, percent -> faults.setProbability(attribute, percent));
        number(folder + "interval", attribute::interval, attribute::setInterval);
        signed(folder + "times", attribute::times, times -> attribute.setTimes((int) times));
        signed(folder + "space", attribute::space, space -> attribute.setSpace((int) space));
        flag(folder + "task-filter", attribute::taskFilter, attribute::setTaskFilter);
        AtomicLong verbose = new AtomicLong(VERBOSE);
        number(folder + "verbose", verbose::get, verbose::set);
        AtomicLong interval = new AtomicLong();
        number(folder + "verbose_ratelimit_interval_ms", interval::get, value -> interval.set(value & 0xffffffffL));
        AtomicLong burst = new AtomicLong(BURST);
        number(folder + "verbose_ratelimit_burst", burst::get, value -> burst.set(value & 0xffffffffL));
    }

    private Attribute failNth(int tid) {
        return Attribute.of(task -> Integer.toUnsignedString(faults.nth(tid)) + "\n", (task, text) -> {
            Kstrto number = Kstrto.unsigned(first(text, UNSIGNED_LENGTH), Integer.SIZE);
            if (number.errno() == 0) {
                faults.setNth(tid, (int) number.value());
            }
            return -number.errno();
        });
    }

    private Attribute makeItFail(int tid) {
        return Attribute.of(task -> faults.marked(tid) ? "1\n" : "0\n", (task, text) -> {
            if (!task.capable(Task.CAP_SYS_RESOURCE)) {
                return -Errno.EPERM;
            }
            Kstrto number = Kstrto.signed(first(text, NUMBER_LENGTH).strip(), Integer.SIZE);
            if (number.errno() != 0) {
                return -number.errno();
            }
            if (number.value() < 0 || number.value() > 1) {
                return -Errno.EINVAL;
            }
            faults.setMarked(tid, number.value() == 1);
            return 0;
        });
    }

    private static String first(String text, int length) {
        return text.length() > length ? text.substring(0, length) : text;
    }

    /** A number of 64 bits without a sign, as {@code DEFINE_SIMPLE_ATTRIBUTE} makes them. */
    private void number(String name, LongSupplier get, LongConsumer set) {
        vfs.addText(DEBUGFS + name, 0600, Attribute.of(
                task -> Long.toUnsignedString(get.getAsLong()) + "\n",
                (task, text) -> take(Kstrto.unsigned(text, Long.SIZE), set)));
    }

    private void signed(String name, LongSupplier get, LongConsumer set) {
        vfs.addText(DEBUGFS + name, 0600, Attribute.of(
                task -> get.getAsLong() + "\n", (task, text) -> take(Kstrto.signed(text, Long.SIZE), set)));
    }

    private static long take(Kstrto number, LongConsumer set) {
        if (number.errno() == 0) {
            set.accept(number.value());
        }
        return -number.errno();
    }

    /** What is neither yes nor no is taken and changes nothing. */
    private void flag(String name, BooleanSupplier get, Consumer<Boolean> set) {
        vfs.addText(DEBUGFS + name, 0600, Attribute.of(task -> get.getAsBoolean() ? "Y\n" : "N\n", (task, text) -> {
            char second = text.length() < 2 ? '\0' : Character.toLowerCase(text.charAt(1));
            switch (text.isEmpty() ? '\0' : text.charAt(0)) {
                case '1', 't', 'T', 'y', 'Y' -> set.accept(true);
                case '0', 'f', 'F', 'n', 'N' -> set.accept(false);
                case 'e', 'E', 'd', 'D' -> {
                    if (enabled) {
                        set.accept(Character.toLowerCase(text.charAt(0)) == 'e');
                    }
                }
                case 'o', 'O' -> {
                    if (second == 'n' || second == 'f') {
                        set.accept(second == 'n');
                    }
                }
                default -> {
                    // As it was.
                }
            }
            return 0;
        }));
    }
}
