// SPDX-License-Identifier: Apache-2.0
package dev.alcove.cli;

import dev.alcove.iommufd.Ioas;
import dev.alcove.iommufd.IommuFd;
import dev.alcove.iommufd.IovaRange;
import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import dev.alcove.sys.SyscallException;
import dev.alcove.sys.Syscalls;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.Optional;
import java.util.function.Consumer;
import java.util.function.UnaryOperator;
import java.util.zip.GZIPInputStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

/** Runs that were recorded, here and on a real Linux, on the emulated kernel. */
class ReplayTest {
    @TempDir
    private Path directory = Path.of("unset");

    private final StringWriter out = new StringWriter();
    private final StringWriter errors = new StringWriter();

    private int replay(Path trace, String... options) {
        List<String> arguments = new ArrayList<>(List.of("replay", trace.toString()));
        arguments.addAll(List.of(options));
        return Alcove.execute(
                arguments.toArray(String[]::new), new PrintWriter(out, true), new PrintWriter(errors, true));
    }

    private Path record(ImageRun.Plan plan) {
        Path trace = directory.resolve("recorded.jsonl");
        assertEquals(0, plan.run(trace).outcome().status());
        return trace;
    }

    /** A run in the lab: Linux 7.2 on QEMU. */
    private List<String> lab(String image) throws IOException {
        try (InputStream resource =
                        Objects.requireNonNull(ReplayTest.class.getResourceAsStream("/lab-" + image + ".jsonl.gz"));
                GZIPInputStream text = new GZIPInputStream(resource)) {
            return new String(text.readAllBytes(), StandardCharsets.UTF_8).lines().toList();
        }
    }

    private Path write(List<String> lines) throws IOException {
        return Files.writeString(directory.resolve("trace.jsonl"), String.join("\n", lines) + "\n");
    }

    /** The lab's trace of an image with the first line that contains a text changed. */
    private Path doctored(String image, String where, UnaryOperator<String> change) throws IOException {
        List<String> lines = new ArrayList<>(lab(image));
        int index = 0;
        while (!lines.get(index).contains(where)) {
            index++;
        }
        String changed = change.apply(lines.get(index));
        assertFalse(changed.equals(lines.get(index)), lines.get(index));
        lines.set(index, changed);
        return write(lines);
    }

    private String all() {
        return out + "\n" + errors;
    }

    @ParameterizedTest
    @CsvSource({"hello,1", "hello,2", "convert,1", "dma,1", "storm,1", "storm,2"})
    void aRunHereReplaysHere(String image, int cpus) {
        Path trace = record(ImageRun.Plan.of(image).cpus(cpus).append("seed=5"));
        assertEquals(0, replay(trace), all());
        assertTrue(out.toString().contains("; 0 differences"), all());
    }

    @Test
    void aRunInAnOrdinaryVmReplaysToo() {
        assertEquals(0, replay(record(ImageRun.Plan.of("hello").plain())), all());
    }

    @ParameterizedTest
    @ValueSource(strings = {"dma", "storm"})
    void aRunOnRealLinuxReplaysHere(String image) throws IOException {
        assertEquals(0, replay(write(lab(image))), all());
        assertTrue(out.toString().contains(" calls of linux 7.2"), all());
        assertTrue(out.toString().contains(" on emulated 7.2"), all());
        assertTrue(out.toString().contains("; 0 differences"), all());
    }

    @Test
    void aDoctoredErrnoIsCaught() throws IOException {
        Path trace = doctored("dma", "\"IOMMU_IOAS_MAP\"", line ->
                line.replace("\"answer\":0", "\"answer\":-17,\"errno\":\"EEXIST\""));
        assertEquals(1, replay(trace), all());
        assertTrue(
                out.toString()
                        .contains(": ioctl IOMMU_IOAS_MAP of /dev/iommu: answer: recorded EEXIST (File exists), replayed 0"),
                all());
    }

