// SPDX-License-Identifier: Apache-2.0
package dev.alcove.sys.trace;

import java.util.Map;
import org.jspecify.annotations.Nullable;

/** Which member of a union is meant, where a field beside it says so. */
final class UnionMembers {
    /** By the type of a route: KVM_IRQ_ROUTING_IRQCHIP and the following. */
    private static final String[] ROUTES = {"irqchip", "msi", "adapter", "hv_sint", "xen_evtchn"};

    private UnionMembers() {}

    /**
     * Picks a member.
     *
     * @param struct that the union is in
     * @param fields of that struct, as far as they are read
     * @return its name; null when nothing says
     */
    static @Nullable String choose(String struct, String union, Map<String, @Nullable Object> fields) {
        if (struct.equals("kvm_irq_routing_entry") && union.equals("u")) {
            long type = Values.number(fields.get("type"), "type");
            return type >= 1 && type <= ROUTES.length ? ROUTES[(int) type - 1] : null;
        }
        return null;
    }
}
