// SPDX-License-Identifier: Apache-2.0
package dev.alcove.cli;

import dev.alcove.sys.BadInputException;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.LongStream;
import picocli.CommandLine;

/**
 * One seed, or several: {@code 7}, {@code 1..200}.
 *
 * @param first at least 0
 * @param last at least {@code first}
 */
record SeedRange(long first, long last) {
    private static final Pattern SYNTAX = Pattern.compile("(\\d{1,18})(?:\\.\\.(\\d{1,18}))?");

    /** For picocli. */
    static final class Converter implements CommandLine.ITypeConverter<SeedRange> {
        @Override
        public SeedRange convert(String text) {
            try {
                return parse(text);
            } catch (BadInputException e) {
                throw new CommandLine.TypeConversionException(e.getMessage());
            }
        }
    }

    static SeedRange parse(String text) {
        Matcher matcher = SYNTAX.matcher(text);
        if (!matcher.matches()) {
            throw new BadInputException("'" + text + "' is not a seed: write a number, or the first and the last: 1..200");
        }
        long first = Long.parseLong(matcher.group(1));
        long last = matcher.group(2) == null ? first : Long.parseLong(matcher.group(2));
        if (last < first || last - first >= 1_000_000) {
            throw new BadInputException("'" + text + "' is not a range of one to a million seeds");
        }
        return new SeedRange(first, last);
    }

    LongStream seeds() {
        return LongStream.rangeClosed(first, last);
    }

    boolean isOne() {
        return first == last;
    }
}
