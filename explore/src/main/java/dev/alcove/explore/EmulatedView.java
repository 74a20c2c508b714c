// SPDX-License-Identifier: Apache-2.0
package dev.alcove.explore;

import dev.alcove.discard.GpaRange;
import dev.alcove.discard.RangeSet;
import dev.alcove.kernel.EmulatedKernel;
import dev.alcove.kernel.iommu.FrameState;
import dev.alcove.kernel.iommu.IommuDomain;
import dev.alcove.kernel.iommu.IommuGroup;
import dev.alcove.kernel.iommu.IovaExtent;
import dev.alcove.kernel.kvm.VmView;
import dev.alcove.sys.Linux;
import dev.alcove.vmm.conversion.KernelView;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;

/** What the emulated kernel itself knows of the VM's memory, for the invariant checker. */
public final class EmulatedView implements KernelView {
    private final EmulatedKernel kernel;

    /** @param kernel with one machine in it */
    public EmulatedView(EmulatedKernel kernel) {
        this.kernel = kernel;
    }

    @Override
    public RangeSet privateRanges(GpaRange range) {
        RangeSet ranges = new RangeSet();
        for (VmView vm : kernel.kvm().machines()) {
            vm.privateRanges().forEach(piece -> addClipped(ranges, range, piece.start(), piece.end()));
        }
        return ranges;
    }

    @Override
    public RangeSet iommuMapped(GpaRange range) {
        RangeSet ranges = new RangeSet();
        for (IommuGroup group : kernel.iommu().groups()) {
            IommuDomain domain = group.domain();
            if (domain != null) {
                for (IovaExtent extent : domain.extents()) {
                    addClipped(
                            ranges, range, extent.iova(), extent.iova() + (extent.pages() << Linux.PAGE_SHIFT));
                }
            }
        }
        return ranges;
    }

    private static void addClipped(RangeSet ranges, GpaRange range, long start, long end) {
        long from = Math.max(start, range.start().value());
        long to = Math.min(end, range.end());
        if (from < to) {
            ranges.add(from, to - from);
        }
    }

    /** Page table entries that lead to guest_memfd memory, or to frames that nobody holds. */
    @Override
    public List<String> frameViolations() {
        List<String> violations = new ArrayList<>();
        for (FrameState state : List.of(FrameState.PRIVATE, FrameState.FREED)) {
            long pages = kernel.iommu().counters().pages(state);
            if (pages > 0) {
                violations.add("devices have reached " + pages + " pages of memory that is "
                        + state.name().toLowerCase(Locale.ROOT));
            }
        }
        for (VmView vm : kernel.kvm().machines()) {
            for (IommuGroup group : kernel.iommu().groups()) {
                IommuDomain domain = group.domain();
                if (domain != null) {
                    check(domain, vm, violations);
                }
            }
        }
        return violations;
    }

    private void check(IommuDomain domain, VmView vm, List<String> violations) {
        for (IovaExtent extent : domain.extents()) {
            for (long page = 0; page < extent.pages(); page++) {
                long iova = extent.iova() + (page << Linux.PAGE_SHIFT);
                long frame = domain.frame(iova);
                if (frame < 0) {
                    continue;
                }
                if (vm.holdsPrivately(frame)) {
                    violations.add("iova 0x" + Long.toHexString(iova) + " leads a device to private frame " + frame);
                } else if (kernel.memory().pins(frame) == 0) {
                    violations.add("iova 0x" + Long.toHexString(iova) + " leads a device to frame " + frame
                            + ", which is not pinned");
                }
            }
        }
    }
}
