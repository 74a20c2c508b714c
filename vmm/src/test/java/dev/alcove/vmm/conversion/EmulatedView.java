// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vmm.conversion;

import dev.alcove.discard.GpaRange;
import dev.alcove.discard.RangeSet;
import dev.alcove.kernel.EmulatedKernel;
import dev.alcove.kernel.iommu.IommuDomain;
import dev.alcove.kernel.iommu.IovaExtent;
import dev.alcove.kernel.iommufd.IommufdContext;
import dev.alcove.kernel.kvm.VmView;
import java.util.ArrayList;
import java.util.List;

/** What the emulated kernel knows of a test VM. */
record EmulatedView(EmulatedKernel kernel, TestVm vm) implements KernelView {
    private static final long PAGE = 4096;

    private List<IommuDomain> domains() {
        IommufdContext context = kernel.iommufd().contexts().getFirst();
        return context.domains(vm.ioas.id());
    }

    private VmView machine() {
        return kernel.kvm().machines().getFirst();
    }

    @Override
    public RangeSet privateRanges(GpaRange range) {
        RangeSet ranges = new RangeSet();
        for (VmView.PrivateRange found : machine().privateRanges()) {
            ranges.add(found.start(), found.end() - found.start());
        }
        return ranges;
    }

    @Override
    public RangeSet iommuMapped(GpaRange range) {
        RangeSet mapped = new RangeSet();
        for (IommuDomain domain : domains()) {
            for (IovaExtent extent : domain.extents()) {
                mapped.add(extent.iova(), extent.pages() * PAGE);
            }
        }
        return mapped;
    }

    @Override
    public List<String> frameViolations() {
        List<String> found = new ArrayList<>(kernel.kvm().troubles());
        VmView machine = machine();
        long reachable = 0;
        for (IommuDomain domain : domains()) {
            for (IovaExtent extent : domain.extents()) {
                for (long page = 0; page < extent.pages(); page++) {
                    long iova = extent.iova() + page * PAGE;
                    long frame = domain.frame(iova);
                    if (machine.holdsPrivately(frame)) {
                        found.add("a device reaches frame " + frame + " of guest_memfd at IOVA 0x"
                                + Long.toHexString(iova));
                    }
                    if (kernel.memory().pins(frame) != 1) {
                        found.add("frame " + frame + " at IOVA 0x" + Long.toHexString(iova) + " has "
                                + kernel.memory().pins(frame) + " pins");
                    }
                    reachable++;
                }
            }
        }
        if (kernel.memory().totalPins() != reachable) {
            found.add(kernel.memory().totalPins() + " pins for " + reachable + " reachable pages");
        }
        return found;
    }
}
