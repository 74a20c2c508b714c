// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.supervisor;

import dev.alcove.kernel.file.OpenFile;

/**
 * Copies of the emulated kernel's descriptors: dup(2) and its kind, and the rest of fcntl(2). The filter looks at reads
 * and writes in a window of numbers only. Where the program leaves the choice of the number to the kernel it gets one in
 * there; where it does not, it is followed.
 */
final class Copies {
    private static final int F_DUPFD = 0;
    private static final int F_DUPFD_CLOEXEC = 1030;
    private static final int F_ADD_SEALS = 1033;
    private static final int F_GET_SEALS = 1034;
    /** The lowest free number is counted on where it is one of the standard streams. */
    private static final int STREAMS = 3;

    private final int windowStart;
    private final int windowEnd;

    Copies(Filter filter) {
        windowStart = filter.windowStart();
        windowEnd = filter.windowEnd();
    }

    /** A value, a negated errno, or {@link Calls#PROCEED}. */
    long serve(Client client, OpenFile file, Notification call) {
        int fd = (int) call.a();
        int number = (int) call.b();
        return switch (call.number()) {
            case Numbers.DUP -> copy(client, file, fd, 0, false);
            case Numbers.DUP2, Numbers.DUP3 -> at(client, file, number);
            case Numbers.FCNTL -> switch (number) {
                case F_DUPFD, F_DUPFD_CLOEXEC ->
                    copy(client, file, fd, (int) call.c(), number == F_DUPFD_CLOEXEC);
                case F_ADD_SEALS, F_GET_SEALS -> file.seals(client, number, call.c());
                default -> Calls.PROCEED;
            };
            default -> Calls.PROCEED;
        };
    }

    private long copy(Client client, OpenFile file, int fd, int least, boolean closeOnExec) {
        if (least < 0 || least > windowStart) {
            return Calls.PROCEED;
        }
        for (int stream = least; stream < STREAMS; stream++) {
            if (client.isFree(stream)) {
                return at(client, file, stream);
            }
        }
        int number = client.copy(fd, closeOnExec);
        return number < 0 ? at(client, file, least) : number;
    }

    /** The host's kernel makes the copy. */
    private long at(Client client, OpenFile file, int number) {
        if (file.transfers() && (number < windowStart || number >= windowEnd)) {
            client.setToFollow();
        }
        return Calls.PROCEED;
    }
}
