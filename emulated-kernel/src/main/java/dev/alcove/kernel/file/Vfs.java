// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.file;

import dev.alcove.kernel.KernelProfile;
import dev.alcove.kernel.task.Task;
import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.IntFunction;
import org.jspecify.annotations.Nullable;

/**
 * The paths of the emulated kernel: devices, and as much of sysfs, procfs and debugfs as programs look at. Directories
 * come into being with what is added below them, and go with it. Files of a thread or process are in
 * {@link TaskFiles}.
 *
 * <p>A program of the host's that runs on the emulated kernel has the host's files but for what is claimed here
 * ({@link #claim}).
 *
 * <p>Thread safe: the tree is guarded by the monitor, files are opened without it.
 */
public final class Vfs {
    private static final int ELOOP = 40;
    private static final int MAX_LINKS = 40;
    private static final int FALLOC_KNOWN = 0x1 | 0x2 | 0x8 | 0x10 | 0x20 | 0x40;

    /** FALLOC_FL_WRITE_ZEROES, of 6.17. */
    private static final int WRITE_ZEROES = 0x80;

    /** Opens a path. */
    @FunctionalInterface
    public interface Opener {
        /**
         * open(2) of the path.
         *
         * @param flags of open(2)
         * @return a descriptor made by {@link Task#install}, or a negated errno
         */
        long open(Task task, int flags);
    }

    sealed interface Node {
        long inode();
    }

    private record Directory(long inode, TreeMap<String, Node> entries) implements Node {}

    private record Device(long inode, long number, Opener opener) implements Node {}

    /** @param own whether it belongs to whoever looks at it, and not to root */
    private record Text(long inode, int mode, boolean own, Attribute attribute) implements Node {}

    private record Link(long inode, String target) implements Node {}

    /** Where a path leads to, or the errno why to nowhere. */
    private record Found(@Nullable Node node, int errno) {}

    /** CAP_DAC_OVERRIDE. */
    private static final int OVERRIDE = 1;

    private final AtomicLong inodes = new AtomicLong(1);
    private final TaskFiles taskFiles = new TaskFiles();
    private final CopyOnWriteArrayList<String> claims = new CopyOnWriteArrayList<>();
    private volatile boolean names;
    private final Directory root = new Directory(nextInode(), new TreeMap<>());

    /** A number for a new file. */
    public long nextInode() {
        return inodes.getAndIncrement();
    }

    /** Adds a file; the directories above it come into being by themselves. */
    public void add(String path, Opener opener) {
        add(path, 0, opener);
    }

    /**
     * Adds a character device.
     *
     * @param number {@link Stat#device(int, int)}
     */
    public void add(String path, long number, Opener opener) {
        put(path, new Device(nextInode(), number, opener));
    }

    /** Adds a text file of sysfs, with its contents. */
    public void addText(String path, String contents) {
        addText(path, task -> contents);
    }

    /** Adds a text file whose contents are made when it is opened. */
    public void addText(String path, Attribute contents) {
        addText(path, 0444, contents);
    }

    /**
     * Adds a text file.
     *
     * @param mode permissions; who lacks the right is refused unless it has CAP_DAC_OVERRIDE
     */
    public void addText(String path, int mode, Attribute attribute) {
        put(path, new Text(nextInode(), mode, false, attribute));
    }

    /**
     * Adds a text file to each thread and process: /proc/PID/NAME and /proc/PID/task/TID/NAME, with "self" and
     * "thread-self" as well.
     *
     * @param attribute by the number of the thread; that of a process is its first thread's
     */
    public void addTaskText(String name, int mode, IntFunction<Attribute> attribute) {
        long inode = nextInode();
        taskFiles.add(name, thread -> new Text(inode, mode, true, attribute.apply(thread)));
    }

    /**
     * Makes a path, and all that is below it, the emulated kernel's for programs of the host's too: they find there
     * what was added here and nothing else. What {@link #addTaskText} adds is claimed by itself.
     *
     * @param names whether stat(2), access(2), readlink(2) and their like are answered as well, and not only calls on
     *     descriptors: from then on each such call of a program costs some microseconds, whatever its path
     */
    public void claim(String path, boolean names) {
        claims.add("/" + String.join("/", split(path)));
        this.names |= names;
    }

    /** Whether somebody has claimed names too. */
    public boolean claimsNames() {
        return names;
    }

    /** Whether an absolute path is claimed. "." and ".." are taken as they stand, as if no link were above them. */
    public boolean claims(String path) {
        String plain = path.contains("//") || path.contains("/.") || path.endsWith("/") ? plain(path) : path;
        for (String claim : claims) {
            if (plain.startsWith(claim) && (plain.length() == claim.length() || plain.charAt(claim.length()) == '/')) {
                return true;
            }
        }
        return plain.startsWith("/proc/") && taskFiles.named(split(plain));
    }

