// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.supervisor;

import dev.alcove.kernel.fault.FaultInjection;
import dev.alcove.kernel.file.MemoryFile;
import dev.alcove.kernel.file.OpenFile;
import dev.alcove.kernel.mm.LockedMemory;
import dev.alcove.kernel.mm.PageStore;
import dev.alcove.kernel.task.Signals;
import dev.alcove.kernel.task.Task;
import dev.alcove.kernel.task.UserMemory;
import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import dev.alcove.sys.trace.SupervisedTrace;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.DirectoryIteratorException;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

import static java.lang.foreign.ValueLayout.JAVA_LONG;

/**
 * A thread of the program. It makes one call at a time, and whoever serves that call is the only user, but for its
 * signals.
 *
 * <p>Its directory in procfs is kept open: when the thread ends, nothing is found there any more, even if its number is
 * given to another.
 */
final class Client implements Task, UserMemory, SupervisedTrace.Caller {
    private final Host host;
    private final Listener listener;
    private final Placeholders placeholders;
    private final ClientProcess process;
    private final FaultInjection faults;
    private final int tid;
    private final int directory;
    private final ClientSignals signals;
    private final List<OpenFile> borrowed = new ArrayList<>();
    private long call;
    private @Nullable Insertion insertion;
    private volatile boolean inserting;
    private boolean toFollow;

    /** @param directory of the thread in procfs, taken over */
    Client(
            Host host,
            Listener listener,
            Placeholders placeholders,
            ClientProcess process,
            FaultInjection faults,
            int tid,
            int directory) {
        this.host = host;
        this.listener = listener;
        this.placeholders = placeholders;
        this.process = process;
        this.faults = faults;
        this.tid = tid;
        this.directory = directory;
        signals = new ClientSignals(host, directory);
    }

    /** A call begins. */
    void enter(Notification notification) {
        call = notification.id();
        long id = call;
        faults.enter(tid);
        signals.begin(() -> id == Notification.NONE || listener.valid(id));
    }

    /** The call is over. */
    void leave() {
        faults.leave();
        borrowed.forEach(OpenFile::put);
        borrowed.clear();
    }

    ClientProcess process() {
        return process;
    }

    /** Whether the thread still lives; one that has ended and is not waited for does not. */
    boolean alive() {
        return host.identify(directory, "exe") != null;
    }

    /** The thread is gone. */
    void close() {
        faults.ended(tid);
        host.close(directory);
    }

    int directory() {
        return directory;
    }

    @Override
    public int tgid() {
        return process.pid();
    }

    @Override
    public int tid() {
        return tid;
    }

    @Override
    public boolean sees(int pid, int thread) {
        return host.identify(Host.AT_FDCWD, "/proc/" + pid + "/task/" + thread) != null;
    }

    @Override
    public boolean capable(int capability) {
        long own = host.capabilities(tid);
        // What a container withholds from everybody, the emulated machine has: for those who administer the container.
        return (own >>> capability & 1) != 0
                || ((own >>> CAP_SYS_ADMIN & 1) != 0 && host.withholds(capability));
    }

    @Override
    public long rlimit(int resource) {
        return host.limit(tid, resource);
    }

    @Override
    public UserMemory memory() {
        return this;
    }

    @Override
    public int copyIn(long address, MemorySegment into) {
        return host.copyIn(tid, address, into);
    }

    @Override
    public int copyOut(long address, MemorySegment from) {
        return host.copyOut(tid, address, from);
    }

    @Override
    public ClientMemory mm() {
        return process.memory();
    }

    @Override
    public LockedMemory userLocked() {
        return process.userLocked();
    }

    @Override
    public Signals signals() {
        return signals;
    }

    /** Looks the signals up again while a call lasts. */
    void lookAtSignals() {
        signals.look();
    }

    private Placeholders.@Nullable Placeholder placeholder(int fd) {
        Host.Identity identity = fd < 0 ? null : host.identify(directory, "fd/" + fd);
        return identity == null ? null : placeholders.find(identity);
    }

    /** The emulated kernel's file behind a descriptor, or null when it is none of those. */
    @Nullable OpenFile own(int fd) {
        Placeholders.Placeholder placeholder = placeholder(fd);
        OpenFile file = placeholder == null ? null : placeholder.file;
        if (file == null || !file.tryGet()) {
            return null;
        }
        borrowed.add(file);
        return file;
    }

    /** Whether a thread of a number lives. */
    boolean hasThread(int other) {
        return host.identify(Host.AT_FDCWD, "/proc/" + other) != null;
    }

    /** Whether a descriptor below a number is a file of the emulated kernel that somebody may read or write. */
    boolean ownBelow(int number) {
        try (DirectoryStream<Path> numbers = Files.newDirectoryStream(Path.of("/proc/" + tid + "/fd"))) {
            for (Path path : numbers) {
                int fd = Integer.parseInt(path.getFileName().toString());
                Placeholders.Placeholder placeholder = fd < number ? placeholder(fd) : null;
                OpenFile file = placeholder == null ? null : placeholder.file;
                if (file != null && file.transfers()) {
                    return true;
                }
            }
            return false;
        } catch (IOException | DirectoryIteratorException gone) {
            return false;
        }
    }

