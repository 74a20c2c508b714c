// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vmm.conversion;

import dev.alcove.bindings.kvm.kvm;
import dev.alcove.discard.GpaRange;
import dev.alcove.discard.Outcome;
import dev.alcove.discard.RangeSet;
import dev.alcove.discard.Waiting;
import dev.alcove.kvm.Vm;
import dev.alcove.memory.GuestMemory;
import dev.alcove.sys.Errno;
import dev.alcove.vmm.conversion.ConversionPlanner.Block;
import dev.alcove.vmm.conversion.ConversionPlanner.Verdict;
import java.util.Optional;
import java.util.function.BooleanSupplier;
import java.util.function.Consumer;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/**
 * Converts guest memory between private and shared.
 *
 * <p>May be called by all vCPUs at once: conversions of disjoint ranges run side by side, one that overlaps another
 * waits for it, first come first served. Order of locks: range, then discard manager (ascending by block), then the
 * listeners' own.
 *
 * <p>A request is all or nothing, and works in slices of about a millisecond: after each of them state, attributes and
 * IOMMU agree. What the old side of the pages holds is freed at the end, when nothing has to be undone any more. Once a
 * conversion was {@link Outcome.Unsafe}, every later one is too.
 *
 * <p>Whatever is called may throw anything, errors of the JVM included. What was done is taken back then, and the
 * conversion refused; where that cannot be, it is unsafe.
 */
public final class ConversionEngine {
    private final ConversionPlanner planner;
    private final RangeLock ranges;
    private final KvmAttributes attributes;
    private final ConversionCounters counters = new ConversionCounters();
    private final ConversionExecutor executor;
    private final SharedQuota quota;
    private final RefusalLog log;
    private volatile @Nullable String unsafe;

    /**
     * An engine for all RAM of a VM, with the default policy. Nobody else sets the VM's memory attributes or the blocks'
     * state.
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
        this(vm, memory, waiting, ConversionPolicy.DEFAULT, _ -> {});
    }

    /**
     * As above, with a policy.
     *
     * @param policy for all conversions
     * @param refusals gets one line for each reason for which a conversion is refused, at a bounded rate
     */
    public ConversionEngine(
            Vm vm, GuestMemory memory, Waiting waiting, ConversionPolicy policy, Consumer<String> refusals) {
        this(vm, memory, waiting, policy, refusals, Step::order);
    }

    /** As above, with another order of steps: for tests that plant a wrong one. */
    ConversionEngine(
            Vm vm,
            GuestMemory memory,
            Waiting waiting,
            ConversionPolicy policy,
            Consumer<String> refusals,
            Step.Order order) {
        this.ranges = new RangeLock(waiting);
        this.planner = new ConversionPlanner(memory.blocks().stream()
                .map(block -> new Block(block.range(), block.state().orElse(null)))
                .toList());
        this.attributes = new KvmAttributes(vm, memory.blocks());
        this.executor = new ConversionExecutor(memory.blocks(), attributes, counters, order);
        this.quota = new SharedQuota(policy, planner.blocks());
        this.log = new RefusalLog(refusals, System::nanoTime);
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
        return hypercall(gpa, pages, hypercallAttributes, ConversionEngine::always);
    }

