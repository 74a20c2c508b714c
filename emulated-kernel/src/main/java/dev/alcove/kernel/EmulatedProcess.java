// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel;

import dev.alcove.kernel.file.EventFile;
import dev.alcove.kernel.file.FileTable;
import dev.alcove.kernel.file.HugetlbFile;
import dev.alcove.kernel.file.Mapping;
import dev.alcove.kernel.file.MemoryFile;
import dev.alcove.kernel.file.NullFile;
import dev.alcove.kernel.file.OpenFile;
import dev.alcove.kernel.file.Stat;
import dev.alcove.kernel.file.Vfs;
import dev.alcove.kernel.mm.AddressSpace;
import dev.alcove.kernel.mm.HugePages;
import dev.alcove.kernel.mm.HugePools;
import dev.alcove.kernel.mm.LockedMemory;
import dev.alcove.kernel.mm.Referenced;
import dev.alcove.kernel.task.Credentials;
import dev.alcove.kernel.task.Limits;
import dev.alcove.kernel.task.Signals;
import dev.alcove.kernel.task.Task;
import dev.alcove.kernel.task.TaskGroup;
import dev.alcove.kernel.task.ThreadTask;
import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import dev.alcove.sys.Syscalls;
import java.lang.foreign.MemorySegment;
import java.nio.charset.StandardCharsets;
import java.util.concurrent.ConcurrentHashMap;
import org.jspecify.annotations.Nullable;

import static java.lang.foreign.ValueLayout.JAVA_LONG_UNALIGNED;

/**
 * One process of an {@link EmulatedKernel}, in the JVM that runs it. A thread of the JVM that makes a call is a thread
 * of the process.
 *
 * <p>Only arguments are checked and files are found here; there is no lock, so that calls on different objects run in
 * parallel. A call that meets SIGBUS in a segment it was handed answers {@code EFAULT}.
 */
public final class EmulatedProcess implements Syscalls, AutoCloseable {
    private static final int STANDARD_STREAMS = 3;
    /** Pages of user addresses: 16 TiB. */
    private static final long ADDRESSES = 1L << 32;
    /** End of what x86-64 lets user space address. */
    private static final long TASK_SIZE = (1L << 47) - Linux.PAGE_SIZE;
    private static final int KNOWN_MAP_FLAGS = 0x1fffff;
    private static final int MFD_FLAGS = Linux.MFD_CLOEXEC | Linux.MFD_ALLOW_SEALING | 0x18;
    /** Where flags of mmap and memfd_create have the base 2 logarithm of the size of huge pages; 0 is 2 MiB. */
    private static final int MFD_NOEXEC_SEAL = 8;
    private static final int MAX_MEMFD_NAME = 249;
    private static final int UTSNAME_FIELD = 65;
    private static final int RLIMIT_BYTES = 16;

    private final EmulatedKernel kernel;
    private final TaskGroup group;
    private final ThreadLocal<ThreadTask> current;
    private final Descriptors descriptors;

    EmulatedProcess(EmulatedKernel kernel, Credentials credentials) {
        this.kernel = kernel;
        FileTable files = new FileTable();
        for (int fd = 0; fd < STANDARD_STREAMS; fd++) {
            files.install(new NullFile(Linux.O_RDWR, kernel.vfs().nextInode()), false, fd, -1);
        }
        group = new TaskGroup(
                kernel.nextNumber(),
                credentials,
                new AddressSpace(kernel.memory(), ADDRESSES),
                files,
                new Limits(),
                new LockedMemory(),
                new ConcurrentHashMap<>(),
                kernel.faults(),
                kernel::nextNumber);
        current = ThreadLocal.withInitial(group::join);
        descriptors = new Descriptors(group);
    }

    private ThreadTask enter(@Nullable MemorySegment argument) {
        ThreadTask task = current.get();
        task.enter(argument);
        return task;
    }

    /** Open descriptors, the standard streams not counted. */
    public int openFiles() {
        int count = group.files().count();
        for (int fd = group.files().next(0); fd >= 0 && fd < STANDARD_STREAMS; fd = group.files().next(fd + 1)) {
            count--;
        }
        return count;
    }

    /** Mappings of its address space. */
    public int mappings() {
        return group.mm().mappings();
    }

    /** Pages that count against its RLIMIT_MEMLOCK: locked (VmLck) or pinned (VmPin). */
    public long chargedPages() {
        return group.mm().locked().pages() + group.mm().pinnedPages();
    }

