// SPDX-License-Identifier: Apache-2.0
package dev.alcove.cpu;

import java.util.Arrays;

/**
 * Accesses by linear address: TLBs for loads, for stores and for code, direct-mapped, each once for the kernel and once
 * for user mode, behind them the {@link PageWalker} and the bus.
 *
 * <p>An entry is a tag, the linear address of the page, and the distance from there to the host's memory. An access
 * compares the page of its <em>last</em> byte with the tag of the page of its first: one that crosses the page misses.
 */
final class Mmu {
    static final int READ = 0;
    static final int WRITE = 1;
    static final int FETCH = 2;

    private static final int SIZE = 1024;
    private static final int MASK = SIZE - 1;
    private static final int FETCH_SIZE = 64;
    private static final long PAGE = -4096L;

    /** No page address. */
    private static final long NONE = 1;

    private final Core core;
    private final PageWalker walker;
    private final long[][] loadTags = {new long[SIZE], new long[SIZE]};
    private final long[][] storeTags = {new long[SIZE], new long[SIZE]};
    private final long[][] loadDeltas = {new long[SIZE], new long[SIZE]};
    private final long[][] storeDeltas = {new long[SIZE], new long[SIZE]};
    private final long[][] fetchTags = {new long[FETCH_SIZE], new long[FETCH_SIZE]};
    private final long[][] fetchHosts = {new long[FETCH_SIZE], new long[FETCH_SIZE]};
    private long[] loadTag = loadTags[0];
    private long[] storeTag = storeTags[0];
    private long[] loadDelta = loadDeltas[0];
    private long[] storeDelta = storeDeltas[0];
    private boolean user;

    /** Whether the instruction is emulated: see {@link GuestBus}. No access meets the TLB then. */
    private boolean emulated;

    private final long[] empty = new long[SIZE];

    /** Guest physical address of the last access that {@link #find} has looked up. */
    private long physical;

    /** Advances when translations of code may have changed: a block of an older one is looked up again. */
    int generation = 1;

    Mmu(Core core) {
        this.core = core;
        walker = new PageWalker(core);
        Arrays.fill(empty, NONE);
        flush();
    }

    /** Whether the accesses from now on are those of user mode. */
    void user(boolean value) {
        user = value;
        int i = value ? 1 : 0;
        loadTag = emulated ? empty : loadTags[i];
        storeTag = emulated ? empty : storeTags[i];
        loadDelta = loadDeltas[i];
        storeDelta = storeDeltas[i];
    }

    /** From now on every access of data is one that {@link Devices} makes, or none any more. */
    void emulate(boolean on) {
        if (emulated != on) {
            emulated = on;
            user(user);
        }
    }

    /** Forgets the translations of linear addresses. */
    void flush() {
        for (int i = 0; i < 2; i++) {
            Arrays.fill(loadTags[i], NONE);
            Arrays.fill(storeTags[i], NONE);
            Arrays.fill(fetchTags[i], NONE);
        }
        generation++;
    }

    /** Forgets everything the bus has said. */
    void flushPhysical() {
        walker.flush();
        flush();
    }

    /** Forgets one page. */
    void flushPage(long linear) {
        int i = (int) (linear >>> 12) & MASK;
        for (int k = 0; k < 2; k++) {
            loadTags[k][i] = NONE;
            storeTags[k][i] = NONE;
            fetchTags[k][i & FETCH_SIZE - 1] = NONE;
        }
        generation++;
    }

    /** Takes all pages off the fast path for stores, because one of them holds decoded code now. */
    void flushStores() {
        Arrays.fill(storeTags[0], NONE);
        Arrays.fill(storeTags[1], NONE);
    }

    long load8(long a) {
        int i = (int) (a >>> 12) & MASK;
        return loadTag[i] == (a & PAGE) ? HostMemory.load8(a + loadDelta[i]) : loadSlow(a, 1);
    }

    long load16(long a) {
        int i = (int) (a >>> 12) & MASK;
        return loadTag[i] == (a + 1 & PAGE) ? HostMemory.load16(a + loadDelta[i]) : loadSlow(a, 2);
    }

