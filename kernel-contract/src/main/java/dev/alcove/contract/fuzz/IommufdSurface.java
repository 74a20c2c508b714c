// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract.fuzz;

import dev.alcove.sys.Syscalls;
import java.util.List;
import java.util.SplittableRandom;
import java.util.function.Supplier;

/** /dev/iommu without a device: I/O address spaces and what they map, the type1 calls, and all that needs a device. */
final class IommufdSurface implements Surface {
    @Override
    public String name() {
        return "iommufd";
    }

    @Override
    public Supplier<Op> generator(SplittableRandom random) {
        return new IommufdDraws(random, 3, 25).all();
    }

    @Override
    public List<String> operandNames(String op) {
        return IommufdSession.operandNames(op, IommufdCalls.all());
    }

    @Override
    public Session open(Syscalls syscalls) {
        return new IommufdSession(syscalls);
    }
}
