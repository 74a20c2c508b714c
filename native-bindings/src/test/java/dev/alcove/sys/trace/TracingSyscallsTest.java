// SPDX-License-Identifier: Apache-2.0
package dev.alcove.sys.trace;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import dev.alcove.bindings.iommufd.iommu_ioas_map;
import dev.alcove.bindings.iommufd.iommufd;
import dev.alcove.bindings.kvm.kvm;
import dev.alcove.bindings.kvm.kvm_cpuid2;
import dev.alcove.bindings.kvm.kvm_userspace_memory_region2;
import dev.alcove.sys.Errno;
import dev.alcove.sys.FaultInjectingSyscalls;
import dev.alcove.sys.HostSyscalls;
import dev.alcove.sys.Linux;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.io.UncheckedIOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import org.junit.jupiter.api.Test;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

class TracingSyscallsTest {
    private final ByteArrayOutputStream out = new ByteArrayOutputStream();
    private static final TraceHeader HEADER =
            new TraceHeader("linux", "1.2.3", List.of("run", "x"), 0, Linux.RLIM_INFINITY, List.of());

    private final TracingSyscalls syscalls = new TracingSyscalls(new HostSyscalls(), out, HEADER);

    /** The calls. Every line by itself is one JSON object, the first is the header, the last one counts. */
    private List<Map<String, Object>> lines() throws IOException {
        syscalls.close();
        List<Map<String, Object>> all = allLines();
        assertEquals("1", all.getFirst().get("alcove-trace"));
        assertEquals("1.2.3", all.getFirst().get("release"));
        assertEquals(Integer.toString(all.size() - 2), all.getLast().get("end"));
        return all.subList(1, all.size() - 1);
    }

    private List<Map<String, Object>> allLines() throws IOException {
        List<Map<String, Object>> lines = new ArrayList<>();
        for (String line : out.toString(StandardCharsets.UTF_8).lines().toList()) {
            try (JsonParser parser = new JsonFactory().createParser(line)) {
                assertEquals(JsonToken.START_OBJECT, parser.nextToken(), line);
                lines.add(object(parser));
                assertNull(parser.nextToken(), line);
            }
        }
        return lines;
    }

    private static Map<String, Object> object(JsonParser parser) throws IOException {
        Map<String, Object> fields = new LinkedHashMap<>();
        while (parser.nextToken() != JsonToken.END_OBJECT) {
            String name = parser.currentName();
            parser.nextToken();
            fields.put(name, value(parser));
        }
        return fields;
    }

    private static Object value(JsonParser parser) throws IOException {
        return switch (parser.currentToken()) {
            case START_OBJECT -> object(parser);
            case START_ARRAY -> {
                List<Object> items = new ArrayList<>();
                while (parser.nextToken() != JsonToken.END_ARRAY) {
                    items.add(value(parser));
                }
                yield items;
            }
            default -> parser.getText();
        };
    }

    @SuppressWarnings("unchecked") // what object() put there
    private static Map<String, Object> nested(Map<String, Object> line, String name) {
        return (Map<String, Object>) Objects.requireNonNull(line.get(name));
    }

    @Test
    void filesAreFollowedByName() throws IOException {
        int fd = syscalls.open("/dev/null", Linux.O_RDWR, 0);
        try (Arena arena = Arena.ofConfined()) {
            syscalls.write(fd, arena.allocateFrom(JAVA_BYTE, (byte) 0x12, (byte) 0xab));
        }
        int copy = syscalls.fcntl(fd, Linux.F_DUPFD_CLOEXEC, 0);
        syscalls.ioctl(copy, 0x4711, 7);
        syscalls.close(copy);
        syscalls.close(fd);
        syscalls.close(fd);
        List<Map<String, Object>> lines = lines();
        assertEquals(7, lines.size());
        assertEquals("/dev/null", lines.get(0).get("path"));
        assertEquals("/dev/null", lines.get(4).get("file"));
        assertEquals("12ab", lines.get(1).get("buffer"));
        assertEquals("2", lines.get(1).get("answer"));
        assertEquals("/dev/null", lines.get(3).get("file"));
        assertEquals("0x4711", lines.get(3).get("request"));
        assertEquals("7", lines.get(3).get("arg"));
        assertEquals("ENOTTY", lines.get(3).get("errno"));
        assertEquals("EBADF", lines.get(6).get("errno"));
        assertEquals(Thread.currentThread().getName(), lines.get(6).get("thread"));
        assertTrue(Long.parseLong((String) lines.get(6).get("nanos")) >= 0);
    }

