// SPDX-License-Identifier: Apache-2.0
package dev.alcove.cli;

import dev.alcove.sys.BadInputException;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * The value of an option that is a list itself, as QEMU and cloud-hypervisor have them: {@code key=value,key=value}.
 *
 * @param values by key, each of the keys that were allowed
 */
record OptionList(Map<String, String> values) {
    /**
     * Reads a list.
     *
     * @param first the key of a first value that is written without one; empty where there is no such
     * @param keys all that may be in it
     * @throws BadInputException an unknown key, one that is there twice, or one without a value
     */
    static OptionList parse(String text, String first, List<String> keys) {
        Map<String, String> values = new LinkedHashMap<>();
        String[] parts = text.split(",", -1);
        for (int i = 0; i < parts.length; i++) {
            int equals = parts[i].indexOf('=');
            String key = equals >= 0 ? parts[i].substring(0, equals) : i == 0 ? first : "";
            String value = parts[i].substring(equals + 1);
            if (!keys.contains(key) || value.isEmpty()) {
                throw new BadInputException("'" + parts[i] + "' in '" + text + "' is none of " + String.join("=, ", keys)
                        + "= with a value");
            }
            if (values.put(key, value) != null) {
                throw new BadInputException("'" + text + "' has " + key + " twice");
            }
        }
        return new OptionList(Map.copyOf(values));
    }

    Optional<String> get(String key) {
        return Optional.ofNullable(values.get(key));
    }

    /** A key whose value is on or off. */
    boolean on(String key, boolean otherwise) {
        return switch (values.getOrDefault(key, otherwise ? "on" : "off")) {
            case "on" -> true;
            case "off" -> false;
            default -> throw new BadInputException(key + " is on or off, not '" + values.get(key) + "'");
        };
    }
}
