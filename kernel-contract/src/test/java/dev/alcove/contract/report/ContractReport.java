// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract.report;

import dev.alcove.contract.report.TestResult.Outcome;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.function.Function;
import java.util.function.Predicate;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/**
 * The results of all kernels as one table, surface by kernel. A test <em>differs</em> where it fails: the kernels, or the
 * test and a kernel, do not agree.
 *
 * @param results a test on a kernel at most once
 */
public record ContractReport(List<TestResult> results) {
    /** The results of the {@code .jsonl} files in folders; of a test on a kernel that is there twice, the last. */
    static ContractReport read(Stream<Path> folders) throws IOException {
        Map<List<String>, TestResult> results = new TreeMap<>((a, b) -> String.join("\0", a).compareTo(String.join("\0", b)));
        for (Path folder : folders.toList()) {
            List<Path> files;
            try (Stream<Path> list = Files.list(folder)) {
                files = list.filter(file -> file.toString().endsWith(".jsonl")).sorted().toList();
            }
            for (Path file : files) {
                for (String line : Files.readAllLines(file)) {
                    TestResult result = TestResult.fromJson(line);
                    results.put(List.of(result.surface(), result.test(), result.kernel()), result);
                }
            }
        }
        return new ContractReport(List.copyOf(results.values()));
    }

    /** Writes {@code contract.md} and {@code contract.html} beside a folder of results. */
    void writeBeside(Path folder) throws IOException {
        Files.writeString(folder.toAbsolutePath().resolveSibling("contract.md"), markdown());
        Files.writeString(folder.toAbsolutePath().resolveSibling("contract.html"), new HtmlReport(this).text());
    }

    List<String> kernels() {
        return results.stream().map(TestResult::kernel).distinct().sorted().toList();
    }

    List<String> surfaces() {
        return results.stream().map(TestResult::surface).distinct().sorted().toList();
    }

    /** One line: how many tests, runs, kernels, differences. */
    String title() {
        long tests = results.stream().map(TestResult::test).distinct().count();
        return "The contract: %d tests, %d runs on %d kernels, %d skipped, %d differ".formatted(tests,
                count(result -> result.outcome() != Outcome.SKIP), kernels().size(),
                count(result -> result.outcome() == Outcome.SKIP), differences().size());
    }

    /** A cell of the table: what the tests of a surface did on a kernel. */
    String cell(String kernel, Predicate<TestResult> of) {
        Map<Outcome, Long> counts = results.stream().filter(result -> result.kernel().equals(kernel)).filter(of)
                .collect(Collectors.groupingBy(TestResult::outcome, Collectors.counting()));
        List<String> parts = new ArrayList<>();
        for (Outcome outcome : Outcome.values()) {
            long count = counts.getOrDefault(outcome, 0L);
            if (count > 0) {
                parts.add(count + " " + (outcome == Outcome.FAIL ? "differ" : outcome.name().toLowerCase(Locale.ROOT)));
            }
        }
        return String.join(", ", parts);
    }

    /** A line for each test that fails somewhere: on which kernels, with what. */
    Map<String, List<String>> differences() {
        Map<String, List<String>> lines = new TreeMap<>();
        results.stream().filter(result -> result.outcome() == Outcome.FAIL).forEach(result -> lines
                .computeIfAbsent(result.test(), test -> new ArrayList<>())
                .add(result.kernel() + ": " + result.reason()));
        return lines;
    }

    /** Tests that a release runs and its emulation skips, or the other way round: what the emulation has too little or too much. */
    Map<String, List<String>> uneven() {
        Map<String, List<String>> lines = new TreeMap<>();
        for (String real : kernels()) {
            String emulated = real.replaceFirst("^lab ", "emulated ");
            Map<String, TestResult> theirs = results.stream().filter(result -> result.kernel().equals(emulated))
                    .collect(Collectors.toMap(TestResult::test, Function.identity()));
            for (TestResult result : results) {
                TestResult other = result.kernel().equals(real) ? theirs.get(result.test()) : null;
                if (other != null && (result.outcome() == Outcome.SKIP) != (other.outcome() == Outcome.SKIP)) {
                    TestResult skipped = result.outcome() == Outcome.SKIP ? result : other;
                    lines.computeIfAbsent(result.test(), test -> new ArrayList<>()).add(skipped.reason());
                }
            }
        }
        return lines;
    }

