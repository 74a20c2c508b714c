// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel;

import dev.alcove.kernel.file.NullFile;
import dev.alcove.kernel.file.Vfs;
import dev.alcove.kernel.task.Task;
import dev.alcove.sys.Linux;

/** /dev/null, and the lines of /proc/self/status that a VMM reads. */
final class ProcessFiles implements Subsystem {
    /** CAP_CHECKPOINT_RESTORE. */
    private static final int LAST_CAPABILITY = 40;

    private final Vfs vfs;

    ProcessFiles(EmulatedKernel kernel) {
        vfs = kernel.vfs();
        vfs.add("/dev/null", (task, flags) ->
                task.install(new NullFile(flags, vfs.nextInode()), (flags & Linux.O_CLOEXEC) != 0));
        vfs.addTaskText("status", 0444, thread -> ProcessFiles::status);
    }

    private static String status(Task task) {
        long capabilities = 0;
        for (int capability = 0; capability <= LAST_CAPABILITY; capability++) {
            capabilities |= task.capable(capability) ? 1L << capability : 0;
        }
        return "Tgid:\t%d\nPid:\t%d\nVmLck:\t%8d kB\nVmPin:\t%8d kB\nCapEff:\t%016x\n".formatted(
                task.tgid(), task.tid(), 4 * task.mm().locked().pages(), 4 * task.mm().pinnedPages(), capabilities);
    }

    @Override
    public void close() {
        vfs.remove("/dev/null");
    }
}
