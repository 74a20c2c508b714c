// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vmm.conversion;

import dev.alcove.discard.GpaRange;
import dev.alcove.discard.Iova;
import dev.alcove.discard.Outcome;
import dev.alcove.discard.Waiting;
import dev.alcove.iommufd.Ioas;
import dev.alcove.iommufd.IommuFd;
import dev.alcove.kvm.Kvm;
import dev.alcove.kvm.Vm;
import dev.alcove.memory.GuestMemory;
import dev.alcove.memory.MemoryConfig;
import dev.alcove.memory.RamBackend;
import dev.alcove.memory.RamBlock;
import dev.alcove.memory.RamLayout;
import dev.alcove.sys.InvariantException;
import dev.alcove.sys.Syscalls;
import dev.alcove.vfio.CutStrategy;
import dev.alcove.vfio.MapStrategy;
import dev.alcove.vfio.PageStrategy;
import dev.alcove.vfio.VfioDmaMapper;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.List;
import java.util.function.Consumer;
import java.util.function.Function;

/** A VM without vCPUs: memory, conversions, and an I/O address space that follows them. */
final class TestVm implements AutoCloseable {
    static final int SW_PROTECTED_VM = 1;

    private final Deque<AutoCloseable> resources = new ArrayDeque<>();
    final Vm vm;
    final Ioas ioas;
    final GuestMemory memory;
    final ConversionEngine engine;
    final VfioDmaMapper mapper;
    final InvariantChecker checker;

    TestVm(Syscalls syscalls, List<GpaRange> blocks, String strategy) {
        this(syscalls, blocks, strategy, true, attached -> {});
    }

    /** A VM whose I/O address space gets a device, after the strategy has prepared it and before anything is mapped. */
    TestVm(
            Syscalls syscalls,
            List<GpaRange> blocks,
            String strategy,
            boolean confidential,
            Consumer<Ioas> attach) {
        this(
                syscalls,
                blocks,
                strategy,
                confidential,
                MemoryConfig.Strategy.DUAL,
                attach,
                ConversionPolicy.DEFAULT,
                _ -> {});
    }

    /** As above, with a policy, and somebody who hears of refusals. */
    TestVm(
            Syscalls syscalls,
            List<GpaRange> blocks,
            String strategy,
            boolean confidential,
            Consumer<Ioas> attach,
            ConversionPolicy policy,
            Consumer<String> refusals) {
        this(syscalls, blocks, strategy, confidential, MemoryConfig.Strategy.DUAL, attach, policy, refusals);
    }

    /** As above, where private pages are as asked for. */
    TestVm(
            Syscalls syscalls,
            List<GpaRange> blocks,
            String strategy,
            boolean confidential,
            MemoryConfig.Strategy backing,
            Consumer<Ioas> attach,
            ConversionPolicy policy,
            Consumer<String> refusals) {
        try {
            vm = own(own(Kvm.open(syscalls)).createVm(confidential ? SW_PROTECTED_VM : 0));
            RamLayout layout = new RamLayout(blocks);
            MemoryConfig config = new MemoryConfig(layout.bytes(), RamBackend.memfd(), backing, List.of());
            memory = own(GuestMemory.create(vm, layout, config, confidential));
            engine = new ConversionEngine(vm, memory, Waiting.PARK, policy, refusals);
            ioas = own(own(IommuFd.open(syscalls)).ioasAlloc());
            Function<Ioas, MapStrategy> maker = strategy.equals("cut") ? CutStrategy::prepare : PageStrategy::new;
            MapStrategy prepared = maker.apply(ioas);
            attach.accept(ioas);
            mapper = own(new VfioDmaMapper(prepared));
            for (RamBlock block : memory.blocks()) {
                Outcome outcome =
                        mapper.add(block.discards(), new Iova(block.range().start().value()), block.hva());
                if (!outcome.isDone()) {
                    throw new InvariantException(outcome.toString());
                }
            }
            checker = new InvariantChecker(memory, engine, List.of(mapper), null);
        } catch (RuntimeException failure) {
            close();
            throw failure;
        }
    }

    private <T extends AutoCloseable> T own(T resource) {
        resources.push(resource);
        return resource;
    }

    Outcome convert(long gpa, long size, boolean toPrivate) {
        return engine.convert(new ConversionRequest(GpaRange.of(gpa, size), toPrivate));
    }

    /** What the guest would get for the hypercall. */
    long hypercall(long gpa, long size, boolean toPrivate) {
        return ConversionEngine.hypercallReturn(engine.hypercall(gpa, size / 4096, toPrivate ? 16 : 0));
    }

    @Override
    public void close() {
        RuntimeException first = null;
        while (!resources.isEmpty()) {
            try {
                resources.pop().close();
            } catch (RuntimeException failure) {
                first = first == null ? failure : first;
            } catch (Exception failure) {
                throw new AssertionError("close", failure);
            }
        }
        if (first != null) {
            throw first;
        }
    }
}
