// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.supervisor;

import dev.alcove.kernel.mm.LockedMemory;
import org.jspecify.annotations.Nullable;

/**
 * A process of the program, from one execve to the next.
 *
 * @param pid its number
 * @param directory of it in procfs
 * @param image tells one program that it executes from another
 * @param memory its address space
 * @param userLocked pages locked by its user
 * @param foreign its files that are none of the emulated kernel's
 * @param window where its descriptors of the emulated kernel go
 */
record ClientProcess(
        int pid,
        int directory,
        String image,
        ClientMemory memory,
        LockedMemory userLocked,
        ForeignFiles foreign,
        Window window) {

    /** A range of descriptor numbers, handed out in a circle. Thread safe. */
    static final class Window {
        private final Host host;
        private final int start;
        private final int end;
        private int next;

        Window(Host host, int start, int end) {
            this.host = host;
            this.start = start;
            this.end = end;
            next = start;
        }

        /** A number that is free with a thread, or -1. */
        synchronized int free(int directory) {
            for (int tried = start; tried < end; tried++) {
                int number = next;
                next = next + 1 < end ? next + 1 : start;
                if (host.readLink(directory, "fd/" + number).isEmpty()) {
                    return number;
                }
            }
            return -1;
        }
    }

    int windowNumber(int threadDirectory) {
        return window.free(threadDirectory);
    }

    /**
     * What tells one executed program from another: where its image and its arguments are. Null when the process is
     * gone.
     *
     * @param directory of a process or thread in procfs
     */
    static @Nullable String image(Host host, int directory) {
        String stat = host.readText(directory, "stat");
        if (stat == null) {
            return null;
        }
        // Field 3 is the first behind the name, which may have any character in it.
        String[] fields = stat.substring(stat.lastIndexOf(')') + 2).split(" ", -1);
        return fields.length < 50 ? "" : fields[26 - 3] + " " + fields[28 - 3] + " " + fields[48 - 3];
    }
}
