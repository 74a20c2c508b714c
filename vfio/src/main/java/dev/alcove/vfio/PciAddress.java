// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vfio;

import dev.alcove.sys.BadInputException;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * The place of a PCI function.
 *
 * @param domain 0 to 0xffff
 * @param bus 0 to 0xff
 * @param device 0 to 0x1f
 * @param function 0 to 7
 */
public record PciAddress(int domain, int bus, int device, int function) implements Comparable<PciAddress> {
    private static final Pattern SYNTAX = Pattern.compile(
            "(?:([0-9a-fA-F]{1,4}):)?([0-9a-fA-F]{1,2}):([01]?[0-9a-fA-F])\\.([0-7])");

    public PciAddress {
        if (domain >>> 16 != 0 || bus >>> 8 != 0 || device >>> 5 != 0 || function >>> 3 != 0) {
            throw new BadInputException("no PCI address: " + domain + ":" + bus + ":" + device + "." + function);
        }
    }

    /**
     * Reads {@code [dddd:]bb:dd.f}, hexadecimal; the domain is 0 unless given.
     *
     * @throws BadInputException anything else
     */
    public static PciAddress parse(String text) {
        Matcher matcher = SYNTAX.matcher(text);
        if (!matcher.matches()) {
            throw new BadInputException(
                    "\"" + text + "\" is not a PCI address",
                    "write it as lspci -D does: dddd:bb:dd.f, such as 0000:3b:00.0");
        }
        String domain = matcher.group(1);
        return new PciAddress(
                domain == null ? 0 : Integer.parseInt(domain, 16),
                Integer.parseInt(matcher.group(2), 16),
                Integer.parseInt(matcher.group(3), 16),
                Integer.parseInt(matcher.group(4)));
    }

    @Override
    public int compareTo(PciAddress other) {
        return Integer.compare(packed(), other.packed());
    }

    private int packed() {
        return domain << 16 | bus << 8 | device << 3 | function;
    }

    /** The name that sysfs uses, such as {@code 0000:3b:00.0}. */
    @Override
    public String toString() {
        return String.format("%04x:%02x:%02x.%d", domain, bus, device, function);
    }
}
