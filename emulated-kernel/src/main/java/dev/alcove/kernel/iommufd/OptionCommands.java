// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommufd;

import dev.alcove.bindings.iommufd.iommu_ioas_change_process;
import dev.alcove.bindings.iommufd.iommu_option;
import dev.alcove.bindings.iommufd.iommu_vfio_ioas;
import dev.alcove.kernel.task.Task;
import dev.alcove.sys.Errno;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.Collections;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Set;

/** The ioctls on a context as a whole. */
final class OptionCommands {
    private static final int RLIMIT_MODE = 0;
    private static final int HUGE_PAGES = 1;
    private static final int OP_SET = 0;
    private static final int OP_GET = 1;
    private static final int VFIO_GET = 0;
    private static final int VFIO_SET = 1;
    private static final int VFIO_CLEAR = 2;

    private OptionCommands() {}

    static long option(IommufdContext context, Command command) {
        MemorySegment struct = command.struct();
        if (iommu_option.__reserved(struct) != 0) {
            return -Errno.EOPNOTSUPP;
        }
        int object = iommu_option.object_id(struct);
        long error =
                switch (iommu_option.option_id(struct)) {
                    case RLIMIT_MODE ->
                        object != 0 ? -Errno.EOPNOTSUPP : rlimitMode(context, command.task(), struct);
                    case HUGE_PAGES -> IoasCommands.onIoas(context, object, ioas -> hugePages(ioas, struct));
                    default -> -Errno.EOPNOTSUPP;
                };
        if (error != 0) {
            return error;
        }
        long value = iommu_option.val64$offset();
        return command.task().memory().copyOut(command.address() + value, struct.asSlice(value, Long.BYTES));
    }

    private static long rlimitMode(IommufdContext context, Task task, MemorySegment struct) {
        switch (iommu_option.op(struct)) {
            case OP_GET -> {
                iommu_option.val64(struct, context.accountPerProcess() ? 1 : 0);
                return 0;
            }
            case OP_SET -> {
                if (!task.capable(Task.CAP_SYS_RESOURCE)) {
                    return -Errno.EPERM;
                }
                if (!context.objects().isEmpty()) {
                    return -Errno.EBUSY;
                }
                long value = iommu_option.val64(struct);
                if (value != 0 && value != 1) {
                    return -Errno.EINVAL;
                }
                context.setAccountPerProcess(value == 1);
                return 0;
            }
            default -> {
                return -Errno.EOPNOTSUPP;
            }
        }
    }

    private static long hugePages(Ioas ioas, MemorySegment struct) {
        switch (iommu_option.op(struct)) {
            case OP_GET -> {
                iommu_option.val64(struct, ioas.table.largePages() ? 1 : 0);
                return 0;
            }
            case OP_SET -> {
                long value = iommu_option.val64(struct);
                if (value == 0) {
                    return ioas.table.disableLargePages();
                }
                if (value != 1) {
                    return -Errno.EINVAL;
                }
                ioas.table.enableLargePages();
                return 0;
            }
            default -> {
                return -Errno.EOPNOTSUPP;
            }
        }
    }

    static long vfioIoas(IommufdContext context, Command command) {
        MemorySegment struct = command.struct();
        if (iommu_vfio_ioas.__reserved(struct) != 0) {
            return -Errno.EOPNOTSUPP;
        }
        switch (iommu_vfio_ioas.op(struct)) {
            case VFIO_GET -> {
                Ioas ioas = context.compatIoas();
                if (ioas == null) {
                    return -Errno.ENODEV;
                }
                iommu_vfio_ioas.ioas_id(struct, ioas.id());
                return command.respond();
            }
            case VFIO_SET -> {
                return IoasCommands.onIoas(context, iommu_vfio_ioas.ioas_id(struct), ioas -> {
                    context.setCompatIoas(ioas);
                    return 0;
                });
            }
            case VFIO_CLEAR -> {
                context.setCompatIoas(null);
                return 0;
            }
            default -> {
                return -Errno.EOPNOTSUPP;
            }
        }
    }

    /** Moves the charges for file pages to the caller, all or none. */
    static long changeProcess(IommufdContext context, Command command) {
        if (iommu_ioas_change_process.__reserved(command.struct()) != 0) {
            return -Errno.EOPNOTSUPP;
        }
        List<Ioas> all = new ArrayList<>();
        for (Ioas ioas : context.objects().all(Ioas.class)) {
            if (context.objects().get(ioas)) {
                ioas.table.lockAll();
                all.add(ioas);
            }
        }
        try {
            Set<IopPages> pages = Collections.newSetFromMap(new IdentityHashMap<>());
            for (Ioas ioas : all) {
                for (IopPages each : ioas.table.allPages()) {
                    if (each == null) {
                        return -Errno.EBUSY;
                    }
                    if (!(each.source() instanceof PageSource.File)) {
                        return -Errno.EINVAL;
                    }
                    pages.add(each);
                }
            }
            return move(pages, command.task());
        } finally {
            for (Ioas ioas : all) {
                ioas.table.unlockAll();
                context.objects().put(ioas);
            }
        }
    }

    private static long move(Set<IopPages> all, Task task) {
        List<Runnable> undo = new ArrayList<>();
        for (IopPages pages : all) {
            MemlockAccount old = pages.account();
            if (old.mode() == MemlockAccount.Mode.NONE || old.mm() == task.mm()) {
                continue;
            }
            int error = pages.changeAccount(new MemlockAccount(old.mode(), task, task.mm(), task.userLocked()));
            if (error != 0) {
                undo.forEach(Runnable::run);
                return error;
            }
            undo.add(() -> pages.changeAccount(old));
        }
        return 0;
    }
}
