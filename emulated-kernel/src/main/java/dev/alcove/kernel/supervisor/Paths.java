// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.supervisor;

import dev.alcove.kernel.file.DirectoryFile;
import dev.alcove.kernel.file.OpenFile;
import dev.alcove.kernel.file.Stat;
import dev.alcove.kernel.file.Vfs;
import dev.alcove.kernel.mm.HugePools;
import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import java.lang.foreign.MemorySegment;
import org.jspecify.annotations.Nullable;

import static java.lang.foreign.ValueLayout.JAVA_LONG;

/**
 * The calls of the program that name a path: what the emulated kernel claims is looked up in its own tree, everything
 * else is the host's. A path that is relative to a directory of the host's is looked up by the directory's own name.
 */
final class Paths {
    private static final int AT_SYMLINK_NOFOLLOW = 0x100;
    private static final int LONGEST_LINK = 4096;
    private static final String STATUS = "/status";
    private static final String MEMORY = "/proc/meminfo";

    private final Vfs vfs;
    private final HugePools pools;
    private final Host host;
    private final Clients clients;

    Paths(Vfs vfs, HugePools pools, Host host, Clients clients) {
        this.vfs = vfs;
        this.pools = pools;
        this.host = host;
        this.clients = clients;
    }

    /** A value, a negated errno, or {@link Calls#PROCEED}. */
    long serve(Client client, Notification call) {
        return switch (call.number()) {
            case Numbers.OPEN -> open(client, Host.AT_FDCWD, call.a(), (int) call.b());
            case Numbers.OPENAT -> open(client, (int) call.a(), call.b(), (int) call.c());
            case Numbers.OPENAT2 -> open(client, (int) call.a(), call.b(), openHow(client, call.c()));
            case Numbers.STAT -> stat(client, Host.AT_FDCWD, call.a(), 0, call.b(), false);
            case Numbers.LSTAT -> stat(client, Host.AT_FDCWD, call.a(), AT_SYMLINK_NOFOLLOW, call.b(), false);
            case Numbers.NEWFSTATAT -> stat(client, (int) call.a(), call.b(), (int) call.d(), call.c(), false);
            case Numbers.STATX -> stat(client, (int) call.a(), call.b(), (int) call.c(), call.e(), true);
            case Numbers.ACCESS -> access(client, Host.AT_FDCWD, call.a(), (int) call.b());
            case Numbers.FACCESSAT, Numbers.FACCESSAT2 -> access(client, (int) call.a(), call.b(), (int) call.c());
            case Numbers.READLINK -> readLink(client, Host.AT_FDCWD, call.a(), call.b(), call.c());
            case Numbers.READLINKAT -> readLink(client, (int) call.a(), call.b(), call.c(), call.d());
            default -> Calls.PROCEED;
        };
    }

    /** The absolute path that is meant, or null when it is the host's in any case. */
    private @Nullable String path(Client client, int directory, long address) {
        String path = host.copyString(client.tid(), address);
        if (path == null || path.isEmpty() || path.startsWith("/")) {
            return path == null || path.isEmpty() ? null : path;
        }
        OpenFile file = directory == Host.AT_FDCWD ? null : client.own(directory);
        if (file != null) {
            return file instanceof DirectoryFile start ? start.path() + "/" + path : null;
        }
        String start = host.readLink(client.directory(), directory == Host.AT_FDCWD ? "cwd" : "fd/" + directory);
        return start.startsWith("/") ? start + "/" + path : null;
    }

    private @Nullable String claimed(Client client, int directory, long address) {
        String path = path(client, directory, address);
        return path != null && vfs.claims(path) ? path : null;
    }

    private static int openHow(Client client, long address) {
        MemorySegment flags = MemorySegment.ofArray(new long[1]);
        return client.copyIn(address, flags) != 0 ? 0 : (int) flags.get(JAVA_LONG, 0);
    }

