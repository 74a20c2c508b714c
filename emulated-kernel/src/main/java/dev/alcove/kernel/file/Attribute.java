// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.file;

import dev.alcove.kernel.task.Task;
import dev.alcove.sys.Errno;

/** What is behind a text file of procfs, sysfs or debugfs. Both methods may run on several threads at once. */
@FunctionalInterface
public interface Attribute {
    /** The text, made anew whenever somebody reads from the start. */
    String read(Task task);

    /**
     * One write(2), whatever its offset.
     *
     * @return 0 when all of it was taken, or a negated errno
     */
    default long write(Task task, String text) {
        return -Errno.EINVAL;
    }

    /** Takes the text of one write: 0, or a negated errno. */
    @FunctionalInterface
    interface Writer {
        long write(Task task, String text);
    }

    /** One that can be written too. */
    static Attribute of(Attribute reader, Writer writer) {
        return new Attribute() {
            @Override
            public String read(Task task) {
                return reader.read(task);
            }

            @Override
            public long write(Task task, String text) {
                return writer.write(task, text);
            }
        };
    }
}
