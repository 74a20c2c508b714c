// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract.fuzz;

import dev.alcove.sys.Syscalls;
import java.util.Map;
import java.util.TreeMap;

/** The descriptors of a session by their symbols. A symbol without a file stands for descriptor -1. */
public final class Descriptors implements AutoCloseable {
    private final Syscalls syscalls;
    private final Map<Long, Integer> bySymbol = new TreeMap<>();

    public Descriptors(Syscalls syscalls) {
        this.syscalls = syscalls;
    }

    /** The descriptor that a symbol stands for, or -1. */
    public int get(long symbol) {
        return bySymbol.getOrDefault(symbol, -1);
    }

    /**
     * Gives a symbol the file that a call has made; the file that it had before is closed.
     *
     * @param fd may be a negated errno: the symbol then stands for nothing
     * @return {@code fd}
     */
    public int set(long symbol, int fd) {
        close(symbol);
        if (fd >= 0) {
            bySymbol.put(symbol, fd);
        }
        return fd;
    }

    /** close(2) of what a symbol stands for. */
    public int close(long symbol) {
        Integer fd = bySymbol.remove(symbol);
        return syscalls.close(fd == null ? -1 : fd);
    }

    @Override
    public void close() {
        bySymbol.values().forEach(syscalls::close);
        bySymbol.clear();
    }
}