    long load32(long a) {
        int i = (int) (a >>> 12) & MASK;
        return loadTag[i] == (a + 3 & PAGE) ? HostMemory.load32(a + loadDelta[i]) : loadSlow(a, 4);
    }

    long load64(long a) {
        int i = (int) (a >>> 12) & MASK;
        return loadTag[i] == (a + 7 & PAGE) ? HostMemory.load64(a + loadDelta[i]) : loadSlow(a, 8);
    }

    void store8(long a, long v) {
        int i = (int) (a >>> 12) & MASK;
        if (storeTag[i] == (a & PAGE)) {
            HostMemory.store8(a + storeDelta[i], v);
        } else {
            storeSlow(a, 1, v);
        }
    }

    void store16(long a, long v) {
        int i = (int) (a >>> 12) & MASK;
        if (storeTag[i] == (a + 1 & PAGE)) {
            HostMemory.store16(a + storeDelta[i], v);
        } else {
            storeSlow(a, 2, v);
        }
    }

    void store32(long a, long v) {
        int i = (int) (a >>> 12) & MASK;
        if (storeTag[i] == (a + 3 & PAGE)) {
            HostMemory.store32(a + storeDelta[i], v);
        } else {
            storeSlow(a, 4, v);
        }
    }

    void store64(long a, long v) {
        int i = (int) (a >>> 12) & MASK;
        if (storeTag[i] == (a + 7 & PAGE)) {
            HostMemory.store64(a + storeDelta[i], v);
        } else {
            storeSlow(a, 8, v);
        }
    }

    /** Loads 1, 2, 4 or 8 bytes, zero-extended. */
    long load(long a, int size) {
        return switch (size) {
            case 1 -> load8(a);
            case 2 -> load16(a);
            case 4 -> load32(a);
            default -> load64(a);
        };
    }

    void store(long a, int size, long v) {
        switch (size) {
            case 1 -> store8(a, v);
            case 2 -> store16(a, v);
            case 4 -> store32(a, v);
            default -> store64(a, v);
        }
    }

    /** Loads with the rights of the kernel: descriptor tables and task state. */
    long systemLoad(long a, int size) {
        boolean was = user;
        user(false);
        try {
            return load(a, size);
        } finally {
            user(was);
        }
    }

    void systemStore(long a, int size, long v) {
        boolean was = user;
        user(false);
        try {
            store(a, size, v);
        } finally {
            user(was);
        }
    }

    /** Raises what a store would raise, so that the store that follows succeeds. */
    void probe(long a, int size) {
        int i = (int) (a >>> 12) & MASK;
        if (storeTag[i] != (a + size - 1 & PAGE)) {
            long end = a + size - 1;
            if (((a ^ end) & PAGE) == 0) {
                probeSlow(a, size);
            } else {
                probeSlow(a, (int) ((end & PAGE) - a));
                probeSlow(end & PAGE, (int) (end & 4095) + 1);
            }
        }
    }

    private void probeSlow(long a, int size) {
        long host = find(a, WRITE);
        if (host == 0 || core.code.hits(host, size)) {
            core.devices.require();
        }
    }

    /**
     * Host address for reading, or 0 where the access is one to a device.
     *
     * @param a linear address; what is accessed must not cross the page
     */
    long hostForRead(long a) {
        int i = (int) (a >>> 12) & MASK;
        return loadTag[i] == (a & PAGE) ? a + loadDelta[i] : find(a, READ);
    }

    /**
     * Host address for writing {@code size} bytes within the page, or 0 where the access is one to a device. Decoded
     * code there is thrown away.
     */
    long hostForWrite(long a, int size) {
        int i = (int) (a >>> 12) & MASK;
        if (storeTag[i] == (a & PAGE)) {
            return a + storeDelta[i];
        }
        long host = find(a, WRITE);
        if (host != 0 && core.code.hits(host, size)) {
            core.devices.require();
            core.code.written(host, size);
        }
        return host;
    }

