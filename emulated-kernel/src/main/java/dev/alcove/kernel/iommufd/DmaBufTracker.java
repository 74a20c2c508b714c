// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommufd;

import dev.alcove.kernel.iommu.IommuDomain;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * Which domains map areas of a dma-buf, so that it can be taken out of all of them at once. Once it was, it is dead: areas
 * stay until they are unmapped, and nothing is mapped for them any more. Guarded by the mutex of the pages.
 */
final class DmaBufTracker {
    private final Map<IopArea, List<IommuDomain>> mapped = new HashMap<>();
    private boolean revoked;

    /** Whether the registers have been taken back. */
    boolean revoked() {
        return revoked;
    }

    void add(IopArea area, List<IommuDomain> domains) {
        mapped.computeIfAbsent(area, key -> new ArrayList<>()).addAll(domains);
    }

    void remove(IopArea area, List<IommuDomain> domains) {
        mapped.computeIfPresent(area, (key, all) -> {
            all.removeAll(domains);
            return all.isEmpty() ? null : all;
        });
    }

    /** Forgets an area, and unmaps it unless that has happened. */
    void unmap(IopArea area) {
        List<IommuDomain> domains = mapped.remove(area);
        if (domains != null && !revoked) {
            domains.forEach(domain -> unmap(area, domain));
        }
    }

    /** Takes the registers back. */
    void revoke() {
        if (!revoked) {
            mapped.forEach((area, domains) -> domains.forEach(domain -> unmap(area, domain)));
            revoked = true;
        }
    }

    private static void unmap(IopArea area, IommuDomain domain) {
        domain.unmap(area.iova, area.length(), null);
    }
}