    private long open(Client client, int directory, long address, int flags) {
        String path = path(client, directory, address);
        if (path != null && path.equals(MEMORY) && (flags & Linux.O_ACCMODE) == Linux.O_RDONLY) {
            return memory(client, flags);
        }
        if (path == null || !vfs.claims(path)) {
            return Calls.PROCEED;
        }
        if (path.startsWith("/proc/") && path.endsWith(STATUS)) {
            return status(client, path.substring("/proc/".length(), path.length() - STATUS.length()), flags);
        }
        // What O_PATH gives can do less than this; nobody counts on that.
        return vfs.open(client, path, flags & ~Host.O_PATH);
    }

    private long stat(Client client, int directory, long address, int flags, long into, boolean extended) {
        String path = claimed(client, directory, address);
        if (path == null || isStatus(path)) {
            return Calls.PROCEED;
        }
        return switch (vfs.stat(client, path, (flags & AT_SYMLINK_NOFOLLOW) == 0)) {
            case Vfs.Status.Missing missing -> -missing.errno();
            case Vfs.Status.Known known ->
                extended ? tellExtended(client, known.stat(), into) : tell(client, known.stat(), into);
        };
    }

    /** Copies a {@code struct stat} to the program. */
    static long tell(Client client, Stat stat, long address) {
        MemorySegment struct = MemorySegment.ofArray(new long[Stat.BYTES / Long.BYTES]);
        stat.write(struct);
        return client.copyOut(address, struct);
    }

    /** Copies a {@code struct statx} to the program. */
    static long tellExtended(Client client, Stat stat, long address) {
        MemorySegment struct = MemorySegment.ofArray(new long[Stat.EXTENDED_BYTES / Long.BYTES]);
        stat.writeExtended(struct);
        return client.copyOut(address, struct);
    }

    private long access(Client client, int directory, long address, int wanted) {
        String path = claimed(client, directory, address);
        if (path == null || isStatus(path)) {
            return Calls.PROCEED;
        }
        return (wanted & ~7) != 0 ? -Errno.EINVAL : vfs.access(client, path, wanted);
    }

    private long readLink(Client client, int directory, long address, long into, long length) {
        String path = claimed(client, directory, address);
        if (path == null) {
            return Calls.PROCEED;
        }
        MemorySegment buffer = MemorySegment.ofArray(new byte[Math.clamp(length, 0, LONGEST_LINK)]);
        int found = vfs.readLink(client, path, buffer);
        return found > 0 && client.copyOut(into, buffer.asSlice(0, found)) != 0 ? -Errno.EFAULT : found;
    }

    private static boolean isStatus(String path) {
        return path.startsWith("/proc/") && path.endsWith(STATUS);
    }

    /** The host's /proc/PID/status with the pages that the emulated kernel has pinned. */
    private long status(Client client, String name, int flags) {
        boolean self = name.equals("self") || name.equals("thread-self");
        ClientProcess process = self ? client.process() : clients.process(name);
        boolean nothing = process == null
                || (process.memory().pinnedPages() == 0 && process.memory().locked().pages() == 0);
        if (process == null || nothing || (flags & Linux.O_ACCMODE) != Linux.O_RDONLY) {
            return Calls.PROCEED;
        }
        String text = host.readText(self ? client.directory() : process.directory(), "status");
        if (text == null) {
            return Calls.PROCEED;
        }
        String edited = edit(text, "VmLck", process.memory().locked().pages());
        return give(client, "status", edit(edited, "VmPin", process.memory().pinnedPages()), flags);
    }

    /** The host's /proc/meminfo with the emulated machine's huge pages. */
    private long memory(Client client, int flags) {
        String text = host.readText(Host.AT_FDCWD, MEMORY);
        return text == null
                ? Calls.PROCEED
                : give(client, "meminfo", text.replaceAll("(?m)^Huge(Pages_|pagesize|tlb).*\n", "") + pools.describe(), flags);
    }

    private long give(Client client, String name, String text, int flags) {
        int file = host.textFile(name, text);
        if (file < 0) {
            return Calls.PROCEED;
        }
        long number = client.give(file, (flags & Linux.O_CLOEXEC) != 0);
        host.close(file);
        return number;
    }

    private static String edit(String status, String field, long pages) {
        return status.replaceFirst("(?m)^" + field + ":.*$", "%s:\t%8d kB".formatted(field, 4 * pages));
    }
}
