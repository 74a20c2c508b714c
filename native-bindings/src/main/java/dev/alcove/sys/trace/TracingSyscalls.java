// SPDX-License-Identifier: Apache-2.0
package dev.alcove.sys.trace;

import dev.alcove.sys.Syscalls;
import java.io.IOException;
import java.io.OutputStream;
import java.io.UncheckedIOException;
import java.lang.foreign.MemorySegment;
import java.util.LinkedHashMap;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * Records every system call as a line of JSON: when, by which thread, what it was asked, what it answered and gave
 * out, how long it took (docs/trace.md). All that is needed to make the calls again is there. Buffered; thread safe;
 * the calls themselves are not serialized and answer as they would without.
 *
 * <p>The order of the lines is an order in which the calls can have happened one after the other: a call that gives a
 * number or an address up, or wakes somebody, stands where it began, every other one where it came back.
 */
public final class TracingSyscalls implements Syscalls, AutoCloseable {
    private final Syscalls target;
    private final TraceLog log;
    private final Recorder recorder = new Recorder();
    private final ThreadNames threads = new ThreadNames();
    private final long epoch = System.nanoTime();

    /**
     * @param out takes the lines as UTF-8; closed with this object
     */
    public TracingSyscalls(Syscalls target, OutputStream out, TraceHeader header) {
        this.target = target;
        this.log = new TraceLog(out, header);
    }

    /** Says on the last line how the run ended. */
    public void ended(int status, String reason) {
        Map<String, @Nullable Object> exit = new LinkedHashMap<>();
        exit.put("status", status);
        exit.put("reason", reason);
        log.exit(exit);
    }

    /**
     * Writes what is buffered and the last line, and closes the output; calls go on, untraced.
     *
     * @throws UncheckedIOException the trace could not be written; it is cut where that happened
     */
    @Override
    public void close() {
        try {
            log.close();
        } catch (IOException failed) {
            throw new UncheckedIOException(failed);
        }
    }

    private long traced(Call call, @Nullable Object... arguments) {
        Map<String, @Nullable Object> line = new LinkedHashMap<>();
        long start = System.nanoTime();
        line.put("at", start - epoch);
        line.put("thread", threads.current());
        line.put("call", call.text());
        Recorder.Recording recording = recorder.begin(call, arguments, line);
        TraceLog.Place place = recording.countsFromItsBegin() ? log.reserve() : null;
        long answer = Long.MIN_VALUE;
        try {
            start = System.nanoTime();
            answer = call.issue(target, arguments);
        } finally {
            long nanos = System.nanoTime() - start;
            recording.end(answer);
            line.put("nanos", nanos);
            log.write(place, line);
        }
        return answer;
    }

    @Override
    public int open(String path, int flags, int mode) {
        return (int) traced(Call.OPEN, path, flags, mode);
    }

    @Override
    public int close(int fd) {
        return (int) traced(Call.CLOSE, fd);
    }

    @Override
    public int fcntl(int fd, int command, long argument) {
        return (int) traced(Call.FCNTL, fd, command, argument);
    }

    @Override
    public int dup(int fd) {
        return (int) traced(Call.DUP, fd);
    }

    @Override
    public long read(int fd, MemorySegment buffer) {
        return traced(Call.READ, fd, buffer);
    }

    @Override
    public long write(int fd, MemorySegment buffer) {
        return traced(Call.WRITE, fd, buffer);
    }

    @Override
    public long pread(int fd, MemorySegment buffer, long offset) {
        return traced(Call.PREAD, fd, buffer, offset);
    }

    @Override
    public long pwrite(int fd, MemorySegment buffer, long offset) {
        return traced(Call.PWRITE, fd, buffer, offset);
    }

    @Override
    public long lseek(int fd, long offset, int whence) {
        return traced(Call.LSEEK, fd, offset, whence);
    }

    @Override
    public int fstat(int fd, MemorySegment stat) {
        return (int) traced(Call.FSTAT, fd, stat);
    }

    @Override
    public int ioctl(int fd, int request, MemorySegment argument) {
        return (int) traced(Call.IOCTL, fd, request, argument);
    }

    @Override
    public int ioctl(int fd, int request, long argument) {
        return (int) traced(Call.IOCTL_VALUE, fd, request, argument);
    }

    @Override
    public long mmap(long address, long length, int protection, int flags, int fd, long offset) {
        return traced(Call.MMAP, address, length, protection, flags, fd, offset);
    }

    @Override
    public int munmap(long address, long length) {
        return (int) traced(Call.MUNMAP, address, length);
    }

    @Override
    public int madvise(long address, long length, int advice) {
        return (int) traced(Call.MADVISE, address, length, advice);
    }

    @Override
    public int fallocate(int fd, int mode, long offset, long length) {
        return (int) traced(Call.FALLOCATE, fd, mode, offset, length);
    }

    @Override
    public int ftruncate(int fd, long length) {
        return (int) traced(Call.FTRUNCATE, fd, length);
    }

    @Override
    public int memfdCreate(String name, int flags) {
        return (int) traced(Call.MEMFD_CREATE, name, flags);
    }

    @Override
    public int eventfd(int initial, int flags) {
        return (int) traced(Call.EVENTFD, initial, flags);
    }

    @Override
    public int poll(MemorySegment pollfds, int timeoutMillis) {
        return (int) traced(Call.POLL, pollfds, timeoutMillis);
    }

    @Override
    public int prlimit(int resource, @Nullable MemorySegment newLimit, @Nullable MemorySegment oldLimit) {
        return (int) traced(Call.PRLIMIT, resource, newLimit, oldLimit);
    }

    @Override
    public int getdents64(int fd, MemorySegment buffer) {
        return (int) traced(Call.GETDENTS64, fd, buffer);
    }

    @Override
    public int readlink(String path, MemorySegment buffer) {
        return (int) traced(Call.READLINK, path, buffer);
    }

    @Override
    public int uname(MemorySegment utsname) {
        return (int) traced(Call.UNAME, utsname);
    }

    @Override
    public int getpid() {
        return (int) traced(Call.GETPID);
    }

    @Override
    public int gettid() {
        return (int) traced(Call.GETTID);
    }

    @Override
    public int geteuid() {
        return (int) traced(Call.GETEUID);
    }

    @Override
    public int tgkill(int tgid, int tid, int signal) {
        return (int) traced(Call.TGKILL, tgid, tid, signal);
    }

    @Override
    public int sigprocmask(int how, @Nullable MemorySegment set, @Nullable MemorySegment old) {
        return (int) traced(Call.SIGPROCMASK, how, set, old);
    }

    @Override
    public int sigtimedwait(MemorySegment set, long timeoutNanos) {
        return (int) traced(Call.SIGTIMEDWAIT, set, timeoutNanos);
    }
}
