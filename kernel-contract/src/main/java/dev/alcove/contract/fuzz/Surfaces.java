// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract.fuzz;

import dev.alcove.sys.BadInputException;
import java.util.List;
import java.util.stream.Collectors;

/** The surfaces that there are. */
public final class Surfaces {
    private static final List<Surface> ALL = List.of(
            new KvmMemorySurface(), new GuestMemfdSurface(), new IommufdSurface(), new VfioSurface(), new ContainerSurface());

    private Surfaces() {}

    /** All, in the order of {@code --surface all}. */
    public static List<Surface> all() {
        return ALL;
    }

    /**
     * One of them.
     *
     * @throws BadInputException when there is none of that name
     */
    public static Surface named(String name) {
        return ALL.stream()
                .filter(surface -> surface.name().equals(name))
                .findFirst()
                .orElseThrow(() -> new BadInputException("no surface '" + name + "': there are "
                        + ALL.stream().map(Surface::name).collect(Collectors.joining(", "))));
    }
}