    @Test
    void structsHaveTheirFieldNames() throws IOException {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment region = kvm_userspace_memory_region2.allocate(arena);
            kvm_userspace_memory_region2.slot(region, 3);
            kvm_userspace_memory_region2.guest_phys_addr(region, -4096);
            syscalls.ioctl(-1, (int) kvm.KVM_SET_USER_MEMORY_REGION2(), region);
            MemorySegment map = iommu_ioas_map.allocate(arena);
            iommu_ioas_map.iova(map, 0x1000);
            syscalls.ioctl(-1, iommufd.IOMMU_IOAS_MAP(), map);
            syscalls.ioctl(-1, iommufd.IOMMU_IOAS_MAP(), map.asSlice(0, 4));
            syscalls.ioctl(-1, iommufd.IOMMU_IOAS_MAP(), MemorySegment.ofAddress(8));
        }
        List<Map<String, Object>> lines = lines();
        assertEquals("KVM_SET_USER_MEMORY_REGION2", lines.get(0).get("request"));
        Map<String, Object> region = nested(lines.get(0), "arg");
        assertEquals("3", region.get("slot"));
        assertEquals("0xfffffffffffff000", region.get("guest_phys_addr"));
        assertEquals("0x0", region.get("userspace_addr"));
        assertEquals(List.of(), region.get("pad2"));
        assertEquals("IOMMU_IOAS_MAP", lines.get(1).get("request"));
        assertEquals("4096", nested(lines.get(1), "arg").get("iova"));
        assertEquals(Map.of("size", "0"), lines.get(2).get("arg"));
        assertEquals("4", lines.get(2).get("size"));
        assertEquals("0x8", lines.get(3).get("arg"));
    }

    @Test
    void whatACallChangesIsShownBesideWhatItWasAsked() throws IOException {
        ByteArrayOutputStream written = new ByteArrayOutputStream();
        FaultInjectingSyscalls kernel = new FaultInjectingSyscalls(new HostSyscalls());
        try (Arena arena = Arena.ofConfined();
                TracingSyscalls tracing = new TracingSyscalls(kernel, written, HEADER)) {
            MemorySegment map = iommu_ioas_map.allocate(arena);
            kernel.failNth(
                    call -> {
                        iommu_ioas_map.iova(map, 0x7000);
                        return false;
                    },
                    1,
                    Errno.EIO);
            tracing.ioctl(-1, iommufd.IOMMU_IOAS_MAP(), map);
        }
        String line = written.toString(StandardCharsets.UTF_8);
        assertTrue(line.contains("\"length\":0,\"iova\":0}"), line);
        assertTrue(line.contains("\"out\":{\"iova\":28672}"), line);
    }

    @Test
    void arraysBehindAStructAreElementsByName() throws IOException {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment table = arena.allocate(kvm_cpuid2.sizeof() + 3 * 40);
            kvm_cpuid2.nent(table, 3);
            table.set(java.lang.foreign.ValueLayout.JAVA_INT, kvm_cpuid2.sizeof() + 40, 7); // the second's function
            syscalls.ioctl(-1, (int) kvm.KVM_SET_CPUID2(), table);
        }
        Map<String, Object> line = lines().getFirst();
        assertEquals("128", line.get("size"));
        List<?> entries = (List<?>) Objects.requireNonNull(nested(line, "arg").get("entries"));
        assertEquals(2, entries.size());
        assertEquals("7", ((Map<?, ?>) entries.get(1)).get("function"));
    }

    @Test
    void whatACallReadsIsThereInFull() throws IOException {
        int file = syscalls.memfdCreate("f", 0);
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment much = arena.allocate(10_000).fill((byte) 0xa5);
            assertEquals(10_000, syscalls.pwrite(file, much, 0));
            assertEquals(3, syscalls.pread(file, much.fill((byte) 'x'), 9_997));
        }
        syscalls.close(file);
        List<Map<String, Object>> lines = lines();
        assertEquals("a5".repeat(10_000), lines.get(1).get("buffer"));
        assertEquals("memfd:f", lines.get(1).get("file"));
        assertEquals("10000", lines.get(2).get("size"));
        assertEquals("a5a5a5", nested(lines.get(2), "out").get("buffer"));
    }

    /** A number is given up when close begins, so that the line of who gets it next comes behind. */
    @Test
    void numbersAreTakenAgainBehindTheirClose() throws Exception {
        List<Thread> threads = new ArrayList<>();
        for (int i = 0; i < 4; i++) {
            threads.add(Thread.ofPlatform().name("t").start(() -> {
                for (int round = 0; round < 200; round++) {
                    syscalls.close(syscalls.eventfd(0, 0));
                }
            }));
        }
        for (Thread thread : threads) {
            thread.join();
        }
        Set<Object> open = new HashSet<>();
        Set<Object> names = new HashSet<>();
        for (Map<String, Object> line : lines()) {
            names.add(line.get("thread"));
            if (Objects.equals(line.get("call"), "eventfd")) {
                assertTrue(open.add(line.get("answer")), line.toString());
            } else {
                assertTrue(open.remove(line.get("fd")), line.toString());
            }
        }
        assertEquals(Set.of("t", "t#2", "t#3", "t#4"), names);
    }

    @Test
    void linesOfManyThreadsDoNotMix() throws Exception {
        int rounds = 500;
        List<Thread> threads = new ArrayList<>();
        for (int i = 0; i < 4; i++) {
            threads.add(Thread.ofPlatform().name("tracer-" + i).start(() -> {
                for (int round = 0; round < rounds; round++) {
                    syscalls.getpid();
                }
            }));
        }
        for (Thread thread : threads) {
            thread.join();
        }
        assertEquals(4 * rounds, lines().size());
        assertTrue(syscalls.getpid() > 0, "calls go on after close");
    }

    @Test
    void aFullDiskDoesNotStopTheProgram() {
        OutputStream full = new OutputStream() {
            @Override
            public void write(int value) throws IOException {
                throw new IOException("no space left");
            }
        };
        TracingSyscalls tracing = new TracingSyscalls(new HostSyscalls(), full, HEADER);
        for (int i = 0; i < 10_000; i++) {
            assertTrue(tracing.getpid() > 0);
        }
        assertThrows(UncheckedIOException.class, tracing::close);
    }
}