    private static String plain(String path) {
        Deque<String> names = new ArrayDeque<>();
        for (String name : split(path)) {
            if (name.equals("..")) {
                names.pollLast();
            } else if (!name.equals(".")) {
                names.addLast(name);
            }
        }
        return "/" + String.join("/", names);
    }

    /** Adds a symbolic link; a relative target starts at the link's directory. */
    public void addLink(String path, String target) {
        put(path, new Link(nextInode(), target));
    }

    private synchronized void put(String path, Node node) {
        List<String> names = split(path);
        Directory directory = root;
        for (String name : names.subList(0, names.size() - 1)) {
            Node next = directory.entries().computeIfAbsent(name, key -> new Directory(nextInode(), new TreeMap<>()));
            if (!(next instanceof Directory below)) {
                throw new IllegalArgumentException(path + ": " + name + " is not a directory");
            }
            directory = below;
        }
        directory.entries().put(names.getLast(), node);
    }

    /** Takes a file away, and the directories that become empty; open descriptors stay. */
    public synchronized void remove(String path) {
        remove(root, split(path));
    }

    private static void remove(Directory directory, List<String> names) {
        Node node = directory.entries().get(names.getFirst());
        if (names.size() > 1 && node instanceof Directory below) {
            remove(below, names.subList(1, names.size()));
            if (!below.entries().isEmpty()) {
                return;
            }
        }
        directory.entries().remove(names.getFirst());
    }

    private static List<String> split(String path) {
        List<String> names = new ArrayList<>();
        for (String name : path.split("/", -1)) {
            if (!name.isEmpty()) {
                names.add(name);
            }
        }
        return names;
    }

    /** open(2): a descriptor or a negated errno. */
    public long open(Task task, String path, int flags) {
        Found found = find(task, path, true);
        Node node = found.node();
        if (node == null) {
            return found.errno() == Errno.ENOENT && (flags & Linux.O_CREAT) != 0 && !path.isEmpty()
                    ? -Errno.EROFS
                    : -found.errno();
        }
        boolean exclusive = (flags & (Linux.O_CREAT | Linux.O_EXCL)) == (Linux.O_CREAT | Linux.O_EXCL);
        if (exclusive) {
            return -Errno.EEXIST;
        }
        if ((flags & Linux.O_DIRECTORY) != 0 && !(node instanceof Directory)) {
            return -Errno.ENOTDIR;
        }
        boolean writes = (flags & Linux.O_ACCMODE) != Linux.O_RDONLY;
        boolean cloexec = (flags & Linux.O_CLOEXEC) != 0;
        return switch (node) {
            case Directory directory when writes || (flags & Linux.O_CREAT) != 0 -> -Errno.EISDIR;
            case Directory directory ->
                task.install(new DirectoryFile(path, list(directory), directory.inode()), cloexec);
            case Text text when refused(task, text, flags) -> -Errno.EACCES;
            case Text text ->
                task.install(new TextFile(task, text.attribute(), text.inode(), text.mode(), flags), cloexec);
            case Device device -> device.opener().open(task, flags);
            case Link link -> -ELOOP;
        };
    }

    private static boolean refused(Task task, Text text, int flags) {
        int wanted = switch (flags & Linux.O_ACCMODE) {
            case Linux.O_RDONLY -> 4;
            case Linux.O_WRONLY -> 2;
            default -> 6;
        };
        return refused(task, text.own() ? text.mode() >>> 6 : text.mode(), wanted);
    }

    /** Whether rights, bits as those of access(2), are missing; files here are root's, and root has CAP_DAC_OVERRIDE. */
    private static boolean refused(Task task, int mode, int wanted) {
        // sysfs has files that nobody can write, and root cannot either.
        int most = task.capable(OVERRIDE) ? mode >>> 6 | mode >>> 3 | mode : mode;
        return (wanted & ~most) != 0;
    }

    /** What stat(2) or lstat(2) finds. */
    public sealed interface Status {
        /** It is there. */
        record Known(Stat stat) implements Status {}

        /** It is not; the errno is positive. */
        record Missing(int errno) implements Status {}
    }

    /** stat(2), or lstat(2) where links are not followed. */
    public Status stat(Task task, String path, boolean follow) {
        Found found = find(task, path, follow);
        return switch (found.node()) {
            case null -> new Status.Missing(found.errno());
            case Directory directory ->
                new Status.Known(new Stat(directory.inode(), Stat.S_IFDIR | 0755, 0, 0, 2));
            case Device device ->
                new Status.Known(new Stat(device.inode(), Stat.S_IFCHR | 0666, 0, 0, 1, device.number()));
            case Text text ->
                new Status.Known(new Stat(text.inode(), Stat.S_IFREG | text.mode(), Linux.PAGE_SIZE, 0));
            case Link link ->
                new Status.Known(new Stat(link.inode(), Stat.S_IFLNK | 0777, link.target().length(), 0));
        };
    }