    @Test
    void aDoctoredFieldIsCaught() throws IOException {
        Path trace = doctored("dma", "\"VFIO_IOMMU_UNMAP_DMA\"", line ->
                line.replaceFirst("\"answer\":0", "\"answer\":0,\"out\":{\"size\":8192}"));
        assertEquals(1, replay(trace, "--json"), all());
        assertTrue(out.toString().contains("\"field\":\"size\",\"recorded\":\"8192\",\"replayed\":\"4096\""), all());
        assertTrue(out.toString().contains("\"differences\":1}"), all());
    }

    @Test
    void aCallThatTheRecordedKernelRefusedIsMissedLater() throws IOException {
        Path trace = doctored("dma", "\"KVM_CREATE_VCPU\"", line ->
                line.replaceFirst("\"answer\":\\d+", "\"answer\":-17,\"errno\":\"EEXIST\""));
        assertEquals(1, replay(trace, "--limit", "0"), all());
        assertFalse(out.toString().contains("line "), all());
        assertTrue(out.toString().contains(" more (--limit)"), all());
    }

    @Test
    void whatNeedsACallThatFailsHereIsLeftOut() throws IOException {
        Path trace = doctored("dma", "\"KVM_CREATE_GUEST_MEMFD\"", line -> line.replaceFirst("\"size\":\\d+", "\"size\":1"));
        assertEquals(1, replay(trace), all());
        assertTrue(out.toString().contains("replayed EINVAL"), all());
        // The second one: the memslot that it was for cannot be deleted.
        assertTrue(out.toString().contains(" not possible after a difference; 2 differences"), all());
    }

    /** Records what a program does on the emulated kernel. */
    private Path record(Consumer<Syscalls> program) {
        Path trace = directory.resolve("program.jsonl");
        try (EmulatedHost host = EmulatedHost.create(Optional.of(new DeviceRequest.Edu()))) {
            RunTrace tracing = RunTrace.open(trace.toString(), host, Optional.of(new DeviceRequest.Edu()), List.of());
            program.accept(tracing.syscalls());
            assertEquals(Optional.empty(), tracing.close(null));
        }
        return trace;
    }

    @Test
    void whatPointersPointToIsRecordedAndHandedInAgain() throws IOException {
        Path trace = record(syscalls -> {
            try (IommuFd iommu = IommuFd.open(syscalls);
                    Ioas first = iommu.ioasAlloc();
                    Ioas second = iommu.ioasAlloc()) {
                first.allowIovas(List.of(new IovaRange(0x10000, 0x1ffff)));
                assertEquals(List.of(new IovaRange(0, -1)), first.iovaRanges());
                assertThrows(
                        SyscallException.class,
                        () -> second.allowIovas(List.of(new IovaRange(0, 0x2000), new IovaRange(0x1000, 0x3000))));
            }
        });
        String text = Files.readString(trace);
        assertTrue(text.contains("\"*allowed_iovas\":[{\"start\":65536,\"last\":131071}]"), text);
        assertTrue(text.contains("\"*allowed_iovas\":[{\"start\":0,\"last\":\"0xffffffffffffffff\"}]"), text);
        assertEquals(0, replay(trace), all());
        // Ranges that do not overlap are no error: the elements have been handed in.
        Files.writeString(trace, text.replace("{\"start\":4096,\"last\":12288}", "{\"start\":20480,\"last\":24575}"));
        assertEquals(1, replay(trace), all());
        assertTrue(out.toString().contains("IOMMU_IOAS_ALLOW_IOVAS of /dev/iommu: answer: recorded EINVAL"), all());
    }

    @Test
    void threadsAndTheirSignalsHaveOnesOfTheirOwn() {
        Path trace = record(syscalls -> {
            try (Arena arena = Arena.ofShared()) {
                MemorySegment set = arena.allocate(ValueLayout.JAVA_LONG);
                set.set(ValueLayout.JAVA_LONG, 0, 1L << (Linux.SIGRTMIN - 1));
                int[] other = new int[1];
                Thread thread = Thread.ofPlatform().start(() -> {
                    other[0] = syscalls.gettid();
                    assertEquals(0, syscalls.sigprocmask(Linux.SIG_BLOCK, set, null));
                    assertEquals(0, syscalls.tgkill(syscalls.getpid(), other[0], Linux.SIGRTMIN));
                    assertEquals(Linux.SIGRTMIN, syscalls.sigtimedwait(set, 1_000_000_000));
                });
                thread.join();
                assertEquals(-Errno.EAGAIN, syscalls.sigtimedwait(set, 0));
                assertEquals(-Errno.ESRCH, syscalls.tgkill(syscalls.getpid(), other[0], Linux.SIGRTMIN));
            } catch (InterruptedException e) {
                throw new IllegalStateException(e);
            }
        });
        assertEquals(0, replay(trace), all());
    }

