// SPDX-License-Identifier: Apache-2.0
package dev.alcove.sys.trace;

import dev.alcove.sys.Ioctls;
import dev.alcove.sys.Linux;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentSkipListMap;
import org.jspecify.annotations.Nullable;

/**
 * What {@link TracingSyscalls} knows of the open descriptors and of the mappings, from the calls that made them.
 * Thread safe.
 */
final class TracedFiles {
    /**
     * An open file.
     *
     * @param name the path that was opened; for a file without one, what it is: {@code kvm-vcpu:0}
     */
    record File(String name) {
        /** The kind of file, for ioctl numbers that depend on it. A device's descriptor can also come from a group. */
        Ioctls.Target target() {
            return switch (name) {
                case "/dev/kvm" -> Ioctls.Target.KVM;
                case "/dev/iommu", "/dev/vfio/vfio" -> Ioctls.Target.VFIO_CONTAINER;
                default -> name.startsWith("/dev/vfio/") && !name.startsWith("/dev/vfio/devices/")
                        ? Ioctls.Target.VFIO_GROUP
                        : Ioctls.Target.VFIO_DEVICE;
            };
        }

        boolean isVcpu() {
            return name.startsWith("kvm-vcpu:");
        }
    }

    /** A mapping that may be read, so that a pointer into it can be followed. */
    private record Range(long address, long length) {}

    /** What a vCPU shares. */
    record RunPages(long address, long length) {}

    private final Map<Integer, File> files = new ConcurrentHashMap<>();
    private final Map<Integer, RunPages> runPages = new ConcurrentHashMap<>();
    private final ConcurrentSkipListMap<Long, Range> readable = new ConcurrentSkipListMap<>();

    @Nullable File file(int fd) {
        return files.get(fd);
    }

    void opened(long fd, String name) {
        if (fd >= 0) {
            files.put((int) fd, new File(name));
        }
    }

    void copied(int from, long to) {
        File file = files.get(from);
        if (to >= 0 && file != null) {
            files.put((int) to, file);
            RunPages pages = runPages.get(from);
            if (pages != null) {
                runPages.put((int) to, pages);
            }
        }
    }

    void closed(int fd) {
        files.remove(fd);
        runPages.remove(fd);
    }

    /** After mmap(2). */
    void mapped(long address, long length, int protection, int flags, int fd) {
        if ((flags & Linux.MAP_FIXED) != 0) {
            unmapped(address, length);
        }
        File file = (flags & Linux.MAP_ANONYMOUS) != 0 ? null : files.get(fd);
        if (file != null && file.isVcpu()) {
            runPages.put(fd, new RunPages(address, length));
        } else if (file == null && (protection & Linux.PROT_READ) != 0) {
            readable.put(address, new Range(address, length));
        }
    }

    /** Before munmap(2). */
    void unmapped(long address, long length) {
        readable.values().removeIf(m -> m.address < address + length && address < m.address + m.length);
        runPages.values().removeIf(p -> p.address < address + length && address < p.address + p.length);
    }

    /** Whether a range lies in one anonymous mapping that may be read. */
    boolean isReadable(long address, long length) {
        Map.Entry<Long, Range> at = readable.floorEntry(address);
        return at != null && length >= 0 && address - at.getValue().address <= at.getValue().length - length;
    }

    /** The pages that a vCPU shares, if they are mapped. */
    @Nullable RunPages runPages(int fd) {
        return runPages.get(fd);
    }
}