    /**
     * access(2).
     *
     * @param wanted R_OK, W_OK and X_OK; 0 for F_OK
     * @return 0 or a negated errno
     */
    public int access(Task task, String path, int wanted) {
        return switch (stat(task, path, true)) {
            case Status.Missing missing -> -missing.errno();
            case Status.Known known -> refused(task, known.stat().mode(), wanted) ? -Errno.EACCES : 0;
        };
    }

    /** fallocate(2) of an open file: what vfs_fallocate looks at, then the file. */
    public static int fallocate(
            KernelProfile profile, Task task, OpenFile file, int mode, long offset, long length) {
        if (offset < 0 || length <= 0) {
            return -Errno.EINVAL;
        }
        int kind = mode & ~Linux.FALLOC_FL_KEEP_SIZE;
        boolean keepSize = (mode & Linux.FALLOC_FL_KEEP_SIZE) != 0;
        boolean contradictory = Integer.bitCount(kind) > 1
                || (kind == Linux.FALLOC_FL_PUNCH_HOLE && !keepSize)
                || ((kind == Linux.FALLOC_FL_COLLAPSE_RANGE || kind == Linux.FALLOC_FL_INSERT_RANGE) && keepSize);
        int known = profile.atLeast(6, 17) ? FALLOC_KNOWN | WRITE_ZEROES : FALLOC_KNOWN;
        if ((mode & ~known) != 0 || contradictory) {
            return -Errno.EOPNOTSUPP;
        }
        if (!file.writable()) {
            return -Errno.EBADF;
        }
        if (offset + length >= 0) {
            return file.fallocate(task, mode, offset, length);
        }
        return (file.stat().mode() & Stat.S_IFMT) == Stat.S_IFREG ? -Errno.EFBIG : -Errno.ENODEV;
    }

    private synchronized List<DirectoryFile.Entry> list(Directory directory) {
        List<DirectoryFile.Entry> entries = new ArrayList<>();
        entries.add(new DirectoryFile.Entry(".", directory.inode(), DirectoryFile.DT_DIR));
        entries.add(new DirectoryFile.Entry("..", directory.inode(), DirectoryFile.DT_DIR));
        for (Map.Entry<String, Node> entry : directory.entries().entrySet()) {
            byte type = switch (entry.getValue()) {
                case Directory below -> DirectoryFile.DT_DIR;
                case Device device -> DirectoryFile.DT_CHR;
                case Text text -> DirectoryFile.DT_REG;
                case Link link -> DirectoryFile.DT_LNK;
            };
            entries.add(new DirectoryFile.Entry(entry.getKey(), entry.getValue().inode(), type));
        }
        return entries;
    }

    /** readlink(2): the number of bytes, or a negated errno. */
    public int readLink(Task task, String path, MemorySegment buffer) {
        if (buffer.byteSize() == 0) {
            return -Errno.EINVAL;
        }
        Found found = find(task, path, false);
        if (found.node() == null) {
            return -found.errno();
        }
        if (!(found.node() instanceof Link link)) {
            return -Errno.EINVAL;
        }
        byte[] target = link.target().getBytes(StandardCharsets.UTF_8);
        int length = (int) Math.min(target.length, buffer.byteSize());
        MemorySegment.copy(target, 0, buffer, ValueLayout.JAVA_BYTE, 0, length);
        return length;
    }

    private Found find(Task task, String path, boolean follow) {
        Node node = path.startsWith("/proc/") ? taskFiles.find(task, split(plain(path))) : null;
        return node != null ? new Found(node, 0) : find(path, follow);
    }

    private synchronized Found find(String path, boolean follow) {
        if (path.isEmpty()) {
            return new Found(null, Errno.ENOENT);
        }
        Deque<Directory> above = new ArrayDeque<>();
        Deque<String> rest = new ArrayDeque<>(split(path));
        boolean directoryWanted = path.endsWith("/");
        Node node = root;
        int links = 0;
        while (!rest.isEmpty()) {
            String name = rest.pop();
            if (!(node instanceof Directory directory)) {
                return new Found(null, Errno.ENOTDIR);
            }
            if (name.equals(".")) {
                continue;
            }
            if (name.equals("..")) {
                node = above.isEmpty() ? root : above.pop();
                continue;
            }
            Node next = directory.entries().get(name);
            if (next == null) {
                return new Found(null, Errno.ENOENT);
            }
            if (next instanceof Link link && (follow || !rest.isEmpty() || directoryWanted)) {
                if (++links > MAX_LINKS) {
                    return new Found(null, ELOOP);
                }
                split(link.target()).reversed().forEach(rest::push);
                if (link.target().startsWith("/")) {
                    above.clear();
                    node = root;
                }
                continue;
            }
            above.push(directory);
            node = next;
        }
        return directoryWanted && !(node instanceof Directory)
                ? new Found(null, Errno.ENOTDIR)
                : new Found(node, 0);
    }
}