    /** The process ends: its mappings go, then its descriptors in ascending order, as in the kernel's do_exit. */
    @Override
    public void close() {
        ThreadTask task = enter(null);
        group.mm().exit();
        for (int fd = group.files().next(0); fd >= 0; fd = group.files().next(fd)) {
            task.uninstall(fd);
        }
        task.leave();
        kernel.ended(this);
    }

    // Files.

    @Override
    public int open(String path, int flags, int mode) {
        ThreadTask task = enter(null);
        try {
            return kernel.allocator().charge("name of a path")
                    ? (int) kernel.vfs().open(task, path, flags)
                    : -Errno.ENOMEM;
        } finally {
            task.leave();
        }
    }

    @Override
    public int close(int fd) {
        return descriptors.close(fd);
    }

    @Override
    public int fcntl(int fd, int command, long argument) {
        ThreadTask task = enter(null);
        try {
            return descriptors.control(task, fd, command, argument);
        } finally {
            task.leave();
        }
    }

    @Override
    public int dup(int fd) {
        return descriptors.duplicate(fd, 0, false);
    }

    @Override
    public int ioctl(int fd, int request, MemorySegment argument) {
        ThreadTask task = enter(argument);
        try {
            OpenFile file = task.file(fd);
            return file == null ? -Errno.EBADF : (int) file.ioctl(task, request, argument.address());
        } finally {
            task.leave();
        }
    }

    @Override
    public int ioctl(int fd, int request, long argument) {
        ThreadTask task = enter(null);
        try {
            OpenFile file = task.file(fd);
            return file == null ? -Errno.EBADF : (int) file.ioctl(task, request, argument);
        } finally {
            task.leave();
        }
    }

    @Override
    public long read(int fd, MemorySegment buffer) {
        return transfer(fd, false, file -> file.readable(), (task, file) -> file.read(task, buffer));
    }

    @Override
    public long write(int fd, MemorySegment buffer) {
        return transfer(fd, false, file -> file.writable(), (task, file) -> file.write(task, buffer));
    }

    @Override
    public long pread(int fd, MemorySegment buffer, long offset) {
        return transfer(fd, offset < 0, OpenFile::readable, (task, file) -> file.pread(task, buffer, offset));
    }

    @Override
    public long pwrite(int fd, MemorySegment buffer, long offset) {
        return transfer(fd, offset < 0, OpenFile::writable, (task, file) -> file.pwrite(task, buffer, offset));
    }

    @Override
    public long lseek(int fd, long offset, int whence) {
        return transfer(fd, false, file -> true, (task, file) ->
                whence < Linux.SEEK_SET || whence > Linux.SEEK_HOLE ? -Errno.EINVAL : file.seek(task, offset, whence));
    }

    @Override
    public int fstat(int fd, MemorySegment stat) {
        if (stat.byteSize() < Stat.BYTES) {
            return -Errno.EFAULT;
        }
        return (int) transfer(fd, false, file -> true, (task, file) -> {
            file.stat().write(stat);
            return 0;
        });
    }

    @Override
    public int getdents64(int fd, MemorySegment buffer) {
        return (int) transfer(fd, false, file -> true, (task, file) -> file.readDirectory(task, buffer));
    }

    @Override
    public int ftruncate(int fd, long length) {
        return (int) transfer(fd, length < 0, file -> true, (task, file) ->
                file.writable() ? file.truncate(task, length) : -Errno.EINVAL);
    }

    @Override
    public int fallocate(int fd, int mode, long offset, long length) {
        return (int) transfer(fd, false, file -> true, (task, file) ->
                Vfs.fallocate(kernel.profile(), task, file, mode, offset, length));
    }

    @FunctionalInterface
    private interface Right {
        boolean of(OpenFile file);
    }

    @FunctionalInterface
    private interface Transfer {
        long run(ThreadTask task, OpenFile file);
    }

    private long transfer(int fd, boolean invalid, Right right, Transfer transfer) {
        if (invalid) {
            return -Errno.EINVAL;
        }
        ThreadTask task = enter(null);
        try {
            OpenFile file = task.file(fd);
            return file == null || !right.of(file) ? -Errno.EBADF : transfer.run(task, file);
        } catch (InternalError sigbus) {
            return -Errno.EFAULT;
        } finally {
            task.leave();
        }
    }