    /**
     * As above, for a VM that may end meanwhile.
     *
     * @param goOn asked between two slices, on the calling thread, which may wait in it (a VM that pauses); all
     *     invariants hold then, and the range stays locked. False: the VM ends, and the conversion stays where it is
     * @return also refused with EINTR: given up because {@code goOn} said so
     */
    public Outcome hypercall(long gpa, long pages, long hypercallAttributes, BooleanSupplier goOn) {
        Optional<ConversionRequest> request = ConversionRequest.ofHypercall(gpa, pages, hypercallAttributes);
        if (request.isEmpty()) {
            return refuse(Errno.EINVAL, "no conversion: gpa 0x" + Long.toHexString(gpa) + ", 0x"
                    + Long.toHexString(pages) + " pages, attributes 0x" + Long.toHexString(hypercallAttributes));
        }
        return convert(request.get(), goOn, true);
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
     * @return done: enter the guest again; refused: there is no way to tell the guest, which would fault again for ever,
     *     so the VM cannot go on; unsafe
     */
    public Outcome memoryFault(long flags, long gpa, long size) {
        return memoryFault(flags, gpa, size, ConversionEngine::always);
    }

    /**
     * As above, for a VM that may end meanwhile.
     *
     * @param goOn as of {@link #hypercall(long, long, long, BooleanSupplier)}
     */
    public Outcome memoryFault(long flags, long gpa, long size, BooleanSupplier goOn) {
        String wrong = (flags & ~kvm.KVM_MEMORY_EXIT_FLAG_PRIVATE()) != 0 ? "an unknown flag" : "not whole pages";
        Optional<GpaRange> range = GpaRange.aligned(gpa, size, ConversionRequest.PAGE);
        if ((flags & ~kvm.KVM_MEMORY_EXIT_FLAG_PRIVATE()) != 0 || range.isEmpty()) {
            return refuse(Errno.EINVAL, fault(flags, gpa, size) + ": " + wrong);
        }
        Outcome outcome = convert(new ConversionRequest(range.get(), flags != 0), goOn, true);
        return outcome instanceof Outcome.Refused refused
                ? new Outcome.Refused(refused.errno(), fault(flags, gpa, size) + ": " + refused.reason())
                : outcome;
    }

    private static String fault(long flags, long gpa, long size) {
        return "memory fault at gpa 0x" + Long.toHexString(gpa) + ", 0x" + Long.toHexString(size) + " bytes, flags 0x"
                + Long.toHexString(flags);
    }

    /**
     * Converts a range for the VMM itself, whatever the policy; parts that have the wanted state stay as they are.
     *
     * @return refused with EINVAL: a part is not RAM, or the guest has no private memory; with EAGAIN: the host could
     *     not, and everything is as before
     */
    public Outcome convert(ConversionRequest request) {
        return convert(request, ConversionEngine::always, false);
    }

    private Outcome convert(ConversionRequest request, BooleanSupplier goOn, boolean guest) {
        ConversionEvent event = ConversionEvent.wanted() ? new ConversionEvent() : null;
        if (event == null) {
            return convert(request, goOn, guest, null);
        }
        event.begin();
        event.gpa = request.range().start().value();
        event.size = request.range().size();
        event.toPrivate = request.toPrivate();
        Outcome outcome = convert(request, goOn, guest, event);
        event.outcome = outcome.isDone() ? "done" : outcome instanceof Outcome.Refused ? "refused" : "unsafe";
        event.commit();
        return outcome;
    }

    private Outcome convert(
            ConversionRequest request, BooleanSupplier goOn, boolean guest, @Nullable ConversionEvent event) {
        RangeLock.Held held = ranges.lock(request.range());
        try {
            String before = unsafe;
            if (before != null) {
                return unsafe("after: " + before);
            }
            Verdict verdict = planner.judge(request);
            if (verdict == Verdict.NOTHING) {
                return Outcome.done();
            } else if (verdict != Verdict.POSSIBLE) {
                return refuse(Errno.EINVAL, ConversionPlanner.reason(verdict, request));
            }
            // Nobody waits for what the VMM does by itself.
            long most = guest ? ConversionPlanner.SLICE_BYTES : Long.MAX_VALUE;
            Slice first = planner.next(request, null, most);
            if (first == null) {
                return Outcome.done();
            }
            SharedQuota.Answer answer = quota.begin(request, guest);
            return answer.errno() == 0
                    ? execute(request, first, most, goOn, event)
                    : refuse(answer.errno(), answer.reason());
        } catch (RuntimeException | Error thrown) {
            return lost(request, thrown);
        } finally {
            held.close();
        }
    }

    private Outcome execute(
            ConversionRequest request,
            Slice first,
            long most,
            BooleanSupplier goOn,
            @Nullable ConversionEvent event) {
        Slice last = null;
        long bytes = 0;
        Slice slice = first;
        while (slice != null) {
            Outcome outcome = executor.execute(slice);
            if (!outcome.isDone()) {
                return takenBack(request, last, bytes, slice, outcome);
            }
            last = slice;
            try {
                slice = planner.next(request, last, most);
                if (slice != null && !goOn.getAsBoolean()) {
                    return givenUp(request, last, bytes + last.bytes());
                }
            } catch (RuntimeException | Error thrown) {
                Outcome between = executor.undo(last, new Outcome.Refused(Errno.EIO, "behind " + last + ": " + thrown));
                return takenBack(request, null, bytes, last, between);
            }
            bytes += last.bytes();
        }
        return finished(request, last, bytes, event);
    }

    /**
     * Takes the slices back that are done when a later one is not.
     *
     * @param last that is done
     * @param bytes of the slices before {@code undone}
     * @param undone the first slice that is not done, or not any more
     */
    private Outcome takenBack(
            ConversionRequest request, @Nullable Slice last, long bytes, Slice undone, Outcome outcome) {
        Outcome end = outcome instanceof Outcome.Refused refused ? executor.undo(last, refused) : outcome;
        if (end instanceof Outcome.Refused refused) {
            quota.undone(request.toPrivate(), bytes + remaining(request, undone));
            return refuse(refused.errno(), request + ": " + refused.reason());
        }
        return unsafe(request + ": " + (end instanceof Outcome.Unsafe broken ? broken.reason() : end));
    }

    /** What a request has not changed yet, from a slice on. */
    private long remaining(ConversionRequest request, Slice from) {
        long bytes = 0;
        for (Slice slice = from; slice != null; slice = planner.next(request, slice, Long.MAX_VALUE)) {
            bytes += slice.bytes();
        }
        return bytes;
    }

    private Outcome finished(
            ConversionRequest request, @Nullable Slice last, long bytes, @Nullable ConversionEvent event) {
        int slices = 0;
        int runs = 0;
        for (Slice slice = last; slice != null; slice = slice.before) {
            executor.free(slice);
            slices++;
            runs += slice.runs();
        }
        quota.done(request.toPrivate(), bytes);
        counters.converted(request.toPrivate(), bytes);
        if (event != null) {
            event.changed = bytes;
            event.slices = slices;
            event.runs = runs;
        }
        return Outcome.done();
    }

    /** The VM ends, its memory with it: neither worth undoing nor worth freeing. */
    private Outcome givenUp(ConversionRequest request, Slice last, long bytes) {
        counters.givenUp(bytes);
        return refuse(Errno.EINTR, request + ": the VM ends, at " + last);
    }

    private static boolean always() {
        return true;
    }

    private Outcome refuse(int errno, String reason) {
        counters.conversionFailed();
        try {
            log.refused(reason);
        } catch (RuntimeException | Error _) {
            // Everything is as it was, whether somebody can be told or not.
        }
        return new Outcome.Refused(errno, reason);
    }

    /** Known before there is a text, for which there may be neither memory nor stack. */
    private Outcome lost(ConversionRequest request, Throwable thrown) {
        counters.conversionFailed();
        boolean first = unsafe == null;
        unsafe = first ? "a conversion ended half way" : unsafe;
        String reason = request + ": " + thrown;
        unsafe = first ? reason : unsafe;
        return new Outcome.Unsafe(reason);
    }

    private Outcome unsafe(String reason) {
        counters.conversionFailed();
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
