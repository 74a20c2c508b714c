// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vmm;

import dev.alcove.sys.AlcoveException;
import dev.alcove.sys.BadInputException;
import dev.alcove.sys.InvariantException;
import dev.alcove.sys.MissingFeatureException;
import dev.alcove.sys.SyscallException;
import java.time.Duration;

/** How a run ended. */
public sealed interface VmOutcome {
    /** The guest reported success. */
    record GuestSuccess() implements VmOutcome {}

    /** The guest reported failure, or did something that ends it. */
    record GuestFailure(String reason) implements VmOutcome {}

    /** An option or the image is not acceptable. */
    record BadInput(String reason) implements VmOutcome {}

    /** The kernel or the machine lacks or refuses what the run needs. */
    record HostLacks(String reason) implements VmOutcome {}

    /** An invariant of isolation or of the books does not hold: nothing that the run showed can be trusted. */
    record InvariantViolated(String reason) implements VmOutcome {}

    /** The time was up. */
    record TimedOut(Duration timeout) implements VmOutcome {}

    /** The exit status of the command. */
    default int status() {
        return switch (this) {
            case GuestSuccess _ -> 0;
            case GuestFailure _ -> 1;
            case BadInput _ -> 2;
            case HostLacks _ -> 3;
            case InvariantViolated _ -> 4;
            case TimedOut _ -> 5;
        };
    }

    /** One line that says how it ended. */
    default String reason() {
        return switch (this) {
            case GuestSuccess _ -> "the guest reported success";
            case GuestFailure failure -> failure.reason();
            case BadInput bad -> bad.reason();
            case HostLacks lacks -> lacks.reason();
            case InvariantViolated violated -> violated.reason();
            case TimedOut late -> "the guest did not end within " + late.timeout().toMillis() + " ms";
        };
    }

    /** The outcome that an error means. */
    static VmOutcome of(AlcoveException error) {
        String reason = error.getMessage() + (error.hint() == null ? "" : " (" + error.hint() + ")");
        return switch (error) {
            case BadInputException _ -> new BadInput(reason);
            case MissingFeatureException _, SyscallException _ -> new HostLacks(reason);
            case InvariantException _ -> new InvariantViolated(reason);
        };
    }
}
