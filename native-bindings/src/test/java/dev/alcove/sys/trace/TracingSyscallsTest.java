// SPDX-License-Identifier: Apache-2.0
package dev.alcove.sys;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import dev.alcove.bindings.iommufd.iommu_ioas_map;
import dev.alcove.bindings.iommufd.iommufd;
import dev.alcove.bindings.kvm.kvm;
import dev.alcove.bindings.kvm.kvm_userspace_memory_region2;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.io.UncheckedIOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import org.junit.jupiter.api.Test;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

class TracingSyscallsTest {
    private final ByteArrayOutputStream out = new ByteArrayOutputStream();
    private final TracingSyscalls syscalls = new TracingSyscalls(new HostSyscalls(), out);

    /** Every line by itself is one JSON object. */
    private List<Map<String, Object>> lines() throws IOException {
        syscalls.close();
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
        assertEquals("18446744073709547520", region.get("guest_phys_addr"));
        assertEquals(14, ((List<?>) Objects.requireNonNull(region.get("pad2"))).size());
        assertEquals("IOMMU_IOAS_MAP", lines.get(1).get("request"));
        assertEquals("4096", nested(lines.get(1), "arg").get("iova"));
        assertEquals("00000000", lines.get(2).get("arg"));
        assertEquals("0x8", lines.get(3).get("arg"));
    }

    @Test
    void aChangedStructIsShownBeforeAndAfter() throws IOException {
        ByteArrayOutputStream written = new ByteArrayOutputStream();
        FaultInjectingSyscalls kernel = new FaultInjectingSyscalls(new HostSyscalls());
        try (Arena arena = Arena.ofConfined();
                TracingSyscalls tracing = new TracingSyscalls(kernel, written)) {
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
        assertTrue(line.contains("\"arg\":{") && line.contains("\"out\":{"), line);
        assertTrue(line.contains("\"iova\":28672"), line);
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
        TracingSyscalls tracing = new TracingSyscalls(new HostSyscalls(), full);
        for (int i = 0; i < 10_000; i++) {
            assertTrue(tracing.getpid() > 0);
        }
        assertThrows(UncheckedIOException.class, tracing::close);
    }
}
