// SPDX-License-Identifier: Apache-2.0
package dev.alcove.sys;

import java.io.IOException;
import java.io.OutputStream;
import java.io.UncheckedIOException;
import java.lang.foreign.GroupLayout;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import org.jspecify.annotations.Nullable;

/**
 * Records every system call as a line of JSON: when, by which thread, what it was asked, what it answered, how long it
 * took. Ioctls have their name and their struct by field name, before the call ({@code arg}) and, where the kernel
 * changed it, after ({@code out}). Buffered; thread safe; the calls themselves are not serialized.
 */
public final class TracingSyscalls implements Syscalls, AutoCloseable {
    private final Syscalls target;
    private final TraceLog trace;
    private final TracedFiles files = new TracedFiles();
    private final Ioctls ioctls = new Ioctls();

    /**
     * @param out takes the lines as UTF-8; closed with this object
     */
    public TracingSyscalls(Syscalls target, OutputStream out) {
        this.target = target;
        this.trace = new TraceLog(out);
    }

    /**
     * Writes what is buffered and closes the output; calls go on, untraced.
     *
     * @throws UncheckedIOException the trace could not be written; it is cut where that happened
     */
    @Override
    public void close() {
        try {
            trace.close();
        } catch (IOException failed) {
            throw new UncheckedIOException(failed);
        }
    }

    @Override
    public int ioctl(int fd, int request, MemorySegment argument) {
        Ioctls.@Nullable Ioctl known = ioctls.find(request, files.target(fd)).orElse(null);
        GroupLayout layout = known == null ? null : known.layout();
        // A pointer that nobody can follow is what a test hands in: the kernel answers EFAULT, the trace shows it.
        boolean readable = argument.byteSize() > 0 && argument.address() != 0;
        MemorySegment before =
                readable ? MemorySegment.ofArray(argument.toArray(ValueLayout.JAVA_BYTE)) : MemorySegment.NULL;
        long start = System.nanoTime();
        int answer = target.ioctl(fd, request, argument);
        long end = System.nanoTime();
        trace.write("ioctl", start, end, answer, line -> {
            ioctlHead(line, fd, request, known);
            if (readable) {
                line.struct("arg", before, layout);
                if (before.mismatch(argument) >= 0) {
                    line.struct("out", argument, layout);
                }
            } else {
                line.address("arg", argument.address());
            }
        });
        return answer;
    }

    @Override
    public int ioctl(int fd, int request, long argument) {
        Ioctls.@Nullable Ioctl known = ioctls.find(request, files.target(fd)).orElse(null);
        long start = System.nanoTime();
        int answer = target.ioctl(fd, request, argument);
        trace.write("ioctl", start, System.nanoTime(), answer, line -> {
            ioctlHead(line, fd, request, known);
            line.number("arg", argument);
        });
        return answer;
    }

    private void ioctlHead(TraceLog.Line line, int fd, int request, Ioctls.@Nullable Ioctl known) throws IOException {
        line.number("fd", fd);
        String path = files.path(fd);
        if (path != null) {
            line.text("file", path);
        }
        line.text("request", known == null ? "0x" + Integer.toHexString(request) : known.name());
    }

    @Override
    public int open(String path, int flags, int mode) {
        long start = System.nanoTime();
        int answer = target.open(path, flags, mode);
        files.opened(answer, path);
        trace.write("open", start, System.nanoTime(), answer, line -> line.text("path", path).number("flags", flags).number("mode", mode));
        return answer;
    }

    @Override
    public int close(int fd) {
        long start = System.nanoTime();
        files.closed(fd); // before the kernel can hand the number out again
        int answer = target.close(fd);
        trace.write("close", start, System.nanoTime(), answer, line -> line.number("fd", fd));
        return answer;
    }

