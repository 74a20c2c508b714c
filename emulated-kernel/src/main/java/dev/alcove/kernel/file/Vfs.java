// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.file;

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
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;

/**
 * The paths of the emulated kernel: devices, and as much of sysfs as a VMM reads. Directories come into being with
 * what is added below them, and go with it.
 *
 * <p>Thread safe: the tree is guarded by the monitor, files are opened without it.
 */
public final class Vfs {
    private static final int ELOOP = 40;
    private static final int MAX_LINKS = 40;
    private static final int FALLOC_KNOWN = 0x1 | 0x2 | 0x8 | 0x10 | 0x20 | 0x40 | 0x80;

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

    private sealed interface Node {
        long inode();
    }

    private record Directory(long inode, TreeMap<String, Node> entries) implements Node {}

    private record Device(long inode, Opener opener) implements Node {}

    private record Text(long inode, Function<Task, String> contents) implements Node {}

    private record Link(long inode, String target) implements Node {}

    /** Where a path leads to, or the errno why to nowhere. */
    private record Found(@Nullable Node node, int errno) {}

    private final AtomicLong inodes = new AtomicLong(1);
    private final Directory root = new Directory(nextInode(), new TreeMap<>());

    /** A number for a new file. */
    public long nextInode() {
        return inodes.getAndIncrement();
    }

    /** Adds a file; the directories above it come into being by themselves. */
    public void add(String path, Opener opener) {
        put(path, new Device(nextInode(), opener));
    }

    /** Adds a text file of sysfs, with its contents. */
    public void addText(String path, String contents) {
        addText(path, task -> contents);
    }

    /** Adds a text file whose contents are made when it is opened. */
    public void addText(String path, Function<Task, String> contents) {
        put(path, new Text(nextInode(), contents));
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
        Found found = find(path, true);
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
            case Directory directory -> task.install(new DirectoryFile(list(directory), directory.inode()), cloexec);
            case Text text when writes -> -Errno.EACCES;
            case Text text -> task.install(new TextFile(text.contents().apply(task), text.inode()), cloexec);
            case Device device -> device.opener().open(task, flags);
            case Link link -> -ELOOP;
        };
    }

    /** fallocate(2) of an open file: what vfs_fallocate looks at, then the file. */
    public static int fallocate(Task task, OpenFile file, int mode, long offset, long length) {
        if (offset < 0 || length <= 0) {
            return -Errno.EINVAL;
        }
        int kind = mode & ~Linux.FALLOC_FL_KEEP_SIZE;
        boolean keepSize = (mode & Linux.FALLOC_FL_KEEP_SIZE) != 0;
        boolean contradictory = Integer.bitCount(kind) > 1
                || (kind == Linux.FALLOC_FL_PUNCH_HOLE && !keepSize)
                || ((kind == Linux.FALLOC_FL_COLLAPSE_RANGE || kind == Linux.FALLOC_FL_INSERT_RANGE) && keepSize);
        if ((mode & ~FALLOC_KNOWN) != 0 || contradictory) {
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
    public int readLink(String path, MemorySegment buffer) {
        if (buffer.byteSize() == 0) {
            return -Errno.EINVAL;
        }
        Found found = find(path, false);
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
