// SPDX-License-Identifier: Apache-2.0
package dev.alcove.cli;

import dev.alcove.contract.fuzz.Answer;
import dev.alcove.contract.fuzz.Fuzzing;
import dev.alcove.contract.fuzz.Header;
import dev.alcove.contract.fuzz.Op;
import dev.alcove.contract.fuzz.Surface;
import dev.alcove.sys.InvariantException;
import dev.alcove.sys.MissingFeatureException;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/** The kernels that {@code alcove fuzz} knows. */
enum FuzzKernel {
    /** A fresh one for each sequence. */
    emulated,
    /** The one below. */
    linux;

    private HostKernel start() {
        return this == linux ? new LinuxKernel() : EmulatedHost.create(Optional.of(new DeviceRequest.Edu()));
    }

    /** The release, as uname(2) answers it. */
    String release() {
        try (HostKernel host = start()) {
            return host.identity().release();
        }
    }

    /** Whether it is the kernel that a recording was made on, and has the surface. */
    boolean isOf(Header header, Surface surface) {
        if (!header.kernel().equals(name()) || !header.release().equals(release())) {
            return false;
        }
        try {
            perform(surface, List.of());
            return true;
        } catch (MissingFeatureException e) {
            return false;
        }
    }

    /** Performs a sequence with fresh objects. */
    List<Answer> perform(Surface surface, List<Op> ops) {
        List<Answer> answers = new ArrayList<>(ops.size());
        this.<RuntimeException>perform(surface, ops, (_, answer) -> answers.add(answer));
        return answers;
    }

    /**
     * Performs a sequence with fresh objects.
     *
     * @return what the emulated kernel has left, a line each; empty when all is well
     */
    <E extends Exception> List<String> perform(Surface surface, List<Op> ops, Fuzzing.Recorder<E> recorder) throws E {
        try (HostKernel host = start()) {
            Fuzzing.perform(surface, host.syscalls(), ops, recorder);
            return host instanceof EmulatedHost machine ? machine.leaks() : List.of();
        }
    }

    /** @throws InvariantException when something is left */
    static void check(List<String> leaks) {
        if (!leaks.isEmpty()) {
            throw new InvariantException("the emulated kernel has left " + String.join("; ", leaks));
        }
    }
}
