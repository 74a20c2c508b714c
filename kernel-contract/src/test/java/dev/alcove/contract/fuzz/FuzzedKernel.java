// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract.fuzz;

import dev.alcove.kernel.EmulatedKernel;
import dev.alcove.kernel.KernelProfile;
import dev.alcove.kernel.pci.PciAddress;
import dev.alcove.sys.HostSyscalls;
import dev.alcove.sys.Syscalls;
import java.util.List;
import java.util.function.UnaryOperator;

import static org.junit.jupiter.api.Assertions.assertEquals;

/** The emulated kernel, fresh for each sequence, with something between it and its callers. */
record FuzzedKernel(UnaryOperator<Syscalls> decoration) implements Performer {
    static final FuzzedKernel PLAIN = new FuzzedKernel(syscalls -> syscalls);

    @Override
    public List<Answer> perform(Surface surface, List<Op> ops) {
        try (EmulatedKernel kernel = new EmulatedKernel(KernelProfile.linux7_2(), new HostSyscalls())) {
            kernel.vfioPci().addEdu(new PciAddress(0, 0, 4, 0), 28);
            List<Answer> answers = Fuzzing.perform(surface, decoration.apply(kernel.process()), ops);
            assertEquals(List.of(), kernel.leaks(), "what is left after " + ops);
            return answers;
        }
    }
}
