// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.supervisor;

import dev.alcove.kernel.KernelProfile;
import dev.alcove.kernel.file.HugetlbFile;
import dev.alcove.kernel.file.Mapping;
import dev.alcove.kernel.file.OpenFile;
import dev.alcove.kernel.file.Vfs;
import dev.alcove.kernel.mm.Referenced;
import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import dev.alcove.sys.trace.SupervisedTrace;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import org.jspecify.annotations.Nullable;

import static java.lang.foreign.ValueLayout.JAVA_LONG;

/** What the calls of the program mean. No state: the files have it. */
final class Calls {
    /** The answer that lets the host's kernel carry the call out. */
    static final long PROCEED = Long.MIN_VALUE;

    private static final int SET_USER_MEMORY_REGION = 0x4020ae46;
    private static final int SET_USER_MEMORY_REGION2 = 0x40a0ae49;
    private static final int IOAS_MAP = 0x3b85;
    private static final int VFIO_MAP_DMA = 0x3b71;

    /** What read and write move at most, in bytes. */
    private static final long MOST = 1 << 20;

    /** IOV_MAX. */
    private static final int MOST_VECTORS = 1024;

    private final Paths paths;
    private final HugeCalls huge;
    private final Placeholders placeholders;
    private final MemoryCalls memoryCalls = new MemoryCalls();
    private final KernelProfile profile;
    private final Copies copies;
    private final @Nullable Processors processors;
    private final @Nullable CallTrace trace;

    /**
     * @param processors of the machine; null for the host's
     * @param trace gets the calls that are answered; null for none
     */
    Calls(
            Paths paths,
            HugeCalls huge,
            Copies copies,
            Placeholders placeholders,
            KernelProfile profile,
            @Nullable Processors processors,
            @Nullable CallTrace trace) {
        this.processors = processors;
        this.trace = trace;
        this.placeholders = placeholders;
        this.profile = profile;
        this.paths = paths;
        this.huge = huge;
        this.copies = copies;
    }

    /** Where calls that change mappings go. */
    MemoryCalls memoryCalls() {
        return memoryCalls;
    }

    /** A value, a negated errno, or {@link #PROCEED}. */
    long serve(Client client, Notification call) {
        if (MemoryCalls.concerns(call)) {
            return memoryCalls.serve(client, call);
        }
        return switch (call.number()) {
            case Numbers.IOCTL -> {
                OpenFile file = client.own((int) call.a());
                if (file != null) {
                    noteGiven(client, (int) call.b(), call.c());
                }
                yield file == null ? PROCEED : file.ioctl(client, (int) call.b(), call.c());
            }
            case Numbers.OPEN,
                    Numbers.OPENAT,
                    Numbers.OPENAT2,
                    Numbers.STAT,
                    Numbers.LSTAT,
                    Numbers.ACCESS,
                    Numbers.READLINK,
                    Numbers.READLINKAT,
                    Numbers.FACCESSAT,
                    Numbers.FACCESSAT2 ->
                paths.serve(client, call);
            case Numbers.NEWFSTATAT -> (call.d() & Host.AT_EMPTY_PATH) != 0
                    ? onDescriptor(client, call)
                    : paths.serve(client, call);
            case Numbers.STATX -> (call.c() & Host.AT_EMPTY_PATH) != 0
                    ? onDescriptor(client, call)
                    : paths.serve(client, call);
            case Numbers.MMAP -> map(client, call);
            case Numbers.SCHED_GETAFFINITY, Numbers.SCHED_SETAFFINITY ->
                processors == null ? PROCEED : processors.serve(client, call);
            case Numbers.MEMFD_CREATE -> huge.create(client, call);
            default -> onDescriptor(client, call);
        };
    }

    private long onDescriptor(Client client, Notification call) {
        OpenFile file = client.own((int) call.a());
        return file == null ? PROCEED : serve(client, file, call);
    }

