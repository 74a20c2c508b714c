// SPDX-License-Identifier: Apache-2.0
package dev.alcove.cli;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonGenerator;
import dev.alcove.sys.HostSyscalls;
import java.io.IOException;
import java.io.PrintWriter;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/** {@code alcove doctor}: what this host offers, and the remedy for what is missing. */
@Command(
        name = "doctor",
        mixinStandardHelpOptions = true,
        description = "Shows what this host offers to confidential VMs, and how to get what is missing.",
        footer = {"", "Nothing has to be there for --kernel emulated: it needs a JDK 25 and nothing else."})
final class DoctorCommand implements Callable<Integer> {
    @CommandLine.Spec
    private CommandLine.Model.@Nullable CommandSpec spec;

    @Option(names = "--json", description = "Print JSON instead of text.")
    private boolean json;

    @Override
    public Integer call() throws IOException {
        PrintWriter out = Objects.requireNonNull(spec).commandLine().getOut();
        List<Finding> findings = HostSurvey.of(new HostSyscalls());
        if (json) {
            writeJson(findings, out);
        } else {
            writeText(findings, out);
        }
        out.flush();
        return 0;
    }

    private static void writeText(List<Finding> findings, PrintWriter out) {
        int width = findings.stream().mapToInt(f -> f.name().length()).max().orElse(0);
        for (Finding finding : findings) {
            String mark = switch (finding.state()) {
                case ok -> "yes ";
                case missing -> "no  ";
                case info -> "    ";
            };
            out.println(mark + finding.name() + " ".repeat(width + 2 - finding.name().length()) + finding.detail());
            if (!finding.remedy().isEmpty()) {
                out.println(" ".repeat(width + 6) + "-> " + finding.remedy());
            }
        }
    }

    private static void writeJson(List<Finding> findings, PrintWriter out) throws IOException {
        try (JsonGenerator generator = new JsonFactory()
                .createGenerator(out)
                .useDefaultPrettyPrinter()
                .disable(JsonGenerator.Feature.AUTO_CLOSE_TARGET)) {
            generator.writeStartArray();
            for (Finding finding : findings) {
                generator.writeStartObject();
                generator.writeStringField("name", finding.name());
                generator.writeStringField("state", finding.state().name());
                generator.writeStringField("detail", finding.detail());
                generator.writeStringField("remedy", finding.remedy());
                generator.writeEndObject();
            }
            generator.writeEndArray();
        }
        out.println();
    }
}