    /** Host address of code; faults, but never answers 0. */
    long hostForFetch(long a) {
        int i = (int) (a >>> 12) & FETCH_SIZE - 1;
        int k = user ? 1 : 0;
        if (fetchTags[k][i] == (a & PAGE)) {
            return fetchHosts[k][i] + (a & 4095);
        }
        long host = find(a, FETCH);
        if (host == 0) {
            throw core.unsupported("code fetch from device space at 0x" + Long.toHexString(physical));
        }
        fetchTags[k][i] = a & PAGE;
        fetchHosts[k][i] = host & PAGE;
        return host;
    }

    private long find(long a, int access) {
        long gpa = walker.translate(a, access, user);
        physical = gpa;
        if ((emulated && access != FETCH) || (access == READ && core.devices.hasAnswer(gpa))) {
            return 0;
        }
        long page = walker.page(gpa, access == WRITE);
        if (page == GuestBus.BLOCKED) {
            throw core.leave(new CpuExit.MemoryFault(gpa, access == WRITE, access == FETCH));
        }
        if (page <= 0) {
            if (access != FETCH && !core.devices.delivery) {
                core.devices.require();
                emulate(true);
                throw core.leave(null); // from its start again
            }
            return 0;
        }
        int i = (int) (a >>> 12) & MASK;
        if (access == READ) {
            loadTag[i] = a & PAGE;
            loadDelta[i] = page - (a & PAGE);
        } else if (access == WRITE && !core.code.hasCode(page)) {
            storeTag[i] = a & PAGE;
            storeDelta[i] = page - (a & PAGE);
        }
        return page + (a & 4095);
    }

    /** The address behind {@code a} in a page that starts there: 32 bits wide outside 64-bit mode. */
    private long wrap(long a) {
        return core.is64() ? a : a & 0xffffffffL;
    }

    private long loadSlow(long a, int size) {
        int first = (int) Math.min(size, 4096 - (a & 4095));
        long host = find(a, READ);
        if (first == size) {
            return host == 0 ? core.devices.read(physical, size) : HostMemory.load(host, size);
        }
        long gpa = physical;
        long b = wrap(a + first);
        long second = find(b, READ);
        long gpb = physical;
        long low = piece(host, gpa, first);
        return low | piece(second, gpb, size - first) << (first * 8);
    }

    /** Loads 1 to 7 bytes within a page. */
    private long piece(long host, long gpa, int bytes) {
        if (host == 0) {
            return core.devices.read(gpa, bytes);
        }
        long v = 0;
        for (int at = 0; at < bytes; ) {
            int n = Integer.highestOneBit(bytes - at);
            v |= HostMemory.load(host + at, n) << (at * 8);
            at += n;
        }
        return v;
    }

    private void storeSlow(long a, int size, long v) {
        int first = (int) Math.min(size, 4096 - (a & 4095));
        if (first < size) {
            storeCrossing(a, first, size, v);
            return;
        }
        long host = find(a, WRITE);
        if (host == 0) {
            core.devices.write(physical, size, v);
            return;
        }
        if (core.code.hits(host, size)) {
            core.devices.require();
            core.code.written(host, size);
        }
        HostMemory.store(host, size, v);
    }

    private void storeCrossing(long a, int first, int size, long v) {
        long b = wrap(a + first);
        long host = find(a, WRITE);
        long gpa = physical;
        long second = find(b, WRITE);
        long gpb = physical;
        if (host == 0
                || second == 0
                || core.code.hits(host, first)
                || core.code.hits(second, size - first)) {
            core.devices.require();
        }
        pieces(host, gpa, first, v);
        pieces(second, gpb, size - first, v >>> (first * 8));
    }

    private void pieces(long host, long gpa, int bytes, long v) {
        if (host == 0) {
            core.devices.write(gpa, bytes, v);
            return;
        }
        core.code.written(host, bytes);
        for (int at = 0; at < bytes; ) {
            int n = Integer.highestOneBit(bytes - at);
            HostMemory.store(host + at, n, v >>> (at * 8));
            at += n;
        }
    }
}
