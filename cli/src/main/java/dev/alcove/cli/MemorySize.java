// SPDX-License-Identifier: Apache-2.0
package dev.alcove.cli;

import dev.alcove.sys.BadInputException;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import picocli.CommandLine;

/**
 * A size of memory, such as {@code 256M}.
 *
 * @param bytes above 0
 */
record MemorySize(long bytes) {
    private static final Pattern SYNTAX = Pattern.compile("(\\d{1,18})([KMGTkmgt]?)(?:i?[Bb])?");

    /** For picocli. */
    static final class Converter implements CommandLine.ITypeConverter<MemorySize> {
        @Override
        public MemorySize convert(String text) {
            try {
                return parse(text);
            } catch (BadInputException e) {
                throw new CommandLine.TypeConversionException(e.getMessage());
            }
        }
    }

    /** Reads digits with an optional K, M, G or T (powers of 1024). */
    static MemorySize parse(String text) {
        Matcher matcher = SYNTAX.matcher(text);
        if (!matcher.matches()) {
            throw new BadInputException("'" + text + "' is not a size: write digits and K, M or G, such as 256M");
        }
        int shift = matcher.group(2).isEmpty() ? 0 : 10 * ("KMGT".indexOf(Character.toUpperCase(
                matcher.group(2).charAt(0))) + 1);
        long number = Long.parseLong(matcher.group(1));
        if (number == 0) {
            throw new BadInputException("a size of 0 is no memory");
        }
        if (number > Long.MAX_VALUE >> shift) {
            throw new BadInputException("'" + text + "' is more memory than an address can name");
        }
        return new MemorySize(number << shift);
    }
}
