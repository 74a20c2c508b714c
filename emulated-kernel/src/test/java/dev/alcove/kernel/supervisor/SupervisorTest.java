// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.supervisor;

import dev.alcove.kernel.EmulatedKernel;
import dev.alcove.kernel.KernelProfile;
import dev.alcove.kernel.file.Attribute;
import dev.alcove.sys.Errno;
import dev.alcove.sys.HostSyscalls;
import dev.alcove.sys.MissingFeatureException;
import dev.alcove.sys.SyscallException;
import dev.alcove.sys.trace.SupervisedTrace;
import dev.alcove.sys.trace.TraceHeader;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CopyOnWriteArrayList;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

/** Programs of other languages on the emulated kernel: their sources are in src/test/c and src/test/python. */
@Timeout(value = 120, threadMode = Timeout.ThreadMode.SEPARATE_THREAD)
class SupervisorTest extends SupervisedPrograms {
    private final List<String> hints = new ArrayList<>();

    @ParameterizedTest
    @ValueSource(strings = {"iommufd", "lifetime", "kvm", "vfio", "huge", "unmap", "reopen"})
    void clientInC(String name) throws IOException, InterruptedException {
        succeeds(compiled(name).toString());
    }

    /** Memory that a guest or a device is to have becomes shared by itself. */
    @ParameterizedTest
    @ValueSource(strings = {"kvm", "vfio"})
    void privateMemory(String name) throws IOException, InterruptedException {
        succeeds(compiled(name) + " private");
    }

    /** Seed 3 is killed in the middle. */
    @ParameterizedTest
    @ValueSource(ints = {1, 2, 3, 4, 5})
    void hostileClient(int seed) throws IOException, InterruptedException {
        int status = run(compiled("hostile") + " " + seed + " 10000", folder.resolve("hostile.txt"));
        assertEquals(seed % 3 == 0 ? 128 + 9 : 0, status);
    }

    @Test
    void eventQueuesCanBePolled() throws IOException, InterruptedException {
        Path output = folder.resolve("events.txt");
        int status = run(compiled("events").toString(), output, EmulatedKernel::enableIommufdTest);
        assertEquals("status 0\n", "status " + status + "\n" + Files.readString(output));
    }

    /** What a shell redirects has a number that the filter does not look at. */
    @Test
    void redirectionOfAShell() throws IOException, InterruptedException {
        Path output = folder.resolve("redirection.txt");
        String pages = "/proc/sys/vm/nr_hugepages";
        String script = """
                echo 9 > PAGES && cat PAGES
                cd /proc/sys/vm && (echo 11) > nr_hugepages && cat < nr_hugepages && cd / || exit 1
                echo many > PAGES 2> /dev/null && exit 1
                read pages < PAGES && echo $pages
                sh -c 'echo 2; echo 3' > PAGES && cat PAGES
                for pages in 1 2 3 4 5; do echo $pages > PAGES || exit 1; done
                echo still `cat PAGES`
                """.replace("PAGES", pages);
        Path file = Files.writeString(folder.resolve("redirection.sh"), script);
        assertEquals(0, run("sh " + file, output));
        assertEquals("9\n11\n11\n3\nstill 5\n", Files.readString(output));
    }

    /** The program's end is told to whoever traces it, and yet its status is known. */
    @ParameterizedTest
    @ValueSource(strings = {"exit 6", "kill -9 $$"})
    void endOfAProgramThatIsFollowed(String end) throws InterruptedException {
        String command = "exec > /proc/sys/vm/nr_hugepages; echo 3; " + end;
        assertEquals(end.startsWith("exit") ? 6 : 128 + 9, run(command, folder.resolve("followed.txt")));
    }

    @Test
    void filesOfTheKernelsOwnTrees() throws IOException, InterruptedException {
        Map<Integer, String> knobs = new ConcurrentHashMap<>();
        List<String> written = new CopyOnWriteArrayList<>();
        Path output = folder.resolve("files.txt");
        int status = run(compiled("files").toString(), output, kernel -> {
            kernel.vfs().addTaskText("knob", 0644, thread -> Attribute.of(
                    task -> knobs.getOrDefault(thread, "0") + "\n",
                    (task, text) -> text.matches("[0-9]+") && knobs.put(thread, text) == null ? 0 : -Errno.EINVAL));
            kernel.vfs().addText("/sys/kernel/alcove/value", "value\n");
            kernel.vfs().addText("/sys/kernel/alcove/deep/value", "deeper\n");
            kernel.vfs().addLink("/sys/kernel/alcove/link", "deep/value");
            kernel.vfs().addText("/sys/kernel/alcove/deep/written", 0644, Attribute.of(task -> "", (task, text) -> {
                written.add(text);
                return 0;
            }));
            kernel.vfs().claim("/sys/kernel/alcove/", true);
        });
        assertEquals("status 0\n", "status " + status + "\n" + Files.readString(output));
        assertEquals(2, knobs.size());
        assertEquals(List.of("42"), written);
    }

