// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.file;

import dev.alcove.kernel.task.Task;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.IntFunction;
import org.jspecify.annotations.Nullable;

/** The files of threads and processes in /proc: one entry stands for the file of every thread. Thread safe. */
final class TaskFiles {
    private static final int OF_PROCESS = 3;
    private static final int OF_THREAD = 5;

    private final Map<String, IntFunction<Vfs.Node>> files = new ConcurrentHashMap<>();

    /** @param file makes the file of a thread, by its number */
    void add(String name, IntFunction<Vfs.Node> file) {
        files.put(name, file);
    }

    /** Whether a path, by its names, is where such a file is, if there is the thread. */
    boolean named(List<String> names) {
        boolean process = names.size() == OF_PROCESS;
        boolean thread = names.size() == OF_THREAD && names.get(2).equals("task");
        return (process || thread) && files.containsKey(names.getLast());
    }

    /** The file at a path; null when there is no such file, or no such thread. */
    Vfs.@Nullable Node find(Task task, List<String> names) {
        if (!named(names) || !names.getFirst().equals("proc")) {
            return null;
        }
        int process = switch (names.get(1)) {
            case "self", "thread-self" -> task.tgid();
            default -> number(names.get(1));
        };
        int thread = process;
        if (names.size() == OF_THREAD) {
            thread = number(names.get(3));
        } else if (names.get(1).equals("thread-self")) {
            thread = task.tid();
        }
        IntFunction<Vfs.Node> file = files.get(names.getLast());
        return file != null && process > 0 && thread > 0 && task.sees(process, thread) ? file.apply(thread) : null;
    }

    private static int number(String name) {
        boolean digits = !name.isEmpty() && name.length() < 10 && name.chars().allMatch(c -> c >= '0' && c <= '9');
        return digits ? Integer.parseInt(name) : -1;
    }
}
