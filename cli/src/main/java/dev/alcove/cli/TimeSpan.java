// SPDX-License-Identifier: Apache-2.0
package dev.alcove.cli;

import dev.alcove.sys.BadInputException;
import java.time.Duration;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import picocli.CommandLine;

/**
 * A span of time, such as {@code 60s}.
 *
 * @param duration above 0, at most a year
 */
record TimeSpan(Duration duration) {
    private static final Pattern SYNTAX = Pattern.compile("(\\d{1,9})(ms|s|m|h|)");
    private static final Duration LONGEST = Duration.ofDays(365);

    /** For picocli. */
    static final class Converter implements CommandLine.ITypeConverter<TimeSpan> {
        @Override
        public TimeSpan convert(String text) {
            try {
                return parse(text);
            } catch (BadInputException e) {
                throw new CommandLine.TypeConversionException(e.getMessage());
            }
        }
    }

    /** Reads digits with ms, s, m or h; seconds without. */
    static TimeSpan parse(String text) {
        Matcher matcher = SYNTAX.matcher(text);
        if (!matcher.matches()) {
            throw new BadInputException("'" + text + "' is not a time: write digits and ms, s, m or h, such as 60s");
        }
        long number = Long.parseLong(matcher.group(1));
        Duration duration = switch (matcher.group(2)) {
            case "ms" -> Duration.ofMillis(number);
            case "m" -> Duration.ofMinutes(number);
            case "h" -> Duration.ofHours(number);
            default -> Duration.ofSeconds(number);
        };
        if (duration.isZero() || duration.compareTo(LONGEST) > 0) {
            throw new BadInputException("'" + text + "' is not between 1 ms and a year");
        }
        return new TimeSpan(duration);
    }
}
