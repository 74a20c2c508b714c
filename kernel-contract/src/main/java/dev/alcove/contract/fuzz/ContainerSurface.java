// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract.fuzz;

import dev.alcove.sys.Syscalls;
import java.util.List;
import java.util.SplittableRandom;
import java.util.function.Supplier;

/** A device of vfio-pci by way of its group: group files, containers, their mappings, and what else can hold the device. */
final class ContainerSurface implements Surface {
    @Override
    public String name() {
        return "vfio-container";
    }

    @Override
    public Supplier<Op> generator(SplittableRandom random) {
        return new ContainerDraws(random).all();
    }

    @Override
    public List<String> operandNames(String op) {
        List<String> names = ContainerSession.operandNames(op);
        return names.isEmpty() ? IommufdSession.operandNames(op, IommufdCalls.all()) : names;
    }

    @Override
    public Session open(Syscalls syscalls) {
        return new ContainerSession(syscalls);
    }
}
