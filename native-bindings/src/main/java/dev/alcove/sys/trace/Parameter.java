// SPDX-License-Identifier: Apache-2.0
package dev.alcove.sys.trace;

import java.lang.foreign.GroupLayout;
import java.lang.foreign.MemoryLayout;
import java.lang.foreign.ValueLayout;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * One parameter of a system call.
 *
 * @param name in a trace
 * @param role what a number or text stands for; for a struct that comes back, whether it is compared
 */
record Parameter(String name, Kind kind, Role role) {
    /** How it is passed. */
    enum Kind {
        NUMBER,
        TEXT,
        /** Memory that the kernel reads. */
        INPUT,
        /** Memory that the kernel fills as far as its answer says. */
        OUTPUT,
        /** A struct, or null, that the kernel reads. */
        IN_STRUCT,
        /** A struct, or null, that the kernel fills. */
        OUT_STRUCT,
        /** An array of struct pollfd. */
        POLLFDS,
        /** What an ioctl's argument points to. */
        ARGUMENT
    }

    /** {@code struct pollfd}. */
    static final GroupLayout POLLFD = MemoryLayout.structLayout(
            ValueLayout.JAVA_INT.withName("fd"),
            ValueLayout.JAVA_SHORT.withName("events"),
            ValueLayout.JAVA_SHORT.withName("revents"));

    private static final GroupLayout SIGNALS =
            MemoryLayout.structLayout(ValueLayout.JAVA_LONG.withName("signals")).withName("sigset");
    private static final GroupLayout LIMIT = MemoryLayout.structLayout(
                    ValueLayout.JAVA_LONG.withName("soft"), ValueLayout.JAVA_LONG.withName("hard"))
            .withName("rlimit64");

    private static final Map<String, GroupLayout> STRUCTS = Map.of(
            "stat", stat(), "utsname", utsname(), "newLimit", LIMIT, "oldLimit", LIMIT, "set", SIGNALS, "old", SIGNALS);

    /** The layout of a struct that is always the same one. */
    @Nullable GroupLayout struct() {
        return STRUCTS.get(name);
    }

    private static GroupLayout utsname() {
        MemoryLayout field = MemoryLayout.sequenceLayout(65, ValueLayout.JAVA_BYTE);
        return MemoryLayout.structLayout(
                        field.withName("sysname"),
                        field.withName("nodename"),
                        field.withName("release"),
                        field.withName("version"),
                        field.withName("machine"),
                        field.withName("domainname"))
                .withName("utsname");
    }

    private static GroupLayout stat() {
        MemoryLayout time = MemoryLayout.sequenceLayout(2, ValueLayout.JAVA_LONG);
        return MemoryLayout.structLayout(
                        ValueLayout.JAVA_LONG.withName("st_dev"),
                        ValueLayout.JAVA_LONG.withName("st_ino"),
                        ValueLayout.JAVA_LONG.withName("st_nlink"),
                        ValueLayout.JAVA_INT.withName("st_mode"),
                        ValueLayout.JAVA_INT.withName("st_uid"),
                        ValueLayout.JAVA_INT.withName("st_gid"),
                        MemoryLayout.paddingLayout(4),
                        ValueLayout.JAVA_LONG.withName("st_rdev"),
                        ValueLayout.JAVA_LONG.withName("st_size"),
                        ValueLayout.JAVA_LONG.withName("st_blksize"),
                        ValueLayout.JAVA_LONG.withName("st_blocks"),
                        time.withName("st_atim"),
                        time.withName("st_mtim"),
                        time.withName("st_ctim"),
                        MemoryLayout.paddingLayout(24))
                .withName("stat");
    }
}
