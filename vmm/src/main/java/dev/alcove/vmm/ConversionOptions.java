// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vmm;

import dev.alcove.vmm.conversion.ConversionPolicy;
import java.util.function.Consumer;

/**
 * How a machine converts memory.
 *
 * @param policy what the guest may convert
 * @param prefault whether memory that the guest makes private is made present at once (KVM_PRE_FAULT_MEMORY), not page
 *     by page as it touches it
 * @param refusals gets a line for each reason for which a conversion is refused; called by vCPU threads
 */
public record ConversionOptions(ConversionPolicy policy, boolean prefault, Consumer<String> refusals) {
    /** The default policy, no prefault, and nobody to tell. */
    public static ConversionOptions standard() {
        return new ConversionOptions(ConversionPolicy.DEFAULT, false, _ -> {});
    }
}