    @Override
    public int memfdCreate(String name, int flags) {
        boolean huge = (flags & Linux.MFD_HUGETLB) != 0;
        int known = huge ? MFD_FLAGS | Linux.MFD_HUGETLB | HugePools.SIZE_FLAGS : MFD_FLAGS;
        if ((flags & ~known) != 0 || name.getBytes(StandardCharsets.UTF_8).length > MAX_MEMFD_NAME) {
            return -Errno.EINVAL;
        }
        HugePages pool = huge ? kernel.memory().hugePools().asked(flags) : null;
        if (huge && pool == null) {
            return -Errno.ENODEV;
        }
        int seals = (flags & MFD_NOEXEC_SEAL) != 0
                ? MemoryFile.F_SEAL_EXEC
                : (flags & Linux.MFD_ALLOW_SEALING) != 0 ? 0 : MemoryFile.F_SEAL_SEAL;
        ThreadTask task = enter(null);
        try {
            if (!kernel.allocator().charge("name of a memfd")) {
                return -Errno.ENOMEM;
            }
            if (!kernel.allocator().charge("inode of a memfd")) {
                // Whatever stands in the way of a new inode, a file system says that there is no room.
                return -Errno.ENOSPC;
            }
            MemoryFile file = pool != null
                    ? new HugetlbFile(kernel.memory(), pool, seals, kernel.vfs().nextInode())
                    : memoryFile(0, seals);
            return task.install(file, (flags & Linux.MFD_CLOEXEC) != 0);
        } finally {
            task.leave();
        }
    }

    private MemoryFile memoryFile(long size, int seals) {
        int largestFolio = kernel.profile().shmemLargeFolios() ? 2 << 20 : Linux.PAGE_SIZE;
        return new MemoryFile(kernel.memory(), size, seals, kernel.vfs().nextInode(), largestFolio);
    }

    @Override
    public int eventfd(int initial, int flags) {
        if ((flags & ~(Linux.EFD_SEMAPHORE | Linux.EFD_NONBLOCK | Linux.EFD_CLOEXEC)) != 0) {
            return -Errno.EINVAL;
        }
        ThreadTask task = enter(null);
        try {
            return kernel.allocator().charge("eventfd")
                    ? task.install(
                            new EventFile(initial, flags, kernel.vfs().nextInode()), (flags & Linux.EFD_CLOEXEC) != 0)
                    : -Errno.ENOMEM;
        } finally {
            task.leave();
        }
    }

    @Override
    public int poll(MemorySegment pollfds, int timeoutMillis) {
        ThreadTask task = enter(null);
        try {
            return new Poll(task, pollfds).run(timeoutMillis);
        } catch (InternalError sigbus) {
            return -Errno.EFAULT;
        } finally {
            task.leave();
        }
    }

    @Override
    public int readlink(String path, MemorySegment buffer) {
        return kernel.vfs().readLink(current.get(), path, buffer);
    }

    // Memory.

    @Override
    public long mmap(long address, long length, int protection, int flags, int fd, long offset) {
        int type = flags & Linux.MAP_TYPE;
        boolean anonymous = (flags & Linux.MAP_ANONYMOUS) != 0;
        if ((offset & Linux.PAGE_SIZE - 1) != 0) {
            return -Errno.EINVAL;
        }
        ThreadTask task = enter(null);
        try {
            OpenFile file = anonymous ? null : task.file(fd);
            if (!anonymous && file == null) {
                return -Errno.EBADF;
            }
            if (length == 0) {
                return -Errno.EINVAL;
            }
            boolean huge = (flags & Linux.MAP_HUGETLB) != 0;
            HugePages pool = file instanceof HugetlbFile pages
                    ? pages.pool()
                    : anonymous && huge ? kernel.memory().hugePools().asked(flags) : null;
            if (huge && pool == null) {
                return -Errno.EINVAL;
            }
            if (length < 0 || length > TASK_SIZE) {
                return -Errno.ENOMEM;
            }
            if (file != null && isPastTheLargest(file, offset, (length + Linux.PAGE_SIZE - 1) & -Linux.PAGE_SIZE)) {
                return -Errno.EOVERFLOW;
            }
            boolean validated = type == Linux.MAP_SHARED_VALIDATE && !anonymous;
            if (type != Linux.MAP_SHARED && type != Linux.MAP_PRIVATE && !validated) {
                return -Errno.EINVAL;
            }
            if (validated && (flags & ~KNOWN_MAP_FLAGS) != 0) {
                return -Errno.EOPNOTSUPP;
            }
            long rounded = (length + Linux.PAGE_SIZE - 1) & -Linux.PAGE_SIZE;
            if (pool != null) {
                return mapHuge(task, pool, file, address, length, protection, flags, offset);
            }
            if (file != null) {
                return mapFile(task, file, address, rounded, protection, flags, offset);
            }
            if (type == Linux.MAP_PRIVATE) {
                return group.mm().mapAnonymous(address, rounded, protection, flags);
            }
            MemoryFile memory = memoryFile(rounded, MemoryFile.F_SEAL_SEAL);
            return group.mm().mapPages(address, rounded, protection, flags, memory, memory.store(), 0);
        } finally {
            task.leave();
        }
    }

