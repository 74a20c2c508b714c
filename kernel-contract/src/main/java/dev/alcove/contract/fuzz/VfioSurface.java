// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract.fuzz;

import dev.alcove.sys.Syscalls;
import java.util.List;
import java.util.SplittableRandom;
import java.util.function.Supplier;

/** An edu device behind vfio-pci and iommufd: the device file, its regions and interrupts, and what its DMA reaches. */
final class VfioSurface implements Surface {
    @Override
    public String name() {
        return "vfio";
    }

    @Override
    public Supplier<Op> generator(SplittableRandom random) {
        return new VfioDraws(random).all();
    }

    @Override
    public List<String> operandNames(String op) {
        List<String> names = VfioSession.operandNames(op);
        return names.isEmpty() ? IommufdSession.operandNames(op, IommufdCalls.all()) : names;
    }

    @Override
    public Session open(Syscalls syscalls) {
        return new VfioSession(syscalls);
    }
}
