// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract.report;

import dev.alcove.contract.KernelUnderTest;
import dev.alcove.contract.Surface;
import dev.alcove.contract.report.TestResult.Outcome;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.io.Writer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import org.junit.platform.commons.support.AnnotationSupport;
import org.junit.platform.engine.TestExecutionResult;
import org.junit.platform.engine.support.descriptor.ClassSource;
import org.junit.platform.engine.support.descriptor.MethodSource;
import org.junit.platform.launcher.TestExecutionListener;
import org.junit.platform.launcher.TestIdentifier;
import org.junit.platform.launcher.TestPlan;

/**
 * Writes what becomes of each test into the folder that the system property {@value #FOLDER} names, a file per kernel;
 * without the property it does nothing. A result is in its file before the next test starts, so that a run that is cut
 * short has left what it had.
 *
 * <p>A test whose name does not begin with a kernel's compares the real kernel with another, and counts for the real one.
 */
public final class ResultWriter implements TestExecutionListener {
    static final String FOLDER = "alcove.contract.results";

    private final @Nullable Path folder =
            Optional.ofNullable(System.getProperty(FOLDER)).map(Path::of).orElse(null);
    private final Map<String, Writer> files = new HashMap<>();

    /** What is left when the test never ends: its result, once there is one, takes the place of this. */
    @Override
    public synchronized void executionStarted(TestIdentifier test) {
        if (test.isTest()) {
            result(test, Outcome.FAIL, "did not end");
        }
    }

    @Override
    public synchronized void executionSkipped(TestIdentifier test, String reason) {
        result(test, Outcome.SKIP, reason);
    }

    @Override
    public synchronized void executionFinished(TestIdentifier test, TestExecutionResult result) {
        Outcome outcome = switch (result.getStatus()) {
            case SUCCESSFUL -> Outcome.PASS;
            case ABORTED -> Outcome.SKIP;
            case FAILED -> Outcome.FAIL;
        };
        if (test.isTest() || outcome != Outcome.PASS) {
            result(test, outcome, result.getThrowable().map(thrown -> reason(test, outcome, thrown)).orElse(""));
        }
    }

    @Override
    public synchronized void testPlanExecutionFinished(TestPlan plan) {
        try {
            for (Writer file : files.values()) {
                file.close();
            }
            if (folder != null && !files.isEmpty()) {
                ContractReport.read(Stream.of(folder)).writeBeside(folder);
            }
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        files.clear();
    }

    private void result(TestIdentifier test, Outcome outcome, String reason) {
        Named named = named(test);
        if (folder == null || named == null) {
            return;
        }
        try {
            Writer file = files.get(named.kernel());
            if (file == null) {
                Files.createDirectories(folder);
                file = Files.newBufferedWriter(folder.resolve(named.kernel().replace(' ', '-') + ".jsonl"));
                files.put(named.kernel(), file);
            }
            file.write(new TestResult(named.test(), named.surface(), named.kernel(), outcome, reason).toJson() + "\n");
            file.flush();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private record Named(String test, String surface, String kernel) {}

    /** What a test is called in the report; null if it is not a test of a kernel. */
    private static @Nullable Named named(TestIdentifier test) {
        Object source = test.getSource().orElse(null);
        Class<?> type;
        String name;
        Optional<Surface> surface;
        if (source instanceof MethodSource method) {
            type = method.getJavaClass();
            name = type.getSimpleName() + "." + method.getMethodName();
            surface = AnnotationSupport.findAnnotation(method.getJavaMethod(), Surface.class)
                    .or(() -> AnnotationSupport.findAnnotation(type, Surface.class));
        } else if (source instanceof ClassSource container) {
            type = container.getJavaClass();
            name = type.getSimpleName();
            surface = AnnotationSupport.findAnnotation(type, Surface.class);
        } else {
            return null;
        }
        String shown = test.getDisplayName();
        String kernel = KernelUnderTest.names().filter(k -> shown.equals(k) || shown.startsWith(k + ", "))
                .findFirst().orElse(null);
        if (kernel == null && (surface.isEmpty() || !KernelUnderTest.realChosen())) {
            return null;
        }
        String argument = kernel == null ? shown : shown.substring(kernel.length()).replaceFirst("^, ", "");
        boolean invocation = test.isTest() && !argument.isEmpty() && !argument.startsWith(name.replaceFirst(".*\\.", "") + "(");
        return new Named(invocation ? name + "[" + argument + "]" : name,
                surface.map(Surface::value).orElse("of no named surface"),
                kernel == null ? KernelUnderTest.realName() : kernel);
    }

    /** The first line of what was thrown; of a failure also where in the test. */
    private static String reason(TestIdentifier test, Outcome outcome, Throwable thrown) {
        String message = Objects.requireNonNullElse(thrown.getMessage(), thrown.toString()).strip();
        String line = message.lines().findFirst().orElse("").replaceFirst("^Assumption failed: ", "");
        if (outcome == Outcome.SKIP) {
            return line;
        }
        String type = thrown instanceof AssertionError ? "" : thrown.getClass().getSimpleName() + ": ";
        String suite = test.getSource().filter(MethodSource.class::isInstance).map(MethodSource.class::cast)
                .map(MethodSource::getClassName).orElse("");
        return type + line + Stream.of(thrown.getStackTrace()).filter(frame -> frame.getClassName().startsWith(suite))
                .findFirst().map(frame -> " (" + frame.getFileName() + ":" + frame.getLineNumber() + ")").orElse("");
    }
}