    @Test
    void processorsOfTheMachine() throws IOException, InterruptedException {
        Path output = folder.resolve("processors.txt");
        String command = "nproc; getconf _NPROCESSORS_CONF; cat /sys/devices/system/cpu/online; taskset -c 70 nproc;"
                + " taskset -c 71 true 2> /dev/null || echo none";
        assertEquals(0, run(command, output, kernel -> {}, supervisor -> supervisor.setProcessors(71)));
        assertEquals("71\n71\n0-70\n1\nnone\n", Files.readString(output));
    }

    @Test
    void traceOfTheCallsThatAreAnswered() throws IOException, InterruptedException {
        ByteArrayOutputStream trace = new ByteArrayOutputStream();
        TraceHeader header = new TraceHeader("emulated", "7.2", List.of("iommufd"), 0, 0, List.of(), true);
        int status;
        try (SupervisedTrace into = new SupervisedTrace(trace, header)) {
            status = run(
                    compiled("kvm").toString() + " private; echo 3 > /proc/sys/vm/nr_hugepages",
                    folder.resolve("trace.txt"),
                    kernel -> {},
                    supervisor -> supervisor.traceTo(into));
            into.ended(status);
        }
        assertEquals(0, status);
        List<String> lines = trace.toString(StandardCharsets.UTF_8).lines().toList();
        assertTrue(lines.getFirst().contains("\"supervised\":1"), lines.getFirst());
        assertEquals("{\"end\":" + (lines.size() - 2) + ",\"status\":0}", lines.getLast());
        for (String expected : List.of(
                "\"call\":\"open\",\"path\":\"/dev/kvm\"",
                "\"file\":\"kvm-vm\",\"request\":\"KVM_SET_USER_MEMORY_REGION",
                "\"request\":\"KVM_RUN\",\"arg\":0,\"answer\":0,\"exit\":{\"reason\":\"KVM_EXIT_",
                "\"file\":\"/proc/sys/vm/nr_hugepages\",\"size\":2,\"buffer\":{\"text\":\"3\\n\"},\"answer\":2")) {
            assertTrue(lines.stream().anyMatch(line -> line.contains(expected)), expected + " in " + lines);
        }
    }

    @Test
    void clientInPython() throws IOException, InterruptedException {
        Path output = folder.resolve("python.txt");
        int status = run("command -v python3 || exit 42; python3 " + source("python/client.py"), output);
        assumeTrue(status != 42, "python3 is not there");
        String text = Files.readString(output);
        assertEquals("status 0, hello", "status " + status + ", " + text.lines().toList().getLast());
    }

    @Test
    void programsWithoutInterestInTheKernelRunAsTheyAre() throws IOException, InterruptedException {
        Path output = folder.resolve("words.txt");
        assertEquals(0, run("printf 'b\\na\\n' | sort | cat; [ -e /dev/null ]", output));
        assertEquals("a\nb\n", Files.readString(output));
    }

    @Test
    void statusIsTheProgramsOrSaysWhichSignal() throws InterruptedException {
        assertEquals(7, run("exit 7", folder.resolve("status.txt")));
        assertEquals(128 + 9, run("kill -9 $$", folder.resolve("signal.txt")));
    }

    @Test
    void grandchildIsServedAfterItsParentHasGone() throws IOException, InterruptedException {
        Path mark = folder.resolve("mark");
        String client = compiled("iommufd").toString();
        assertEquals(5, run("(sleep 0.2; " + client + " && echo done > " + mark + ") & exit 5", folder.resolve("g.txt")));
        assertEquals("done\n", Files.readString(mark));
    }

    @Test
    void programThatDoesNotExist() {
        try (EmulatedKernel kernel = new EmulatedKernel(KernelProfile.linux7_2(), new HostSyscalls())) {
            Supervisor supervisor = new Supervisor(kernel, troubles::add);
            Path missing = folder.resolve("missing");
            assertThrows(SyscallException.class, () -> supervisor.run(missing, List.of("missing"), List.of()));
        }
    }

    @Test
    void nestedSupervisionSaysWhyNot() throws InterruptedException {
        // The filter of a thread is for ever: one that has a listener cannot have another.
        Thread thread = Thread.ofPlatform().start(() -> {
            Host host = new Host();
            try (Listener _ = Listener.install(host, Filter.of(host, 1024, false, false))) {
                MissingFeatureException error = assertThrows(
                        MissingFeatureException.class, () -> Listener.install(host, Filter.of(host, 1024, false, false)));
                hints.add(String.valueOf(error.hint()));
            } catch (MissingFeatureException unsupported) {
                hints.add("nested, as this host supports none");
            }
        });
        assertTrue(thread.join(Duration.ofMinutes(1)));
        assertTrue(hints.getFirst().contains("nested"), hints.toString());
    }
}
