// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vmm.conversion;

import dev.alcove.discard.GpaRange;
import dev.alcove.discard.RangeSet;
import dev.alcove.memory.GuestMemory;
import dev.alcove.memory.RamBlock;
import dev.alcove.vfio.VfioDmaMapper;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;

/**
 * Checks that everybody has the same opinion on what is private: the state of the blocks, KVM's attributes, what is
 * mapped for devices, and where it can be asked the kernel itself.
 *
 * <p>Compares runs, not pages: cheap enough to run after every conversion. It waits for conversions that run, and new
 * ones wait for it. Thread safe; the monitor protects the counters.
 */
public final class InvariantChecker {
    private static final int KEPT = 100;

    private final GuestMemory memory;
    private final ConversionEngine engine;
    private final Mappers mappers;
    private final @Nullable KernelView kernel;
    private final List<String> texts = new ArrayList<>();
    private long checks;
    private long violations;

    /** The mappers of a VM, which come and go with its devices. */
    @FunctionalInterface
    public interface Mappers {
        /** Calls with all mappers, while none of them comes or goes. */
        <T> T call(Function<List<VfioDmaMapper>, T> use);
    }

    /** A checker of a VM whose mappers stay the same. */
    public InvariantChecker(
            GuestMemory memory, ConversionEngine engine, List<VfioDmaMapper> mappers, @Nullable KernelView kernel) {
        this(memory, engine, new Mappers() {
            @Override
            public <T> T call(Function<List<VfioDmaMapper>, T> use) {
                return use.apply(mappers);
            }
        }, kernel);
    }

    /**
     * A checker of one VM.
     *
     * @param mappers all that map the guest's memory for devices
     * @param kernel null where the kernel cannot be asked
     */
    public InvariantChecker(
            GuestMemory memory, ConversionEngine engine, Mappers mappers, @Nullable KernelView kernel) {
        this.memory = memory;
        this.engine = engine;
        this.mappers = mappers;
        this.kernel = kernel;
    }

    /** Checks everything now; the answer is what is wrong. */
    public List<String> check() {
        List<String> found = engine.quiesced(() -> mappers.call(this::compare));
        synchronized (this) {
            checks++;
            violations += found.size();
            found.stream().limit(KEPT - texts.size()).forEach(texts::add);
        }
        return found;
    }

    /** How often everything was checked. */
    public synchronized long checks() {
        return checks;
    }

    /** How many violations all checks found. */
    public synchronized long violations() {
        return violations;
    }

    /** The first violations, for a person. */
    public synchronized List<String> texts() {
        return List.copyOf(texts);
    }

    private List<String> compare(List<VfioDmaMapper> present) {
        List<String> found = new ArrayList<>();
        RangeSet state = new RangeSet();
        RangeSet usable = new RangeSet();
        for (RamBlock block : memory.blocks()) {
            long start = block.range().start().value();
            long size = block.range().size();
            block.state()
                    .ifPresent(shared -> shared.snapshot()
                            .forEachGap(0, size, (offset, length) -> state.add(start + offset, length)));
            block.discards().replayPopulated(0, size, (offset, length) -> usable.add(start + offset, length));
        }
        expectEqual(found, "private by state", state, "private by KVM attributes", engine.privateAttributes());
        for (VfioDmaMapper mapper : present) {
            expectEqual(found, "shared by state", usable, "mapped for devices", mapper.mapped());
        }
        if (kernel != null) {
            compareKernel(found, kernel, state, usable, !present.isEmpty());
        }
        return found;
    }

    private void compareKernel(List<String> found, KernelView view, RangeSet state, RangeSet usable, boolean devices) {
        RangeSet attributes = new RangeSet();
        RangeSet reachable = new RangeSet();
        for (RamBlock block : memory.blocks()) {
            GpaRange range = block.range();
            addAll(attributes, view.privateRanges(range), range);
            addAll(reachable, view.iommuMapped(range), range);
        }
        expectEqual(found, "private by state", state, "private in the kernel", attributes);
        if (devices) {
            expectEqual(found, "shared by state", usable, "reachable through the IOMMU", reachable);
        }
        found.addAll(view.frameViolations());
    }

    private static void addAll(RangeSet target, RangeSet source, GpaRange range) {
        source.forEach(range.start().value(), range.size(), target::add);
    }

    private static void expectEqual(List<String> found, String left, RangeSet a, String right, RangeSet b) {
        if (!a.equals(b)) {
            describe(found, left + " but not " + right, a.minus(b));
            describe(found, right + " but not " + left, b.minus(a));
        }
    }

    private static void describe(List<String> found, String what, RangeSet ranges) {
        if (!ranges.isEmpty()) {
            found.add(what + ": " + ranges.bytes() + " bytes in " + ranges);
        }
    }
}