    /** Why tests were skipped, without the kernel's name, to how often and where; the most frequent first. */
    Map<String, List<TestResult>> skips() {
        Map<String, List<TestResult>> groups = results.stream().filter(result -> result.outcome() == Outcome.SKIP)
                .collect(Collectors.groupingBy(ContractReport::bareReason, TreeMap::new, Collectors.toList()));
        Map<String, List<TestResult>> ordered = new LinkedHashMap<>();
        groups.entrySet().stream().sorted((a, b) -> Integer.compare(b.getValue().size(), a.getValue().size()))
                .forEach(entry -> ordered.put(entry.getKey(), entry.getValue()));
        return ordered;
    }

    private static String bareReason(TestResult skip) {
        String reason = skip.reason().isEmpty() ? "no reason given" : skip.reason();
        return reason.startsWith(skip.kernel() + " ") ? reason.substring(skip.kernel().length() + 1) : reason;
    }

    /** The kernels of some results, each once. */
    static String kernelsOf(List<TestResult> some) {
        return String.join(", ", some.stream().map(TestResult::kernel).collect(Collectors.toCollection(TreeSet::new)));
    }

    private long count(Predicate<TestResult> which) {
        return results.stream().filter(which).count();
    }

    /** The report as Markdown. */
    String markdown() {
        StringBuilder text = new StringBuilder("# " + title() + "\n\n");
        text.append("| surface | ").append(String.join(" | ", kernels())).append(" |\n");
        text.append("|---".repeat(kernels().size() + 1)).append("|\n");
        for (String surface : surfaces()) {
            row(text, surface, result -> result.surface().equals(surface));
        }
        row(text, "**all**", result -> true);
        section(text, "What differs", differences());
        section(text, "Run on a kernel, skipped on its emulation, or the other way round", uneven());
        if (!skips().isEmpty()) {
            text.append("\n## Skipped\n\n| times | kernels | reason |\n|---|---|---|\n");
            skips().forEach((reason, some) -> text.append("| %d | %s | %s |%n".formatted(some.size(), kernelsOf(some),
                    reason.replace("|", "\\|"))));
        }
        return text.toString();
    }

    private void row(StringBuilder text, String name, Predicate<TestResult> of) {
        text.append("| ").append(name);
        kernels().forEach(kernel -> text.append(" | ").append(cell(kernel, of)));
        text.append(" |\n");
    }

    private static void section(StringBuilder text, String title, Map<String, List<String>> lines) {
        if (!lines.isEmpty()) {
            text.append("\n## ").append(title).append("\n\n");
            lines.forEach((test, reasons) -> {
                text.append("- ").append(test).append('\n');
                reasons.forEach(reason -> text.append("  - ").append(reason).append('\n'));
            });
        }
    }

    /**
     * Merges the results in folders into {@code contract.md} and {@code contract.html} beside the first one, and prints
     * the Markdown. Exit status 1 when something differs, 3 when there are no results.
     *
     * @param args the folders
     */
    @SuppressWarnings("SystemOut") // a command
    public static void main(String[] args) throws IOException {
        ContractReport report;
        try {
            report = read(Stream.of(args).map(Path::of));
        } catch (NoSuchFileException e) {
            report = new ContractReport(List.of());
        }
        if (report.results().isEmpty()) {
            System.err.println("contract: no results in " + String.join(" ", args));
            System.exit(3);
        }
        report.writeBeside(Path.of(args[0]));
        System.out.print(report.markdown());
        System.exit(report.differences().isEmpty() ? 0 : 1);
    }
}
