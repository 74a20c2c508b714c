// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel;

import dev.alcove.kernel.file.Attribute;
import dev.alcove.kernel.file.NullFile;
import dev.alcove.kernel.file.Vfs;
import dev.alcove.kernel.mm.HugePages;
import dev.alcove.kernel.mm.HugePools;
import dev.alcove.kernel.task.Task;
import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import java.util.List;

/** /dev/null, the lines of /proc/self/status that a VMM reads, and the views and the sizes of the pools of huge pages. */
final class ProcessFiles implements Subsystem {
    /** CAP_CHECKPOINT_RESTORE. */
    private static final int LAST_CAPABILITY = 40;

    private static final int OVER = 12;

    private final Vfs vfs;
    private final HugePools hugePools;

    ProcessFiles(EmulatedKernel kernel) {
        vfs = kernel.vfs();
        vfs.add("/dev/null", (task, flags) ->
                task.install(new NullFile(flags, vfs.nextInode()), (flags & Linux.O_CLOEXEC) != 0));
        hugePools = kernel.memory().hugePools();
        long kilobytes = kernel.memory().frames() * (Linux.PAGE_SIZE >> 10);
        vfs.addText("/proc/meminfo", task -> "MemTotal: %14d kB\n".formatted(kilobytes) + hugePools.describe());
        vfs.addText("/proc/sys/vm/nr_hugepages", 0644, count(hugePools.ordinary()));
        for (HugePages pool : hugePools.all()) {
            String folder = folder(pool);
            vfs.addText(folder + "/nr_hugepages", 0644, count(pool));
            vfs.addText(folder + "/free_hugepages", task -> pool.free() + "\n");
            vfs.addText(folder + "/resv_hugepages", task -> pool.reserved() + "\n");
            vfs.addText(folder + "/surplus_hugepages", "0\n");
        }
        vfs.claim("/proc/sys/vm/nr_hugepages", false);
        vfs.claim("/sys/kernel/mm/hugepages", false);
        vfs.addTaskText("status", 0444, thread -> ProcessFiles::status);
    }

    private static String folder(HugePages pool) {
        return "/sys/kernel/mm/hugepages/hugepages-" + (pool.bytes() >> 10) + "kB";
    }

    private static Attribute count(HugePages pool) {
        return Attribute.of(task -> pool.total() + "\n", (task, text) -> resize(pool, text));
    }

    private static String status(Task task) {
        long capabilities = 0;
        for (int capability = 0; capability <= LAST_CAPABILITY; capability++) {
            capabilities |= task.capable(capability) ? 1L << capability : 0;
        }
        return "Tgid:\t%d\nPid:\t%d\nVmLck:\t%8d kB\nVmPin:\t%8d kB\nCapEff:\t%016x\n".formatted(
                task.tgid(), task.tid(), 4 * task.mm().locked().pages(), 4 * task.mm().pinnedPages(), capabilities);
    }

    private static long resize(HugePages pool, String text) {
        String number = text.strip();
        if (number.isEmpty() || number.length() > OVER || !number.chars().allMatch(c -> c >= '0' && c <= '9')) {
            return -Errno.EINVAL;
        }
        pool.resize(Long.parseLong(number));
        return 0;
    }

    @Override
    public void close() {
        vfs.remove("/proc/meminfo");
        vfs.remove("/proc/sys/vm/nr_hugepages");
        for (HugePages pool : hugePools.all()) {
            List.of("nr", "free", "resv", "surplus")
                    .forEach(name -> vfs.remove(folder(pool) + "/" + name + "_hugepages"));
        }
        vfs.remove("/dev/null");
    }
}
