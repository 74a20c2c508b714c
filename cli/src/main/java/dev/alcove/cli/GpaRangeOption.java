// SPDX-License-Identifier: Apache-2.0
package dev.alcove.cli;

import dev.alcove.discard.GpaRange;
import dev.alcove.sys.BadInputException;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import picocli.CommandLine;

/**
 * A range of the guest's memory, such as {@code 0x1000000+2M}: where it begins, in hexadecimal or with K, M, G or T, and
 * its size.
 *
 * @param range whole pages
 */
record GpaRangeOption(GpaRange range) {
    private static final long PAGE = 4096;
    private static final Pattern SYNTAX = Pattern.compile("(0[xX][0-9a-fA-F]{1,15}|[^+]+)\\+([^+]+)");

    /** For picocli. */
    static final class Converter implements CommandLine.ITypeConverter<GpaRangeOption> {
        @Override
        public GpaRangeOption convert(String text) {
            try {
                return parse(text);
            } catch (BadInputException e) {
                throw new CommandLine.TypeConversionException(e.getMessage());
            }
        }
    }

    /** Reads an address and a size. */
    static GpaRangeOption parse(String text) {
        Matcher matcher = SYNTAX.matcher(text);
        if (!matcher.matches()) {
            throw new BadInputException(
                    "'" + text + "' is not a range of guest memory: write GPA+SIZE, such as 0x1000000+2M");
        }
        long start = number(matcher.group(1));
        long size = number(matcher.group(2));
        return new GpaRangeOption(GpaRange.aligned(start, size, PAGE)
                .orElseThrow(() -> new BadInputException("'" + text
                        + "' is not a range of guest memory: whole pages of 4096 bytes, below 2^52, at least one")));
    }

    private static long number(String text) {
        if (text.startsWith("0x") || text.startsWith("0X")) {
            try {
                return Long.parseLong(text.substring(2), 16);
            } catch (NumberFormatException e) {
                throw new BadInputException("'" + text + "' is not a hexadecimal number of up to 15 digits");
            }
        }
        return text.matches("0+") ? 0 : MemorySize.parse(text).bytes();
    }
}