    /** Remembers which memory the program gives away: it may have to be shared later. */
    private static void noteGiven(Client client, int request, long argument) {
        // Where the address is in the struct, and where the length.
        long[] offsets = switch (request) {
            case SET_USER_MEMORY_REGION, SET_USER_MEMORY_REGION2 -> new long[] {24, 16};
            case IOAS_MAP -> new long[] {16, 24};
            case VFIO_MAP_DMA -> new long[] {8, 24};
            default -> new long[0];
        };
        MemorySegment struct = MemorySegment.ofArray(new long[4]);
        if (offsets.length > 0 && client.copyIn(argument, struct) == 0) {
            client.mm().gives(struct.get(JAVA_LONG, offsets[0]), struct.get(JAVA_LONG, offsets[1]));
        }
    }

    private long serve(Client client, OpenFile file, Notification call) {
        return switch (call.number()) {
            case Numbers.FALLOCATE -> Vfs.fallocate(profile, client, file, (int) call.b(), call.c(), call.d());
            case Numbers.READ -> file.readable()
                    ? read(client, call, buffer -> file.read(client, buffer))
                    : -Errno.EBADF;
            case Numbers.PREAD64 -> call.d() < 0 ? -Errno.EINVAL : file.readable()
                    ? read(client, call, buffer -> file.pread(client, buffer, call.d()))
                    : -Errno.EBADF;
            case Numbers.WRITE -> file.writable()
                    ? write(client, call, buffer -> file.write(client, buffer))
                    : -Errno.EBADF;
            case Numbers.PWRITE64 -> call.d() < 0 ? -Errno.EINVAL : file.writable()
                    ? write(client, call, buffer -> file.pwrite(client, buffer, call.d()))
                    : -Errno.EBADF;
            case Numbers.LSEEK -> call.c() < Linux.SEEK_SET || call.c() > Linux.SEEK_HOLE
                    ? -Errno.EINVAL
                    : file.seek(client, call.b(), (int) call.c());
            case Numbers.FTRUNCATE -> call.b() < 0 || !file.writable()
                    ? -Errno.EINVAL
                    : client.fit((int) call.a(), file, file.truncate(client, call.b()));
            case Numbers.GETDENTS64 -> read(client, call, buffer -> file.readDirectory(client, buffer));
            case Numbers.FSTAT -> Paths.tell(client, file.stat(), call.b());
            case Numbers.NEWFSTATAT -> Paths.tell(client, file.stat(), call.c());
            case Numbers.STATX -> Paths.tellExtended(client, file.stat(), call.e());
            case Numbers.FSYNC, Numbers.FCHMOD -> -Errno.EINVAL;
            case Numbers.DUP, Numbers.DUP2, Numbers.DUP3, Numbers.FCNTL -> copies.serve(client, file, call);
            case Numbers.READV, Numbers.WRITEV -> vector(client, file, call);
            default -> PROCEED;
        };
    }

    /** readv and writev, a buffer after the other up to the first that is not filled. */
    private long vector(Client client, OpenFile file, Notification call) {
        int count = Math.clamp(call.c(), -1, MOST_VECTORS + 1);
        if (count < 0 || count > MOST_VECTORS) {
            return -Errno.EINVAL;
        }
        MemorySegment vectors = MemorySegment.ofArray(new long[2 * count]);
        if (client.copyIn(call.b(), vectors) != 0) {
            return -Errno.EFAULT;
        }
        int number = call.number() == Numbers.READV ? Numbers.READ : Numbers.WRITE;
        long done = 0;
        for (int i = 0; i < count; i++) {
            long length = vectors.getAtIndex(JAVA_LONG, 2L * i + 1);
            long moved = length == 0 ? 0 : serve(client, file, call.moving(number, vectors.getAtIndex(JAVA_LONG, 2L * i), length));
            if (moved < 0) {
                return done > 0 ? done : moved;
            }
            done += moved;
            if (moved < length) {
                return done;
            }
        }
        return done;
    }

    @FunctionalInterface
    private interface Transfer {
        long run(MemorySegment buffer);
    }

