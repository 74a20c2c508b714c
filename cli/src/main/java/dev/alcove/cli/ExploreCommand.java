// SPDX-License-Identifier: Apache-2.0
package dev.alcove.cli;

import com.fasterxml.jackson.databind.SerializationFeature;
import com.fasterxml.jackson.databind.json.JsonMapper;
import dev.alcove.explore.Explorer;
import dev.alcove.explore.Finding;
import dev.alcove.kernel.KernelProfile;
import dev.alcove.sys.BadInputException;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.util.Objects;
import java.util.Optional;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/** {@code alcove explore}: interleavings of threads, chosen by a seed, with every step checked. */
@Command(
        name = "explore",
        mixinStandardHelpOptions = true,
        description = "Runs many interleavings of a workload on the emulated kernel and checks each of their steps.",
        synopsisSubcommandLabel = "WORKLOAD",
        subcommands = {ExploreCommand.StormCommand.class})
final class ExploreCommand {
    /** {@code alcove explore storm}. */
    @Command(
            name = "storm",
            mixinStandardHelpOptions = true,
            sortOptions = false,
            description = {
                "Several vCPUs convert memory at random, touch it, and devices do DMA to it, come and go. One seed is one",
                "machine, one set of programs and one interleaving: the same ones every time. A violation is shrunk and",
                "its interleaving printed, a line for each step (explore/README.md)."
            },
            exitCodeListHeading = "%nExit status:%n",
            exitCodeList = {"0:no violation", "1:a violation", "2:bad usage"})
    static final class StormCommand implements Callable<Integer> {
        private static final int MOST_CPUS = 8;
        private static final String NEWEST = "7.2";
        private static final long MOST_SEEDS = 100_000_000;
        private static final long SECOND = 1_000_000_000L;
        /** How often somebody who waits hears of it. */
        private static final long TELL_NANOS = 10 * SECOND;

        @CommandLine.Spec
        private CommandLine.Model.@Nullable CommandSpec spec;

        @CommandLine.ArgGroup
        private Seeds which = new Seeds();

        /** One of the two. */
        private static final class Seeds {
            @Option(names = "--seeds", paramLabel = "N", description = "Seeds 1 to N (default: 1000).")
            private long count = 1000;

            @Option(
                    names = "--seed",
                    paramLabel = "S|A..B",
                    converter = SeedRange.Converter.class,
                    description = "One seed, or these.")
            private @Nullable SeedRange range;
        }

        @Option(names = "--cpus", paramLabel = "N", description = "vCPUs, 1 to 8 (default: 2 to 4, by the seed).")
        private int cpus;

        @Option(
                names = "--fail-nth",
                description = "In each case one allocation of the kernel, or one system call of a conversion, fails:"
                        + " which one says the seed.")
        private boolean failNth;

        @Option(
                names = "--profile",
                paramLabel = "RELEASE",
                converter = ExecCommand.ProfileConverter.class,
                description = "Which Linux is emulated: 7.2 (the default), 6.18 or 6.12.")
        private KernelProfile profile = KernelProfile.linux7_2();

        @Option(names = "--json", paramLabel = "FILE", description = "Write the violation there too, as JSON.")
        private @Nullable Path json;

        @Override
        public Integer call() throws IOException {
            SeedRange seeds = seeds();
            if (cpus < 0 || cpus > MOST_CPUS) {
                throw new BadInputException("--cpus " + cpus + " is not between 1 and " + MOST_CPUS);
            }
            PrintWriter out = Objects.requireNonNull(spec).commandLine().getOut();
            PrintWriter errors = Objects.requireNonNull(spec).commandLine().getErr();
            Explorer explorer = new Explorer(profile, cpus, failNth);
            Optional<Finding> found = Optional.empty();
            long begin = System.nanoTime();
            long told = begin;
            for (long seed = seeds.first(); seed <= seeds.last() && found.isEmpty(); seed++) {
                found = explorer.explore(seed);
                long now = System.nanoTime();
                if (now - told >= TELL_NANOS) {
                    told = now;
                    Alcove.say(errors, progress(seeds, seed, now - begin), null);
                }
            }
            if (found.isPresent()) {
                found.get().text().forEach(out::println);
                out.println("reproduce: " + again(found.get().seed()));
                write(found.get());
            } else {
                out.println(explorer.cases() + " interleavings, " + explorer.steps() + " steps, "
                        + explorer.contextSwitches() + " context switches"
                        + (failNth ? ", " + explorer.failures() + " failures" : "") + ": no violation");
            }
            out.flush();
            return found.isPresent() ? 1 : 0;
        }

        /** A line for somebody who waits: how far it is, and how long the rest takes at this speed. */
        static String progress(SeedRange seeds, long seed, long nanos) {
            long done = seed - seeds.first() + 1;
            long left = seeds.last() - seed;
            return done + " of " + (done + left) + " seeds in " + nanos / SECOND + " s, no violation so far; the rest takes"
                    + " about " + (long) ((double) nanos / done * left / SECOND) + " s";
        }

        private SeedRange seeds() {
            SeedRange range = which.range;
            if (range != null) {
                return range;
            }
            if (which.count < 1 || which.count > MOST_SEEDS) {
                throw new BadInputException("--seeds " + which.count + " is not between 1 and " + MOST_SEEDS);
            }
            return new SeedRange(1, which.count);
        }

        private String again(long seed) {
            return "alcove explore storm --seed " + seed
                    + (cpus > 0 ? " --cpus " + cpus : "")
                    + (failNth ? " --fail-nth" : "")
                    + (profile.release().startsWith(NEWEST) ? "" : " --profile " + release());
        }

        /** As {@code --profile} takes it: the first two numbers. */
        private String release() {
            String[] numbers = profile.release().split("\\.", 3);
            return numbers[0] + "." + numbers[1];
        }

        private void write(Finding finding) throws IOException {
            Path file = json;
            if (file == null) {
                return;
            }
            JsonMapper mapper =
                    JsonMapper.builder().enable(SerializationFeature.INDENT_OUTPUT).build();
            try {
                Files.write(file, mapper.writeValueAsBytes(finding));
            } catch (IOException | InvalidPathException e) {
                throw new BadInputException("'" + file + "' cannot be written: " + e);
            }
        }
    }
}
