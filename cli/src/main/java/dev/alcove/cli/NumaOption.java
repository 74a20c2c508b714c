// SPDX-License-Identifier: Apache-2.0
package dev.alcove.cli;

import dev.alcove.memory.MemoryConfig.NumaNode;
import dev.alcove.sys.BadInputException;
import dev.alcove.vmm.MachineConfig;
import java.util.ArrayList;
import java.util.List;
import picocli.CommandLine;

/** A value of {@code --numa}: {@code node,mem=2G,cpus=0-1}. */
record NumaOption(NumaNode node) {
    /** For picocli. */
    static final class Converter implements CommandLine.ITypeConverter<NumaOption> {
        @Override
        public NumaOption convert(String text) {
            try {
                return parse(text);
            } catch (BadInputException e) {
                throw new CommandLine.TypeConversionException(e.getMessage());
            }
        }
    }

    /** Reads a node; its vCPUs are numbers and ranges with colons between them, such as {@code 0-1:4}. */
    static NumaOption parse(String text) {
        String prefix = "node,";
        if (!text.startsWith(prefix)) {
            throw new BadInputException("'" + text + "' is no NUMA node: write node,mem=2G,cpus=0-1");
        }
        OptionList list = OptionList.parse(text.substring(prefix.length()), "", List.of("mem", "cpus"));
        long bytes = MemorySize.parse(list.get("mem")
                        .orElseThrow(() -> new BadInputException("'" + text + "' has no memory: write mem=2G")))
                .bytes();
        return new NumaOption(new NumaNode(list.get("cpus").map(NumaOption::cpus).orElse(List.of()), bytes));
    }

    private static List<Integer> cpus(String text) {
        List<Integer> cpus = new ArrayList<>();
        for (String range : text.split(":", -1)) {
            if (!range.matches("\\d{1,3}(-\\d{1,3})?")) {
                throw new BadInputException("'" + text + "' are no vCPUs: write numbers and ranges, such as 0-1:4");
            }
            int dash = range.indexOf('-');
            int first = Integer.parseInt(dash < 0 ? range : range.substring(0, dash));
            int last = Integer.parseInt(range.substring(dash + 1));
            if (last < first || last >= MachineConfig.MAX_CPUS) {
                throw new BadInputException("'" + range + "' is no range of vCPUs");
            }
            for (int cpu = first; cpu <= last; cpu++) {
                cpus.add(cpu);
            }
        }
        return cpus;
    }
}
