// SPDX-License-Identifier: Apache-2.0
package dev.alcove.explore;

import dev.alcove.explore.schedule.Scheduler;
import dev.alcove.explore.schedule.Violation;
import dev.alcove.kernel.EmulatedKernel;
import dev.alcove.kernel.iommu.FrameState;
import dev.alcove.kernel.iommu.IommuDevice;
import dev.alcove.kernel.iommu.IommuDomain;
import dev.alcove.kernel.kvm.VmView;
import dev.alcove.kernel.mm.PhysicalMemory;
import dev.alcove.memory.RamBlock;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * What must hold at every step, in the middle of a conversion too, by what the kernel knows: no device reaches a private
 * page, none goes on using a translation that is gone, no frame is free that one can reach, no DMA hit what it must not.
 * And for the pages that nobody converts at the moment: the VMM's state, KVM's attributes and what is mapped agree.
 */
final class KernelChecks implements Scheduler.Watcher {
    private final EmulatedKernel kernel;
    private final PhysicalMemory frames;
    private final VmView vm;
    private final List<RamBlock> blocks;
    private final Layout layout;
    private final Ledger ledger;
    private final List<Port> ports;
    private @Nullable Violation found;

    KernelChecks(EmulatedKernel kernel, List<RamBlock> blocks, Layout layout, Ledger ledger, List<Port> ports) {
        this.kernel = kernel;
        this.frames = kernel.memory();
        this.vm = kernel.kvm().machines().getFirst();
        this.blocks = blocks;
        this.layout = layout;
        this.ledger = ledger;
        this.ports = ports;
    }

    @Override
    public @Nullable Violation look() {
        found = null;
        long privates = privatePages();
        long quiet = (layout.pages() == 64 ? -1L : (1L << layout.pages()) - 1) & ~ledger.inFlight();
        long state = statePrivate();
        if (((state ^ privates) & quiet) != 0) {
            report("state and KVM attributes differ", "private by only one of them, and nobody converts: gpa "
                    + Layout.text((state ^ privates) & quiet));
        }
        for (Port port : ports) {
            long mapped = look(port, privates);
            long missing = ~mapped & ~state & quiet;
            if (port.follows() && missing != 0) {
                report("a shared page is not mapped", "device " + port.number() + " does not reach gpa "
                        + Layout.text(missing));
            }
        }
        dma(FrameState.PRIVATE);
        dma(FrameState.FREED);
        if (kernel.iommu().iotlbCounters().stale() > 0) {
            report("a stale IOTLB entry is used", kernel.iommu().iotlbCounters().stale() + " times");
        }
        List<String> troubles = kernel.kvm().troubles();
        if (!troubles.isEmpty()) {
            report("the emulator is in trouble", troubles.getFirst());
        }
        return found;
    }

    /** The pages that are private by KVM's attributes, a bit each. */
    long privatePages() {
        long bits = 0;
        for (VmView.PrivateRange range : vm.privateRanges()) {
            bits |= layout.bits(range.start(), range.end() - range.start());
        }
        return bits;
    }

    private long statePrivate() {
        long bits = 0;
        for (RamBlock block : blocks) {
            long start = block.range().start().value();
            var state = block.state().orElseThrow();
            for (long offset = 0; offset < block.range().size(); ) {
                long end = state.runEnd(offset, block.range().size());
                if (!state.isPopulated(offset)) {
                    bits |= layout.bits(start + offset, end - offset);
                }
                offset = end;
            }
        }
        return bits;
    }

    /** Looks at what one device reaches; answers these pages. */
    private long look(Port port, long privates) {
        IommuDevice device = port.device();
        IommuDomain domain = device.group().domain();
        if (domain == null) {
            return 0;
        }
        long[] mapped = new long[1];
        domain.forEachPage((iova, address, length, _) -> {
            long bit = layout.bits(iova, length);
            mapped[0] |= bit;
            long frame = address >>> 12;
            if ((bit & privates) != 0) {
                report("a device reaches a private page", "device " + port.number() + " at iova 0x"
                        + Long.toHexString(iova) + ", which is private by KVM's attributes");
            } else if (vm.holdsPrivately(frame)) {
                report("a device reaches guest_memfd", "device " + port.number() + " at iova 0x"
                        + Long.toHexString(iova) + ", frame " + frame);
            } else if (frames.pins(frame) == 0) {
                report("a device reaches a frame that is not pinned", "device " + port.number() + " at iova 0x"
                        + Long.toHexString(iova) + ", frame " + frame);
            }
        });
        List<Long> stale = device.staleTranslations();
        if (!stale.isEmpty()) {
            report("stale IOTLB entry", "device " + port.number() + " goes on translating iova 0x"
                    + Long.toHexString(stale.getFirst()) + " as before the unmap");
        }
        return mapped[0];
    }

    private void dma(FrameState state) {
        long pages = kernel.iommu().counters().pages(state);
        if (pages > 0) {
            report("DMA has hit " + state.name().toLowerCase(java.util.Locale.ROOT) + " memory", pages + " times");
        }
    }

    private void report(String kind, String detail) {
        if (found == null) {
            found = new Violation(kind, detail);
        }
    }
}