    @Override
    public @Nullable OpenFile file(int fd) {
        OpenFile own = own(fd);
        if (own != null) {
            return own;
        }
        OpenFile foreign = fd < 0 ? null : process.foreign().open(tid, directory, fd);
        if (foreign != null) {
            borrowed.add(foreign);
        }
        return foreign;
    }

    @Override
    public int install(OpenFile file, boolean closeOnExec) {
        boolean room = faults.charge("file");
        Placeholders.Made made = room ? placeholders.make(this, file) : null;
        if (made == null) {
            file.put();
            return room ? -Errno.ENFILE : -Errno.ENOMEM;
        }
        int number = listener.addFile(call, made.end(), process.windowNumber(directory), closeOnExec);
        if (number < 0) {
            number = listener.addFile(call, made.end(), -1, closeOnExec);
        }
        if (number < 0) {
            placeholders.empty(made.placeholder());
        }
        // Nobody else holds it when the program did not get it: it is closed for good then.
        host.close(made.end());
        return number == -Errno.ENOENT ? -Errno.EINTR : number;
    }

    /** What a call answered that may have changed a file's length: its placeholder then gets that length. */
    long fit(int fd, OpenFile file, long answer) {
        if (answer >= 0) {
            fit(fd, file);
        }
        return answer;
    }

    /** Makes the placeholder of a file of memory as long as the file. */
    void fit(int fd, OpenFile file) {
        Placeholders.Placeholder placeholder = placeholder(fd);
        if (placeholder != null && file instanceof MemoryFile memory) {
            host.calls.ftruncate(placeholder.memory, memory.size());
        }
    }

    /** Whether a mapping of a descriptor by the host's kernel shows the pages of a store. */
    boolean shows(int fd, PageStore store) {
        Placeholders.Placeholder placeholder = placeholder(fd);
        return !store.userAccessible() || placeholder == null || store.equals(placeholder.shown);
    }

    /** Has a mapping made when the call that is being served is over. */
    void insert(Insertion wanted) {
        insertion = wanted;
    }

    /** The mapping that the call wants made, once. */
    @Nullable Insertion takeInsertion() {
        Insertion taken = insertion;
        insertion = null;
        return taken;
    }

    /** The program is about to have a copy of a file under a number that no filter looks at. */
    void setToFollow() {
        toFollow = true;
    }

    /** Whether it is, once. */
    boolean takeToFollow() {
        boolean taken = toFollow;
        toFollow = false;
        return taken;
    }

    /** A copy of one of the descriptors, at a number of the window; negative where there is none. */
    int copy(int fd, boolean closeOnExec) {
        int taken = host.takeFile(tid, fd);
        int number = taken < 0 ? taken : process.windowNumber(directory);
        if (number >= 0) {
            number = listener.addFile(call, taken, number, closeOnExec);
        }
        host.close(taken);
        return number;
    }

    /** Whether a number of a descriptor is free. */
    boolean isFree(int fd) {
        return host.readLink(directory, "fd/" + fd).isEmpty();
    }

    /** Whether the thread's calls are not its own but made for it, to map something. */
    boolean inserting() {
        return inserting;
    }

    void setInserting(boolean value) {
        inserting = value;
    }

    /** Gives the program a descriptor of a file that is the host's; its number, or a negated errno. */
    int give(int file, boolean closeOnExec) {
        return listener.addFile(call, file, -1, closeOnExec);
    }

    @Override
    public String nameOf(int fd) {
        Placeholders.Placeholder placeholder = placeholder(fd);
        return placeholder == null ? "" : placeholder.name;
    }

    @Override
    public void name(int fd, String name) {
        Placeholders.Placeholder placeholder = placeholder(fd);
        if (placeholder != null) {
            placeholder.name = name;
        }
    }

    @Override
    public @Nullable MemorySegment run(int fd) {
        Placeholders.Placeholder placeholder = placeholder(fd);
        PageStore shown = placeholder == null ? null : placeholder.shown;
        if (placeholder == null || shown == null) {
            return null;
        }
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment pages = arena.allocate(shown.pages() << Linux.PAGE_SHIFT, 8);
            host.calls.pread(placeholder.memory, pages, 0);
            return MemorySegment.ofArray(pages.toArray(JAVA_LONG));
        }
    }

    /** The number stays taken, as nobody can close it but the program itself; what it stood for is gone. */
    @Override
    public void uninstall(int fd) {
        Placeholders.Placeholder placeholder = placeholder(fd);
        if (placeholder != null) {
            placeholders.empty(placeholder);
        }
    }
}
