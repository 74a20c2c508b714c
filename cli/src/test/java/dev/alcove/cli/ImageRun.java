// SPDX-License-Identifier: Apache-2.0
package dev.alcove.cli;

import dev.alcove.images.TestVmImage;
import dev.alcove.memory.MemoryConfig;
import dev.alcove.sys.Syscalls;
import dev.alcove.vmm.Coco;
import dev.alcove.vmm.Machine;
import dev.alcove.vmm.MachineConfig;
import dev.alcove.vmm.RunReport;
import dev.alcove.vmm.VmOutcome;
import dev.alcove.vmm.loader.PvhImage;
import java.io.ByteArrayOutputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/**
 * What one run of a built-in image on the emulated kernel did.
 *
 * @param leaks what the VMM's process left open
 */
record ImageRun(
        VmOutcome outcome,
        String output,
        RunReport.Conversions conversions,
        RunReport.Iommu iommu,
        RunReport.Dma dma,
        RunReport.Invariants invariants,
        List<String> leaks) {
    private static final Duration TIMEOUT = Duration.ofMinutes(3);

    /** A run to be: with the edu device, private memory, one vCPU and extents that are cut. */
    record Plan(String image, int cpus, Coco coco, boolean edu, MachineConfig.IommuMap map, boolean check, String append) {
        static Plan of(String image) {
            return new Plan(image, 1, Coco.SW_PROTECTED, true, MachineConfig.IommuMap.CUT, false, "");
        }

        Plan cpus(int count) {
            return new Plan(image, count, coco, edu, map, check, append);
        }

        Plan plain() {
            return new Plan(image, cpus, Coco.NONE, edu, map, check, append);
        }

        Plan map(MachineConfig.IommuMap how) {
            return new Plan(image, cpus, coco, edu, how, check, append);
        }

        Plan checked() {
            return new Plan(image, cpus, coco, edu, map, true, append);
        }

        Plan append(String words) {
            return new Plan(image, cpus, coco, edu, map, check, words);
        }

        ImageRun run() {
            return run(null);
        }

        /** @param trace gets every system call; null for none */
        ImageRun run(@Nullable Path trace) {
            Optional<DeviceRequest> device = edu ? Optional.of(new DeviceRequest.Edu()) : Optional.empty();
            ByteArrayOutputStream console = new ByteArrayOutputStream();
            try (EmulatedHost host = EmulatedHost.create(device)) {
                RunTrace tracing = RunTrace.open(
                        trace == null ? null : trace.toString(), host, device, List.of("run", image));
                MachineConfig config = new MachineConfig(
                        PvhImage.parse(TestVmImage.find(image).orElseThrow().elf()),
                        MemoryConfig.of(64 << 20),
                        cpus,
                        coco,
                        device.map(d -> d.find(tracing.syscalls())).stream().toList(),
                        map,
                        check,
                        host.view(),
                        (append + " cpus=" + cpus).strip(),
                        console);
                ImageRun run = run(host, tracing.syscalls(), config, console);
                tracing.close(new RunReport.Exit(run.outcome.reason(), run.outcome.status()))
                        .ifPresent(failure -> {
                            throw new IllegalStateException(failure);
                        });
                return new ImageRun(
                        run.outcome,
                        run.output,
                        run.conversions,
                        run.iommu,
                        run.dma,
                        run.invariants,
                        host.leaks());
            }
        }

        private static ImageRun run(
                EmulatedHost host, Syscalls syscalls, MachineConfig config, ByteArrayOutputStream console) {
            try (Machine machine = Machine.create(syscalls, config)) {
                VmOutcome outcome = machine.run(TIMEOUT);
                return new ImageRun(
                        outcome,
                        console.toString(StandardCharsets.US_ASCII),
                        machine.conversionReport(),
                        machine.iommuReport(),
                        host.dma(),
                        machine.invariantReport(),
                        List.of());
            }
        }
    }
}
