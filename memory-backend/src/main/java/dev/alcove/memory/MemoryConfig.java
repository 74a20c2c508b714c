// SPDX-License-Identifier: Apache-2.0
package dev.alcove.memory;

import dev.alcove.sys.BadInputException;
import java.util.BitSet;
import java.util.List;

/**
 * The RAM that a guest is to have.
 *
 * @param bytes all of it, whole pages
 * @param backend where its shared side comes from
 * @param strategy where a private page is
 * @param nodes NUMA nodes, each with blocks of its own; empty for one node with everything
 */
public record MemoryConfig(long bytes, RamBackend backend, Strategy strategy, List<NumaNode> nodes) {
    /** Where a private page of a confidential guest is. */
    public enum Strategy {
        /** In a second file, a guest_memfd beside the shared memory: what Linux has. */
        DUAL("dual"),
        /** In the same page of the same guest_memfd, which conversion hands over: in no release of Linux yet. */
        IN_PLACE("in-place");

        private final String label;

        Strategy(String label) {
            this.label = label;
        }

        /** The name on the command line and in reports. */
        public String label() {
            return label;
        }
    }

    /**
     * A NUMA node. It shows in the memory map; the guest gets no SRAT, and the host's memory is not bound (mbind).
     *
     * @param cpus vCPUs of the node
     * @param bytes of RAM, whole pages
     */
    public record NumaNode(List<Integer> cpus, long bytes) {
        public NumaNode {
            cpus = List.copyOf(cpus);
        }
    }

    public MemoryConfig {
        nodes = List.copyOf(nodes);
        long sum = 0;
        BitSet cpus = new BitSet();
        for (NumaNode node : nodes) {
            sum = node.bytes() > Long.MAX_VALUE - sum ? Long.MAX_VALUE : sum + node.bytes();
            for (int cpu : node.cpus()) {
                if (cpu < 0 || cpus.get(cpu)) {
                    throw new BadInputException("vCPU " + cpu + " is in two NUMA nodes, or is none");
                }
                cpus.set(cpu);
            }
        }
        if (!nodes.isEmpty() && sum != bytes) {
            throw new BadInputException(
                    "the NUMA nodes have " + sum + " bytes together, and the guest has " + bytes,
                    "make --memory the sum of the nodes' mem");
        }
        if (strategy == Strategy.IN_PLACE
                && (backend.kind() != RamBackend.Kind.MEMFD || backend.hugePage() != 0 || !backend.shared())) {
            throw new BadInputException(
                    "with the strategy in-place all RAM is in guest_memfds with pages of 4096 bytes",
                    "leave backend, file, hugepages and shared away, or use --strategy dual");
        }
    }

    /** A memfd for the shared side, two files for a confidential guest, one node. */
    public static MemoryConfig of(long bytes) {
        return new MemoryConfig(bytes, RamBackend.memfd(), Strategy.DUAL, List.of());
    }

    /** Where the blocks lie. */
    public RamLayout layout(long hostBytes) {
        return nodes.isEmpty()
                ? RamLayout.of(bytes, hostBytes)
                : RamLayout.of(nodes.stream().map(NumaNode::bytes).toList(), hostBytes);
    }
}
