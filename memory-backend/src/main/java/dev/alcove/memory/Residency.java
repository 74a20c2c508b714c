// SPDX-License-Identifier: Apache-2.0
package dev.alcove.memory;

import dev.alcove.sys.Syscalls;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.OptionalLong;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** How much memory something takes, as far as the kernel tells: cheap enough to be asked once a second. */
final class Residency {
    private static final Pattern MAPPING = Pattern.compile("([0-9a-f]+)-([0-9a-f]+) [-rwxsp]{4} .*");

    /** Lines of /proc/self/smaps that count; huge pages are not in the first. */
    private static final List<String> COUNTED = List.of("Rss:", "Shared_Hugetlb:", "Private_Hugetlb:");

    private Residency() {}

    /** Who knows. */
    sealed interface Source {}

    /**
     * {@code st_blocks} of a memfd, a hugetlb file or a guest_memfd. Linux up to 7.2 counts none for the last: 0 says
     * nothing.
     */
    record Blocks(int fd) implements Source {}

    /** /proc/self/smaps: what this process has touched of a mapping. */
    record Mapped(long address, long length) implements Source {}

    /** There is nothing to take memory. */
    record Nothing() implements Source {}

    /** Nobody. */
    record Unknown() implements Source {}

    /**
     * The sum of several.
     *
     * @param zeroIsUnknown whether a file without blocks is one whose blocks the kernel does not count
     * @return bytes; empty where one cannot be told
     */
    static OptionalLong sum(Syscalls syscalls, Collection<Source> sources, boolean zeroIsUnknown) {
        long bytes = 0;
        List<Mapped> mapped = new ArrayList<>();
        for (Source source : sources) {
            switch (source) {
                case Nothing _ -> {}
                case Unknown _ -> {
                    return OptionalLong.empty();
                }
                case Mapped mapping -> mapped.add(mapping);
                case Blocks(int fd) -> {
                    long allocated = BackendFiles.allocated(syscalls, fd);
                    if (allocated < 0 || (allocated == 0 && zeroIsUnknown)) {
                        return OptionalLong.empty();
                    }
                    bytes += allocated;
                }
            }
        }
        if (mapped.isEmpty()) {
            return OptionalLong.of(bytes);
        }
        OptionalLong touched = mapped(syscalls, mapped);
        return touched.isEmpty() ? touched : OptionalLong.of(bytes + touched.getAsLong());
    }

    private static OptionalLong mapped(Syscalls syscalls, List<Mapped> wanted) {
        String text = KernelText.read(syscalls, "/proc/self/smaps").orElse(null);
        if (text == null) {
            return OptionalLong.empty();
        }
        long kilobytes = 0;
        boolean ours = false;
        for (String line : text.split("\n", -1)) {
            if (COUNTED.stream().anyMatch(line::startsWith)) {
                kilobytes += ours ? KernelText.number(line, line.substring(0, line.indexOf(':'))).orElse(0) : 0;
                continue;
            }
            Matcher mapping = MAPPING.matcher(line);
            if (mapping.matches()) {
                long start = Long.parseUnsignedLong(mapping.group(1), 16);
                ours = wanted.stream()
                        .anyMatch(one -> start >= one.address() && start < one.address() + one.length());
            }
        }
        return OptionalLong.of(kilobytes << 10);
    }

    /** VmPin of /proc/self/status: what this process has pinned for devices, by whatever means. */
    static OptionalLong pinned(Syscalls syscalls) {
        OptionalLong kilobytes = KernelText.read(syscalls, "/proc/self/status")
                .map(text -> KernelText.number(text, "VmPin:"))
                .orElse(OptionalLong.empty());
        return kilobytes.isEmpty() ? kilobytes : OptionalLong.of(kilobytes.getAsLong() << 10);
    }
}
