// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.supervisor;

import dev.alcove.sys.trace.SupervisedTrace;
import org.jspecify.annotations.Nullable;

/** Puts the calls of the program into a trace, by the names that calls have there. */
final class CallTrace {
    private final SupervisedTrace trace;
    private final Host host;

    CallTrace(SupervisedTrace trace, Host host) {
        this.trace = trace;
        this.host = host;
    }

    /** A call begins; null when it is none that a trace has. */
    SupervisedTrace.@Nullable Line begin(Client client, Notification call) {
        return switch (call.number()) {
            case Numbers.OPEN -> open(client, Host.AT_FDCWD, call.a()).with("flags", call.b()).with("mode", call.c());
            case Numbers.OPENAT -> open(client, (int) call.a(), call.b()).with("flags", call.c()).with("mode", call.d());
            case Numbers.OPENAT2 -> open(client, (int) call.a(), call.b());
            case Numbers.IOCTL -> on(client, "ioctl", call).ioctl((int) call.b(), call.c());
            case Numbers.READ -> on(client, "read", call).with("size", call.c());
            case Numbers.WRITE -> on(client, "write", call).input(call.b(), call.c());
            case Numbers.PREAD64 -> on(client, "pread", call).with("size", call.c()).with("offset", call.d());
            case Numbers.PWRITE64 -> on(client, "pwrite", call).input(call.b(), call.c()).with("offset", call.d());
            case Numbers.LSEEK -> on(client, "lseek", call).with("offset", call.b()).with("whence", call.c());
            case Numbers.FSTAT, Numbers.NEWFSTATAT -> on(client, "fstat", call);
            case Numbers.FTRUNCATE -> on(client, "ftruncate", call).with("length", call.b());
            case Numbers.FALLOCATE -> on(client, "fallocate", call)
                    .with("mode", call.b())
                    .with("offset", call.c())
                    .with("length", call.d());
            case Numbers.GETDENTS64 -> on(client, "getdents64", call).with("size", call.c());
            case Numbers.DUP -> on(client, "dup", call);
            case Numbers.FCNTL -> on(client, "fcntl", call).with("command", call.b()).with("argument", call.c());
            case Numbers.READLINK -> trace.begin(client, "readlink").with("path", text(client, call.a()));
            case Numbers.MEMFD_CREATE -> trace.begin(client, "memfd_create")
                    .with("name", text(client, call.a()))
                    .with("flags", call.b());
            case Numbers.MMAP -> trace.begin(client, "mmap")
                    .at("address", call.a())
                    .with("length", call.b())
                    .with("protection", call.c())
                    .with("flags", call.d())
                    .with("fd", (long) (int) call.e())
                    .with("offset", call.f());
            case Numbers.MADVISE -> trace.begin(client, "madvise")
                    .at("address", call.a())
                    .with("length", call.b())
                    .with("advice", call.c());
            default -> null;
        };
    }

    /** Where a call has put what was read; 0 where it reads nothing. */
    static long output(Notification call) {
        return switch (call.number()) {
            case Numbers.READ, Numbers.PREAD64, Numbers.GETDENTS64, Numbers.READLINK -> call.b();
            default -> 0;
        };
    }

    private SupervisedTrace.Line on(Client client, String name, Notification call) {
        return trace.begin(client, name).with("fd", (long) (int) call.a());
    }

    private SupervisedTrace.Line open(Client client, int directory, long path) {
        SupervisedTrace.Line line = trace.begin(client, "open").with("path", text(client, path));
        return directory == Host.AT_FDCWD ? line : line.with("directory", (long) directory);
    }

    private String text(Client client, long address) {
        String text = host.copyString(client.tid(), address);
        return text == null ? "" : text;
    }
}