    @Override
    public int fcntl(int fd, int command, long argument) {
        long start = System.nanoTime();
        int answer = target.fcntl(fd, command, argument);
        if (command == Linux.F_DUPFD || command == Linux.F_DUPFD_CLOEXEC) {
            files.copied(fd, answer);
        }
        trace.write("fcntl", start, System.nanoTime(), answer, line -> line.number("fd", fd).number("command", command).number("argument", argument));
        return answer;
    }

    @Override
    public int dup(int fd) {
        long start = System.nanoTime();
        int answer = target.dup(fd);
        files.copied(fd, answer);
        trace.write("dup", start, System.nanoTime(), answer, line -> line.number("fd", fd));
        return answer;
    }

    @Override
    public long read(int fd, MemorySegment buffer) {
        long start = System.nanoTime();
        long answer = target.read(fd, buffer);
        trace.write("read", start, System.nanoTime(), answer, line -> line.number("fd", fd).segment("buffer", buffer));
        return answer;
    }

    @Override
    public long write(int fd, MemorySegment buffer) {
        long start = System.nanoTime();
        long answer = target.write(fd, buffer);
        trace.write("write", start, System.nanoTime(), answer, line -> line.number("fd", fd).segment("buffer", buffer));
        return answer;
    }

    @Override
    public long pread(int fd, MemorySegment buffer, long offset) {
        long start = System.nanoTime();
        long answer = target.pread(fd, buffer, offset);
        trace.write("pread", start, System.nanoTime(), answer, line -> line.number("fd", fd).segment("buffer", buffer).number("offset", offset));
        return answer;
    }

    @Override
    public long pwrite(int fd, MemorySegment buffer, long offset) {
        long start = System.nanoTime();
        long answer = target.pwrite(fd, buffer, offset);
        trace.write("pwrite", start, System.nanoTime(), answer, line -> line.number("fd", fd).segment("buffer", buffer).number("offset", offset));
        return answer;
    }

    @Override
    public long lseek(int fd, long offset, int whence) {
        long start = System.nanoTime();
        long answer = target.lseek(fd, offset, whence);
        trace.write("lseek", start, System.nanoTime(), answer, line -> line.number("fd", fd).number("offset", offset).number("whence", whence));
        return answer;
    }

    @Override
    public int fstat(int fd, MemorySegment stat) {
        long start = System.nanoTime();
        int answer = target.fstat(fd, stat);
        trace.write("fstat", start, System.nanoTime(), answer, line -> line.number("fd", fd).segment("stat", stat));
        return answer;
    }

    @Override
    public long mmap(long address, long length, int protection, int flags, int fd, long offset) {
        long start = System.nanoTime();
        long answer = target.mmap(address, length, protection, flags, fd, offset);
        trace.write("mmap", start, System.nanoTime(), answer, line -> line.address("address", address).number("length", length).number("protection", protection).number("flags", flags).number("fd", fd).number("offset", offset));
        return answer;
    }

    @Override
    public int munmap(long address, long length) {
        long start = System.nanoTime();
        int answer = target.munmap(address, length);
        trace.write("munmap", start, System.nanoTime(), answer, line -> line.address("address", address).number("length", length));
        return answer;
    }

    @Override
    public int madvise(long address, long length, int advice) {
        long start = System.nanoTime();
        int answer = target.madvise(address, length, advice);
        trace.write("madvise", start, System.nanoTime(), answer, line -> line.address("address", address).number("length", length).number("advice", advice));
        return answer;
    }

    @Override
    public int fallocate(int fd, int mode, long offset, long length) {
        long start = System.nanoTime();
        int answer = target.fallocate(fd, mode, offset, length);
        trace.write("fallocate", start, System.nanoTime(), answer, line -> line.number("fd", fd).number("mode", mode).number("offset", offset).number("length", length));
        return answer;
    }

    @Override
    public int ftruncate(int fd, long length) {
        long start = System.nanoTime();
        int answer = target.ftruncate(fd, length);
        trace.write("ftruncate", start, System.nanoTime(), answer, line -> line.number("fd", fd).number("length", length));
        return answer;
    }

