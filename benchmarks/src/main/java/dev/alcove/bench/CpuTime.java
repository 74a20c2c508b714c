// SPDX-License-Identifier: Apache-2.0
package dev.alcove.bench;

import java.lang.management.ManagementFactory;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.openjdk.jmh.infra.BenchmarkParams;
import org.openjdk.jmh.infra.IterationParams;
import org.openjdk.jmh.profile.InternalProfiler;
import org.openjdk.jmh.results.AggregationPolicy;
import org.openjdk.jmh.results.IterationResult;
import org.openjdk.jmh.results.Result;
import org.openjdk.jmh.results.ScalarResult;

/**
 * Processor time of the benchmark's own threads for each operation, in nanoseconds: what a machine with other work to do
 * measures too. {@code benchmarks/run Discard -prof dev.alcove.bench.CpuTime}
 */
public final class CpuTime implements InternalProfiler {
    private final Map<Long, Long> before = new HashMap<>();

    /** Called by JMH. */
    public CpuTime() {}

    @Override
    public String getDescription() {
        return "processor time of the benchmark's threads";
    }

    private static Map<Long, Long> workers() {
        var threads = ManagementFactory.getThreadMXBean();
        Map<Long, Long> times = new HashMap<>();
        for (long id : threads.getAllThreadIds()) {
            var info = threads.getThreadInfo(id);
            if (info != null && info.getThreadName().contains("-jmh-worker-")) {
                times.put(id, threads.getThreadCpuTime(id));
            }
        }
        return times;
    }

    @Override
    public void beforeIteration(BenchmarkParams benchmark, IterationParams iteration) {
        before.clear();
        before.putAll(workers());
    }

    @Override
    public Collection<? extends Result<?>> afterIteration(
            BenchmarkParams benchmark, IterationParams iteration, IterationResult result) {
        long nanos = 0;
        for (Map.Entry<Long, Long> worker : workers().entrySet()) {
            nanos += worker.getValue() - before.getOrDefault(worker.getKey(), 0L);
        }
        long operations = Math.max(1, result.getMetadata().getAllOps());
        return List.of(new ScalarResult("cpu", (double) nanos / operations, "ns/op", AggregationPolicy.AVG));
    }
}
