// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vmm.conversion;

import dev.alcove.bindings.kvm.kvm;
import dev.alcove.discard.GpaRange;
import dev.alcove.discard.Outcome;
import dev.alcove.discard.RangeSet;
import dev.alcove.kvm.Vm;
import dev.alcove.memory.GuestMemory;
import dev.alcove.sys.Errno;
import java.util.List;
import java.util.Optional;
import java.util.function.BiFunction;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/**
 * Converts guest memory between private and shared.
 *
 * <p>May be called by all vCPUs at once: conversions of disjoint ranges run side by side, one that overlaps another
 * waits for it. Order of locks: range, then discard manager (ascending by block), then the listeners' own.
 *
 * <p>Once a conversion was {@link Outcome.Unsafe}, every later one is too.
 */
public final class ConversionEngine {
    private final List<ConversionPlanner.Block> blocks;
    private final RangeLock ranges;
    private final KvmAttributes attributes;
    private final ConversionCounters counters = new ConversionCounters();
    private final ConversionExecutor executor;
    private final BiFunction<List<ConversionPlanner.Block>, ConversionRequest, ConversionPlanner.Plan> planner;
    private volatile @Nullable String unsafe;

    /**
     * An engine for all RAM of a VM. Nobody else sets the VM's memory attributes or the blocks' state.
     *
     * @param memory fresh: all shared, as the kernel has it
     */
    public ConversionEngine(Vm vm, GuestMemory memory) {
        this(vm, memory, Waiting.PARK);
    }

    /**
     * As above, with another way to wait.
     *
     * @param waiting how a vCPU waits while another one converts what overlaps its own range
     */
    public ConversionEngine(Vm vm, GuestMemory memory, Waiting waiting) {
        this(vm, memory, waiting, ConversionPlanner::plan);
    }

    /** As above, with another planner: for tests that plant a wrong order of steps. */
    ConversionEngine(
            Vm vm,
            GuestMemory memory,
            Waiting waiting,
            BiFunction<List<ConversionPlanner.Block>, ConversionRequest, ConversionPlanner.Plan> planner) {
        this.planner = planner;
        this.ranges = new RangeLock(waiting);
        this.blocks = memory.blocks().stream()
                .map(block -> new ConversionPlanner.Block(
                        block.range(),
                        block.state().orElse(null),
                        block.backing().leavesMemoryBehind()))
                .toList();
        this.attributes = new KvmAttributes(vm);
        this.executor = new ConversionExecutor(memory.blocks(), attributes, counters);
    }

    public ConversionCounters counters() {
        return counters;
    }

    /**
     * KVM_EXIT_HYPERCALL with KVM_HC_MAP_GPA_RANGE.
     *
     * @param gpa first argument of the guest
     * @param pages second argument: how many pages of 4096 bytes
     * @param hypercallAttributes third argument: page size in bits 0 to 3, private in bit 4
     * @return what {@link #hypercallReturn} turns into the guest's answer, or unsafe
     */
    public Outcome hypercall(long gpa, long pages, long hypercallAttributes) {
        Optional<ConversionRequest> request = ConversionRequest.ofHypercall(gpa, pages, hypercallAttributes);
        if (request.isEmpty()) {
            return refuse(Errno.EINVAL, "no conversion: gpa 0x" + Long.toHexString(gpa) + ", 0x"
                    + Long.toHexString(pages) + " pages, attributes 0x" + Long.toHexString(hypercallAttributes));
        }
        return convert(request.get());
    }

    /** What goes into {@code kvm_run.hypercall.ret}: 0 or a negated errno. */
    public static long hypercallReturn(Outcome outcome) {
        return switch (outcome) {
            case Outcome.Done _ -> 0;
            case Outcome.Refused refused -> -refused.errno();
            case Outcome.Unsafe _ -> -Errno.EINVAL;
        };
    }

    /**
     * KVM_EXIT_MEMORY_FAULT: the guest touched a page as private that is shared, or the other way round. That is a
     * request to convert it.
     *
     * @param flags KVM_MEMORY_EXIT_FLAG_PRIVATE or 0: how the guest touched it
     * @return done: enter the guest again; anything else comes back as unsafe, because there is no way to tell the
     *     guest, which would fault again for ever
     */
    public Outcome memoryFault(long flags, long gpa, long size) {
        String fault = "memory fault at gpa 0x" + Long.toHexString(gpa) + ", 0x" + Long.toHexString(size)
                + " bytes, flags 0x" + Long.toHexString(flags);
        if ((flags & ~kvm.KVM_MEMORY_EXIT_FLAG_PRIVATE()) != 0) {
            return unsafe(fault + ": an unknown flag");
        }
        Optional<GpaRange> range = GpaRange.aligned(gpa, size, ConversionRequest.PAGE);
        if (range.isEmpty()) {
            return unsafe(fault + ": not whole pages");
        }
        Outcome outcome = convert(new ConversionRequest(range.get(), flags != 0));
        return outcome instanceof Outcome.Refused refused ? unsafe(fault + ": " + refused.reason()) : outcome;
    }

    /**
     * Converts a range; parts that have the wanted state stay as they are.
     *
     * @return refused with EINVAL: a part is not RAM, or the guest has no private memory; with EAGAIN: the host could
     *     not, and everything is as before
     */
    public Outcome convert(ConversionRequest request) {
        try (RangeLock.Held _ = ranges.lock(request.range())) {
            String before = unsafe;
            if (before != null) {
                return unsafe("after: " + before);
            }
            return switch (planner.apply(blocks, request)) {
                case ConversionPlanner.Plan.Nothing() -> Outcome.done();
                case ConversionPlanner.Plan.Refuse(int errno, String reason) -> refuse(errno, reason);
                case ConversionPlanner.Plan.Steps(List<Step> steps, long bytes) -> execute(request, steps, bytes);
            };
        }
    }

    private Outcome execute(ConversionRequest request, List<Step> steps, long bytes) {
        Outcome outcome;
        try {
            outcome = executor.execute(steps);
        } catch (RuntimeException thrown) {
            outcome = new Outcome.Unsafe(thrown.toString());
        }
        return switch (outcome) {
            case Outcome.Done done -> {
                (request.toPrivate() ? counters.toPrivate : counters.toShared).increment();
                counters.bytes.add(bytes);
                yield done;
            }
            case Outcome.Refused refused -> refuse(refused.errno(), request + ": " + refused.reason());
            case Outcome.Unsafe broken -> unsafe(request + ": " + broken.reason());
        };
    }

    private Outcome refuse(int errno, String reason) {
        counters.failed.increment();
        return new Outcome.Refused(errno, reason);
    }

    private Outcome unsafe(String reason) {
        counters.failed.increment();
        if (unsafe == null) {
            unsafe = reason;
        }
        return new Outcome.Unsafe(reason);
    }

    /** What the attributes of the VM were set to: guest physical addresses that are private. */
    RangeSet privateAttributes() {
        return attributes.privates();
    }

    /** Calls while no conversion runs; those that are asked for meanwhile wait. */
    public <T> T quiesced(Supplier<T> action) {
        try (RangeLock.Held _ = ranges.lock(RangeLock.ALL)) {
            return action.get();
        }
    }
}
