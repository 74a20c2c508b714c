// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vmm;

import dev.alcove.discard.Outcome;
import dev.alcove.vmm.conversion.ConversionEngine;
import dev.alcove.vmm.conversion.InvariantChecker;
import dev.alcove.vmm.cpu.Conversions;
import java.util.List;
import java.util.function.BooleanSupplier;

/**
 * Conversions by the engine; where asked for, the invariants are checked after each, and the first violation stops
 * the VM.
 *
 * @param always check after every conversion
 * @param prefault make memory present that has become private
 * @param goOn false once the VM ends: a long conversion stops then
 */
record CheckedConversions(
        ConversionEngine engine, InvariantChecker checker, boolean always, boolean prefault, BooleanSupplier goOn)
        implements Conversions {
    @Override
    public Outcome hypercall(long gpa, long pages, long attributes) {
        return checked(engine.hypercall(gpa, pages, attributes, goOn));
    }

    @Override
    public Outcome memoryFault(long flags, long gpa, long size) {
        return checked(engine.memoryFault(flags, gpa, size, goOn));
    }

    private Outcome checked(Outcome outcome) {
        if (always && !(outcome instanceof Outcome.Unsafe)) {
            List<String> violations = checker.check();
            if (!violations.isEmpty()) {
                return new Outcome.Unsafe(String.join("; ", violations));
            }
        }
        return outcome;
    }
}