    /** Maps huge pages: those of a file, or fresh ones where there is none. */
    private long mapHuge(
            Task task,
            HugePages pool,
            @Nullable OpenFile file,
            long address,
            long length,
            int protection,
            int flags,
            long offset) {
        boolean fixed = (flags & (Linux.MAP_FIXED | Linux.MAP_FIXED_NOREPLACE)) != 0;
        if (fixed && !pool.aligned(address)) {
            return -Errno.EINVAL;
        }
        long hint = pool.roundUp(address);
        long rounded = pool.roundUp(length);
        if (file != null) {
            return mapFile(task, file, hint, rounded, protection, flags, offset);
        }
        HugetlbFile fresh =
                new HugetlbFile(kernel.memory(), pool, MemoryFile.F_SEAL_SEAL, kernel.vfs().nextInode());
        fresh.truncate(task, rounded);
        long answer = mapFile(task, fresh, hint, rounded, protection, flags, 0);
        fresh.put();
        return answer;
    }

    /** Files of memory have signed offsets; a driver may use all 64 bits. */
    private static boolean isPastTheLargest(OpenFile file, long offset, long length) {
        boolean regular = (file.stat().mode() & Stat.S_IFMT) == Stat.S_IFREG;
        long largest = (regular ? Long.MAX_VALUE : -1L) - length;
        return offset >>> Linux.PAGE_SHIFT > largest >>> Linux.PAGE_SHIFT;
    }

    private long mapFile(
            Task task, OpenFile file, long address, long length, int protection, int flags, long offset) {
        boolean shared = (flags & Linux.MAP_TYPE) != Linux.MAP_PRIVATE;
        boolean writes = shared && (protection & Linux.PROT_WRITE) != 0;
        if (!file.readable() || (writes && !file.writable())) {
            return -Errno.EACCES;
        }
        if ((protection & Linux.PROT_EXEC) != 0 && file.anonymous() && kernel.profile().anonymousNoExec()) {
            return -Errno.EPERM;
        }
        return switch (file.map(task, offset, length, protection, flags)) {
            case Mapping.Refused refused -> -refused.errno();
            case Mapping.Pages pages -> {
                Referenced owner = pages.owner() == null ? file : pages.owner();
                owner.get();
                yield group.mm().mapPages(address, length, protection, flags, owner, pages.store(), pages.firstPage());
            }
            case Mapping.Device device -> {
                file.get();
                yield group.mm().mapDevice(address, length, protection, flags, file, device.region(), device.offset());
            }
        };
    }

    @Override
    public int munmap(long address, long length) {
        long rounded = (length + Linux.PAGE_SIZE - 1) & -Linux.PAGE_SIZE;
        boolean outside = address < 0 || address > TASK_SIZE || rounded < 0 || rounded > TASK_SIZE - address;
        if ((address & Linux.PAGE_SIZE - 1) != 0 || rounded == 0 || outside) {
            return -Errno.EINVAL;
        }
        ThreadTask task = enter(null);
        try {
            return group.mm().unmap(address, rounded);
        } finally {
            task.leave();
        }
    }

