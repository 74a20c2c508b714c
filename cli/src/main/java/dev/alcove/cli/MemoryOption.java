// SPDX-License-Identifier: Apache-2.0
package dev.alcove.cli;

import dev.alcove.memory.RamBackend;
import dev.alcove.sys.BadInputException;
import java.util.List;
import picocli.CommandLine;

/** The value of {@code --memory}: a size, and what the memory is made of. */
record MemoryOption(MemorySize size, RamBackend backend) {
    private static final List<String> KEYS =
            List.of("size", "backend", "shared", "hugepages", "hugepage_size", "file", "prealloc");

    /** For picocli. */
    static final class Converter implements CommandLine.ITypeConverter<MemoryOption> {
        @Override
        public MemoryOption convert(String text) {
            try {
                return parse(text);
            } catch (BadInputException e) {
                throw new CommandLine.TypeConversionException(
                        e.getMessage() + (e.hint() == null ? "" : ": " + e.hint()));
            }
        }
    }

    /** Reads {@code 256M}, or {@code size=4G,backend=memfd,hugepages=on} and so on. */
    static MemoryOption parse(String text) {
        OptionList list = OptionList.parse(text, "size", KEYS);
        MemorySize size = MemorySize.parse(list.get("size")
                .orElseThrow(() -> new BadInputException("'" + text + "' has no size: write size=4G")));
        RamBackend.Kind kind = list.get("backend").map(MemoryOption::kind).orElse(
                list.get("file").isPresent() ? RamBackend.Kind.FILE : RamBackend.Kind.MEMFD);
        boolean huge = list.on("hugepages", false);
        if (!huge && list.get("hugepage_size").isPresent()) {
            throw new BadInputException("hugepage_size without huge pages: write hugepages=on as well");
        }
        long page = huge
                ? list.get("hugepage_size").map(MemorySize::parse).map(MemorySize::bytes).orElse(RamBackend.HUGE_2M)
                : 0;
        boolean shared = list.on("shared", kind != RamBackend.Kind.RAM);
        return new MemoryOption(
                size,
                new RamBackend(kind, list.get("file").orElse(null), page, shared, list.on("prealloc", false)));
    }

    private static RamBackend.Kind kind(String label) {
        for (RamBackend.Kind kind : RamBackend.Kind.values()) {
            if (kind.label().equals(label)) {
                return kind;
            }
        }
        throw new BadInputException("'" + label + "' is no backend: ram, memfd or file");
    }
}