    private static long read(Client client, Notification call, Transfer transfer) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment buffer = arena.allocate(Math.clamp(call.c(), 0, MOST), 8);
            long length = transfer.run(buffer);
            return length > 0 && client.copyOut(call.b(), buffer.asSlice(0, length)) != 0 ? -Errno.EFAULT : length;
        }
    }

    private static long write(Client client, Notification call, Transfer transfer) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment buffer = arena.allocate(Math.clamp(call.c(), 0, MOST), 8);
            return client.copyIn(call.b(), buffer) != 0 ? -Errno.EFAULT : transfer.run(buffer);
        }
    }

    /** Pages that are not those of the placeholder go into a file of their own, which is mapped instead. */
    private long mapPages(Client client, OpenFile file, Mapping.Pages pages, Notification call, long length) {
        if (client.shows((int) call.e(), pages.store())) {
            return PROCEED;
        }
        Referenced owner = pages.owner() == null ? file : pages.owner();
        owner.get();
        Placeholders.Made made = placeholders.makeWindow(client, new MappedPages(pages.store(), owner));
        if (made == null) {
            return -Errno.ENOMEM;
        }
        int fixed = (int) call.d() & (Linux.MAP_FIXED | Linux.MAP_FIXED_NOREPLACE);
        client.insert(new Insertion(
                made.end(), -1, call.a(), Insertion.LARGE, length, (int) call.c(), fixed, pages.firstPage() << Linux.PAGE_SHIFT));
        return 0;
    }

    // mmap.

    /** Only whether the file lets itself be mapped is decided here: the host's kernel maps the placeholder. */
    private long map(Client client, Notification call) {
        if (client.inserting()) {
            return PROCEED;
        }
        if ((call.d() & Linux.MAP_FIXED) != 0) {
            memoryCalls.serve(client, call);
        }
        if ((call.d() & Linux.MAP_ANONYMOUS) != 0) {
            return huge.mapAnonymous(client, call);
        }
        OpenFile file = client.own((int) call.e());
        if (file instanceof HugetlbFile pages) {
            return huge.mapFile(client, pages, call);
        }
        boolean odd = (call.f() & (Linux.PAGE_SIZE - 1)) != 0 || call.b() == 0 || call.f() < 0;
        if (file == null || odd) {
            return PROCEED;
        }
        int protection = (int) call.c();
        int flags = (int) call.d();
        boolean shared = (flags & Linux.MAP_TYPE) != Linux.MAP_PRIVATE;
        if (!file.readable() || (shared && (protection & Linux.PROT_WRITE) != 0 && !file.writable())) {
            return -Errno.EACCES;
        }
        long length = (call.b() + Linux.PAGE_SIZE - 1) & -Linux.PAGE_SIZE;
        return switch (file.map(client, call.f(), length, protection, flags)) {
            case Mapping.Refused refused -> -refused.errno();
            case Mapping.Pages pages -> mapPages(client, file, pages, call, length);
            // The registers of a device cannot be shown in another process: every access raises SIGBUS.
            case Mapping.Device device -> PROCEED;
        };
    }

    /** Whether serving a call may wait for something that another call brings about. */
    static boolean mayWait(Notification call, boolean somebodyWaits) {
        if (call.number() != Numbers.IOCTL) {
            return false;
        }
        int request = (int) call.b();
        int number = request & 0xff;
        boolean kvm = (request >>> 8 & 0xff) == 0xae;
        // KVM_RUN; and what waits for its end when it runs.
        return kvm && (number == 0x80 || (somebodyWaits && number > 0x80));
    }

    private long traced(Client client, Notification call, CallTrace into) {
        SupervisedTrace.Line line = into.begin(client, call);
        long answer = serve(client, call);
        if (line != null && answer != PROCEED) {
            line.end(answer, CallTrace.output(call));
        }
        return answer;
    }

    /** Serves a call and lets no trouble of this side reach the program but as an errno. */
    long serveSafely(Client client, Notification call, Trouble trouble) {
        client.enter(call);
        try {
            return trace == null ? serve(client, call) : traced(client, call, trace);
        } catch (RuntimeException | Error e) {
            trouble.report(client.tid(), call, e);
            return -Errno.EIO;
        } finally {
            client.leave();
        }
    }

    /** Gets told of defects of this side. */
    @FunctionalInterface
    interface Trouble {
        void report(int tid, Notification call, Throwable error);
    }
}