    @Test
    void aReadThatWouldWaitIsADifferenceAndNotAHang() throws IOException {
        Path trace = record(syscalls -> {
            int counter = syscalls.eventfd(1, 0);
            try (Arena arena = Arena.ofConfined()) {
                assertEquals(8, syscalls.read(counter, arena.allocate(8)));
            }
            syscalls.close(counter);
        });
        assertEquals(0, replay(trace), all());
        Files.writeString(trace, Files.readString(trace).replace("\"initial\":1", "\"initial\":0"));
        assertEquals(1, replay(trace), all());
        assertTrue(out.toString().contains("read of eventfd: answer: recorded 8, replayed the call would wait"), all());
    }

    /** What another device answers about itself is given back: an edu stands for it. */
    @Test
    void anotherDeviceIsStoodInFor() throws IOException {
        Path trace = doctored("dma", "alcove-trace", line -> line.replace("1234:11e8", "10de:2330"));
        assertEquals(0, replay(trace), all());
        assertFalse(out.toString().contains("382 given back"), all());
    }

    @ParameterizedTest
    @CsvSource({"5.15.0,6.12", "6.12.117-1,6.12", "6.17,6.12", "6.18.44-fc,6.18", "7.1,6.18", "7.2.13,7.2", "8.0,7.2", "x,6.12"})
    void aReleaseHasAProfile(String release, String profile) {
        assertTrue(ReplayHost.profile(release).release().startsWith(profile), release);
    }

    @Test
    void anotherReleaseIsAnotherKernel() throws IOException {
        Path trace = write(lab("dma"));
        assertEquals(0, replay(trace, "--profile", "7.2"), all());
        assertEquals(2, replay(trace, "--profile", "5.4"), all());
        assertTrue(errors.toString().contains("'5.4' is not 6.12, 6.18 or 7.2"), all());
    }

    private void refused(String message, List<String> lines) throws IOException {
        refused(message, write(lines));
    }

    private void refused(String message, Path trace) {
        assertEquals(2, replay(trace), all());
        assertTrue(errors.toString().contains(message), all());
        assertFalse(errors.toString().contains("\tat "), all());
    }

    @Test
    void aDroppedLineIsFound() throws IOException {
        List<String> lines = new ArrayList<>(lab("dma"));
        lines.remove(lines.size() - 3);
        refused("is damaged: its closing line counts 487 calls, there are 486", lines);
    }

    @Test
    void aCutTraceIsFound() throws IOException {
        List<String> lines = lab("dma");
        refused("is cut: it ends after line 300 without its closing line", lines.subList(0, 300));
        String text = String.join("\n", lines);
        refused("is cut: it ends inside line ", Files.writeString(directory.resolve("cut"), text.substring(0, 9_999)));
    }