    @Override
    public int madvise(long address, long length, int advice) {
        long rounded = (length + Linux.PAGE_SIZE - 1) & -Linux.PAGE_SIZE;
        boolean known = (advice >= 0 && advice <= 4) || (advice >= 8 && advice <= 25);
        boolean wraps = (length != 0 && rounded == 0) || address + rounded < address;
        if (!known || wraps || (address & Linux.PAGE_SIZE - 1) != 0) {
            return -Errno.EINVAL;
        }
        if (rounded == 0) {
            return 0;
        }
        ThreadTask task = enter(null);
        try {
            return group.mm().advise(address, rounded, advice, (owner, offset, bytes) -> owner instanceof OpenFile file
                    ? remove(task, file, offset, bytes)
                    : -Errno.EINVAL);
        } finally {
            task.leave();
        }
    }

    /** MADV_REMOVE looks at how the file was opened, not at how it is mapped. */
    private static int remove(Task task, OpenFile file, long offset, long bytes) {
        return file.writable()
                ? file.fallocate(task, Linux.FALLOC_FL_PUNCH_HOLE | Linux.FALLOC_FL_KEEP_SIZE, offset, bytes)
                : -Errno.EACCES;
    }

    // The process.

    @Override
    public int prlimit(int resource, @Nullable MemorySegment newLimit, @Nullable MemorySegment oldLimit) {
        if (!Limits.known(resource)) {
            return -Errno.EINVAL;
        }
        if ((newLimit != null && newLimit.byteSize() < RLIMIT_BYTES)
                || (oldLimit != null && oldLimit.byteSize() < RLIMIT_BYTES)) {
            return -Errno.EFAULT;
        }
        Limits limits = group.limits();
        long soft = limits.soft(resource);
        long hard = limits.hard(resource);
        if (newLimit != null) {
            int error = limits.set(
                    resource,
                    newLimit.get(JAVA_LONG_UNALIGNED, 0),
                    newLimit.get(JAVA_LONG_UNALIGNED, 8),
                    group.credentials().capable(Task.CAP_SYS_RESOURCE));
            if (error != 0) {
                return error;
            }
        }
        if (oldLimit != null) {
            oldLimit.set(JAVA_LONG_UNALIGNED, 0, soft);
            oldLimit.set(JAVA_LONG_UNALIGNED, 8, hard);
        }
        return 0;
    }

    @Override
    public int uname(MemorySegment utsname) {
        String[] fields = {
            "Linux", "alcove", kernel.profile().release(), "#1 SMP PREEMPT_DYNAMIC emulated by Alcove", "x86_64", "(none)"
        };
        if (utsname.byteSize() < (long) UTSNAME_FIELD * fields.length) {
            return -Errno.EFAULT;
        }
        utsname.asSlice(0, (long) UTSNAME_FIELD * fields.length).fill((byte) 0);
        for (int i = 0; i < fields.length; i++) {
            utsname.setString((long) UTSNAME_FIELD * i, fields[i]);
        }
        return 0;
    }

    @Override
    public int getpid() {
        return group.pid();
    }

    @Override
    public int gettid() {
        return current.get().tid();
    }

    @Override
    public int geteuid() {
        return group.credentials().uid();
    }

    // Signals.

    @Override
    public int tgkill(int tgid, int tid, int signal) {
        if (tgid <= 0 || tid <= 0) {
            return -Errno.EINVAL;
        }
        ThreadTask target = tgid == group.pid() ? group.thread(tid) : null;
        if (target == null) {
            return -Errno.ESRCH;
        }
        if (signal < 0 || signal > Long.SIZE) {
            return -Errno.EINVAL;
        }
        if (signal != 0) {
            target.signals().send(signal);
        }
        return 0;
    }

    @Override
    public int sigprocmask(int how, @Nullable MemorySegment set, @Nullable MemorySegment old) {
        Signals signals = current.get().signals();
        long before = signals.blocked();
        if (set != null) {
            long mask = set.get(JAVA_LONG_UNALIGNED, 0);
            switch (how) {
                case Linux.SIG_BLOCK -> signals.setBlocked(before | mask);
                case Linux.SIG_UNBLOCK -> signals.setBlocked(before & ~mask);
                case Linux.SIG_SETMASK -> signals.setBlocked(mask);
                default -> {
                    return -Errno.EINVAL;
                }
            }
        }
        if (old != null) {
            old.set(JAVA_LONG_UNALIGNED, 0, before);
        }
        return 0;
    }

    @Override
    public int sigtimedwait(MemorySegment set, long timeoutNanos) {
        int signal = current.get().signals().await(set.get(JAVA_LONG_UNALIGNED, 0), timeoutNanos);
        return signal == 0 ? -Errno.EAGAIN : signal;
    }
}