    @Override
    public int memfdCreate(String name, int flags) {
        long start = System.nanoTime();
        int answer = target.memfdCreate(name, flags);
        trace.write("memfdCreate", start, System.nanoTime(), answer, line -> line.text("name", name).number("flags", flags));
        return answer;
    }

    @Override
    public int eventfd(int initial, int flags) {
        long start = System.nanoTime();
        int answer = target.eventfd(initial, flags);
        trace.write("eventfd", start, System.nanoTime(), answer, line -> line.number("initial", initial).number("flags", flags));
        return answer;
    }

    @Override
    public int poll(MemorySegment pollfds, int timeoutMillis) {
        long start = System.nanoTime();
        int answer = target.poll(pollfds, timeoutMillis);
        trace.write("poll", start, System.nanoTime(), answer, line -> line.segment("pollfds", pollfds).number("timeoutMillis", timeoutMillis));
        return answer;
    }

    @Override
    public int prlimit(int resource, @Nullable MemorySegment newLimit, @Nullable MemorySegment oldLimit) {
        long start = System.nanoTime();
        int answer = target.prlimit(resource, newLimit, oldLimit);
        trace.write("prlimit", start, System.nanoTime(), answer, line -> line.number("resource", resource).segment("newLimit", newLimit).segment("oldLimit", oldLimit));
        return answer;
    }

    @Override
    public int getdents64(int fd, MemorySegment buffer) {
        long start = System.nanoTime();
        int answer = target.getdents64(fd, buffer);
        trace.write("getdents64", start, System.nanoTime(), answer, line -> line.number("fd", fd).segment("buffer", buffer));
        return answer;
    }

    @Override
    public int readlink(String path, MemorySegment buffer) {
        long start = System.nanoTime();
        int answer = target.readlink(path, buffer);
        trace.write("readlink", start, System.nanoTime(), answer, line -> line.text("path", path).segment("buffer", buffer));
        return answer;
    }

    @Override
    public int uname(MemorySegment utsname) {
        long start = System.nanoTime();
        int answer = target.uname(utsname);
        trace.write("uname", start, System.nanoTime(), answer, line -> line.segment("utsname", utsname));
        return answer;
    }

    @Override
    public int getpid() {
        long start = System.nanoTime();
        int answer = target.getpid();
        trace.write("getpid", start, System.nanoTime(), answer, line -> {});
        return answer;
    }

    @Override
    public int gettid() {
        long start = System.nanoTime();
        int answer = target.gettid();
        trace.write("gettid", start, System.nanoTime(), answer, line -> {});
        return answer;
    }

    @Override
    public int geteuid() {
        long start = System.nanoTime();
        int answer = target.geteuid();
        trace.write("geteuid", start, System.nanoTime(), answer, line -> {});
        return answer;
    }

    @Override
    public int tgkill(int tgid, int tid, int signal) {
        long start = System.nanoTime();
        int answer = target.tgkill(tgid, tid, signal);
        trace.write("tgkill", start, System.nanoTime(), answer, line -> line.number("tgid", tgid).number("tid", tid).number("signal", signal));
        return answer;
    }

    @Override
    public int sigprocmask(int how, @Nullable MemorySegment set, @Nullable MemorySegment old) {
        long start = System.nanoTime();
        int answer = target.sigprocmask(how, set, old);
        trace.write("sigprocmask", start, System.nanoTime(), answer, line -> line.number("how", how).segment("set", set).segment("old", old));
        return answer;
    }

    @Override
    public int sigtimedwait(MemorySegment set, long timeoutNanos) {
        long start = System.nanoTime();
        int answer = target.sigtimedwait(set, timeoutNanos);
        trace.write("sigtimedwait", start, System.nanoTime(), answer, line -> line.segment("set", set).number("timeoutNanos", timeoutNanos));
        return answer;
    }
}
