// SPDX-License-Identifier: Apache-2.0
package dev.alcove.cli;

import com.fasterxml.jackson.core.JsonProcessingException;
import dev.alcove.sys.BadInputException;
import dev.alcove.vmm.RunReport;
import java.io.IOException;
import java.io.InputStream;
import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.util.Objects;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code alcove report}: what a run did, for a person. */
@Command(
        name = "report",
        mixinStandardHelpOptions = true,
        sortOptions = false,
        description = {
            "Shows the report of a run (run --report) as text, or as a page with a picture of the guest's memory over",
            "time: what was private, what was shared, what devices could reach, and where the IOMMU stopped them."
        },
        exitCodeListHeading = "%nExit status:%n",
        exitCodeList = {"0:shown", "2:bad usage, or no report", "3:the page cannot be written"})
final class ReportCommand implements Callable<Integer> {
    @CommandLine.Spec
    private CommandLine.Model.@Nullable CommandSpec spec;

    @Parameters(paramLabel = "FILE", description = "The report; - reads standard input.")
    private String file = "";

    @Option(names = "--html", description = "Write a page instead: one file, which needs nothing else.")
    private boolean html;

    @Option(
            names = {"-o", "--output"},
            paramLabel = "PAGE",
            description = "Where to, with --html; - is standard output (default: FILE with .html at its end).")
    private @Nullable String output;

    @Override
    public Integer call() throws IOException {
        CommandLine line = Objects.requireNonNull(spec).commandLine();
        if (output != null && !html) {
            throw new CommandLine.ParameterException(line, "--output is for --html");
        }
        RunReport report = read();
        PrintWriter out = line.getOut();
        if (!html) {
            out.print(new ReportText(report).text());
            out.flush();
            return 0;
        }
        String page = new ReportPage(report).html();
        String target = output != null ? output : file.equals("-") ? "-" : file.replaceFirst("\\.json$", "") + ".html";
        if (target.equals("-")) {
            out.print(page);
            out.flush();
            return 0;
        }
        try {
            Files.writeString(Path.of(target), page);
        } catch (IOException | InvalidPathException e) {
            Alcove.say(line.getErr(), "'" + target + "' cannot be written: " + e, null);
            return 3;
        }
        Alcove.say(line.getErr(), "the page is " + target, null);
        return 0;
    }

    private RunReport read() {
        try (InputStream in = file.equals("-") ? System.in : Files.newInputStream(Path.of(file))) {
            return RunReportJson.read(in);
        } catch (JsonProcessingException e) {
            throw new BadInputException(
                    "'" + file + "' is no report: " + e.getOriginalMessage() + where(e), "alcove run IMAGE --report FILE");
        } catch (IOException | InvalidPathException e) {
            throw new BadInputException("'" + file + "' cannot be read: " + e);
        }
    }

    private static String where(JsonProcessingException e) {
        return e.getLocation() == null
                ? ""
                : " (line " + e.getLocation().getLineNr() + ", column " + e.getLocation().getColumnNr() + ")";
    }
}