    @Test
    void whatIsNoTraceIsRefused() throws IOException {
        refused("is not a trace: it is empty", Files.createFile(directory.resolve("empty")));
        refused("is not a trace: line 1 is no JSON object", List.of("#!/bin/sh", "true"));
        refused("not a trace: its first line is no header", List.of("{\"a\":1}"));
        refused("a trace of version 2; this alcove knows version 1", List.of("{\"alcove-trace\":2}"));
        refused("'page' is missing", List.of("{\"alcove-trace\":1}"));
        refused("cannot be read", directory.resolve("not-there"));
        byte[] noise = new byte[1000];
        new java.util.Random(7).nextBytes(noise);
        refused("is not a trace", Files.write(directory.resolve("noise"), noise));
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "{\"thread\":\"main\",\"call\":\"frobnicate\",\"answer\":0}|line 2: unknown call 'frobnicate'",
                "{\"thread\":\"main\",\"call\":\"open\",\"answer\":0}|line 2: 'path' is missing",
                "{\"thread\":\"main\",\"call\":\"close\",\"fd\":\"x\",\"answer\":0}|line 2: 'fd' is not a number: x",
                "{\"thread\":\"main\",\"call\":\"close\",\"fd\":1.5,\"answer\":0}|line 2: broken JSON",
                "{\"thread\":\"main\",\"call\":|line 2: broken JSON",
                "{\"call\":\"getpid\",\"answer\":1}|line 2: 'thread' is missing",
                "{\"thread\":\"main\",\"call\":\"ioctl\",\"fd\":3,\"request\":\"KVM_FLY\",\"arg\":0,\"answer\":0}"
                        + "|line 2: unknown ioctl 'KVM_FLY'",
                "{\"thread\":\"main\",\"call\":\"ioctl\",\"fd\":3,\"request\":\"IOMMU_DESTROY\",\"arg\":{\"size\":8,"
                        + "\"id\":1,\"x\":1},\"answer\":0}|line 2: there is no field 'x' in iommu_destroy",
                "{\"thread\":\"main\",\"call\":\"ioctl\",\"fd\":3,\"request\":\"IOMMU_DESTROY\",\"arg\":{\"size\":8},"
                        + "\"answer\":0}|line 2: 'id' is missing",
                "{\"thread\":\"main\",\"call\":\"read\",\"fd\":3,\"size\":99999999999,\"answer\":0}"
                        + "|line 2: a buffer of 99999999999 bytes",
                "{\"thread\":\"main\",\"call\":\"write\",\"fd\":3,\"buffer\":\"abc\",\"answer\":0}"
                        + "|line 2: 'buffer' is not bytes: abc"
            })
    void aBrokenLineIsNamed(String line, String message) throws IOException {
        refused(message, List.of(lab("dma").getFirst(), line, "{\"end\":1}"));
    }

    @Test
    void nothingFollowsTheClosingLine() throws IOException {
        refused("goes on behind its closing line, line 2", List.of(lab("dma").getFirst(), "{\"end\":0}", "{}"));
    }

    /** Whatever a trace says, a replay ends with a status and without a defect. */
    @Test
    void randomDamageNeverBreaksAReplay() throws IOException {
        java.util.Random random = new java.util.Random(11);
        List<String> lines = lab("dma");
        for (int round = 0; round < 60; round++) {
            List<String> damaged = new ArrayList<>(lines);
            for (int i = 0; i < 3; i++) {
                int at = 1 + random.nextInt(damaged.size() - 2);
                String line = damaged.get(at);
                String number = line.replaceFirst("^.*?\"(fd|answer|size|length|flags|offset|slot|iova)\":(\\d+).*$", "$2");
                damaged.set(at, random.nextInt(3) == 0
                        ? damaged.get(1 + random.nextInt(damaged.size() - 2))
                        : line.replace(":" + number, ":" + random.nextLong() / (1L << random.nextInt(63))));
            }
            int status = replay(write(damaged));
            assertTrue(status >= 0 && status <= 2, "seed 11, round " + round + ": status " + status + "\n" + all());
            out.getBuffer().setLength(0);
        }
    }

    @Test
    void standardInputWillDo() throws IOException {
        InputStream before = System.in;
        try {
            System.setIn(new ByteArrayInputStream(Files.readAllBytes(write(lab("dma")))));
            assertEquals(0, replay(Path.of("-")), all());
        } finally {
            System.setIn(before);
        }
    }

    @Test
    void aConsoleIsNoPlaceForATrace() {
        String[] run = {"run", "hello", "--kernel", "emulated", "--trace", "-"};
        assertEquals(2, Alcove.execute(run, new PrintWriter(errors, true)));
        assertTrue(errors.toString().contains("--trace - is not possible"), errors.toString());
    }
}
