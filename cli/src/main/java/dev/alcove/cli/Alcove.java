// SPDX-License-Identifier: Apache-2.0
package dev.alcove.cli;

import dev.alcove.sys.AlcoveException;
import dev.alcove.vmm.VmOutcome;
import java.io.OutputStreamWriter;
import java.io.PrintWriter;
import java.nio.charset.Charset;
import java.util.Objects;
import org.jspecify.annotations.Nullable;
import picocli.AutoComplete;
import picocli.CommandLine;
import picocli.CommandLine.Command;

/** The command line, and the only place that ends the JVM. */
@Command(
        name = "alcove",
        mixinStandardHelpOptions = true,
        versionProvider = Version.class,
        description = "Launches confidential test VMs and keeps devices out of their private memory.",
        synopsisSubcommandLabel = "COMMAND",
        exitCodeListHeading = "%nExit status:%n",
        exitCodeList = {
            "0:the guest reported success",
            "1:the guest reported failure, or crashed",
            "2:bad usage or a bad image",
            "3:the host lacks something",
            "4:an invariant was violated",
            "5:timeout",
            "70:a defect of alcove itself"
        },
        subcommands = {
            RunCommand.class,
            ReplayCommand.class,
            ReportCommand.class,
            DoctorCommand.class,
            ImagesCommand.class,
            FuzzCommand.class,
            ExploreCommand.class,
            ExecCommand.class,
            AutoComplete.GenerateCompletion.class,
            CommandLine.HelpCommand.class
        })
public final class Alcove implements Runnable {
    private static final int DEFECT = 70;

    @CommandLine.Spec
    private CommandLine.Model.@Nullable CommandSpec spec;

    /** Runs the command and ends the JVM with its status. */
    public static void main(String[] arguments) {
        PrintWriter errors = new PrintWriter(new OutputStreamWriter(System.err, Charset.defaultCharset()), true);
        System.exit(execute(arguments, errors));
    }

    /** {@link #execute(String[], PrintWriter, PrintWriter)} with the process's own standard output. */
    static int execute(String[] arguments, PrintWriter errors) {
        return execute(arguments, new PrintWriter(System.out, true, Charset.defaultCharset()), errors);
    }

    /**
     * Runs the command.
     *
     * @param out gets what a command prints, but for a guest's console
     * @param errors gets what goes wrong
     * @return the exit status
     */
    static int execute(String[] arguments, PrintWriter out, PrintWriter errors) {
        CommandLine line = new CommandLine(new Alcove());
        line.setOut(out);
        line.setErr(errors);
        line.setCaseInsensitiveEnumValuesAllowed(true);
        line.setExecutionExceptionHandler((error, command, _) -> report(error, command));
        line.setParameterExceptionHandler((error, _) -> {
            Throwable cause = error.getCause();
            if (cause instanceof AlcoveException bad) {
                say(errors, bad.getMessage(), bad.hint());
            } else {
                say(errors, error.getMessage(), null);
            }
            String name = error.getCommandLine().getCommandSpec().qualifiedName();
            errors.println("Try '" + name + " --help' for more information.");
            return CommandLine.ExitCode.USAGE;
        });
        line.setExecutionStrategy(new CommandLine.RunLast());
        // What follows the program's name is the program's.
        Objects.requireNonNull(line.getSubcommands().get("exec")).setStopAtPositional(true);
        return line.execute(arguments);
    }

    private static int report(Exception error, CommandLine command) {
        PrintWriter errors = command.getErr();
        if (error instanceof AlcoveException known) {
            say(errors, known.getMessage(), known.hint());
            return VmOutcome.of(known).status();
        }
        say(errors, "defect: " + error, "please report it with what is below");
        error.printStackTrace(errors);
        return DEFECT;
    }

    /** One line that starts with the program's name, and the hint on the next. */
    static void say(PrintWriter errors, @Nullable String message, @Nullable String hint) {
        errors.println("alcove: " + message);
        if (hint != null) {
            errors.println("  hint: " + hint);
        }
        errors.flush();
    }

    @Override
    public void run() {
        CommandLine.Model.CommandSpec present = spec;
        if (present != null) {
            throw new CommandLine.ParameterException(present.commandLine(), "which command? run, replay, doctor or images");
        }
    }
}
