// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.supervisor;

import dev.alcove.kernel.file.MemoryFile;
import dev.alcove.kernel.file.OpenFile;
import dev.alcove.kernel.file.Stat;
import dev.alcove.kernel.mm.PhysicalMemory;
import dev.alcove.sys.Linux;
import java.util.HashMap;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * Files of the programs' that are the host's, as far as the emulated kernel is handed them by number: eventfds,
 * memfds. One eventfd is one file here, whatever its descriptors. Guarded by the monitor.
 */
final class ForeignFiles {
    private final Host host;
    private final PhysicalMemory memory;
    private final ClientFiles files;
    private final Map<String, ClientEvent> events = new HashMap<>();

    ForeignFiles(Host host, PhysicalMemory memory, ClientFiles files) {
        this.files = files;
        this.host = host;
        this.memory = memory;
    }

    /** A file that the emulated kernel has no use for. */
    private static final class Other extends OpenFile {
        Other() {
            super(Linux.O_RDWR);
        }

        @Override
        public Stat stat() {
            return new Stat(0, 0600, 0, 0);
        }

        @Override
        protected void release() {}
    }

    /** The file behind a descriptor with a reference taken, or null when there is none. */
    synchronized @Nullable OpenFile open(int tid, int directory, int fd) {
        String link = host.readLink(directory, "fd/" + fd);
        if (link.isEmpty()) {
            return null;
        }
        if (link.equals("anon_inode:[eventfd]")) {
            return event(tid, directory, fd);
        }
        if (link.startsWith("/memfd:") || link.startsWith("/dev/shm/")) {
            return memory(tid, fd);
        }
        return new Other();
    }

    private @Nullable OpenFile event(int tid, int directory, int fd) {
        String info = host.readText(directory, "fdinfo/" + fd);
        int at = info == null ? -1 : info.indexOf("eventfd-id:");
        if (info == null || at < 0) {
            return null;
        }
        String id = info.substring(at).lines().findFirst().orElse("");
        ClientEvent known = events.get(id);
        if (known != null && known.tryGet()) {
            return known;
        }
        int taken = host.takeFile(tid, fd);
        if (taken < 0) {
            return null;
        }
        ClientEvent event = new ClientEvent(host, taken, 0, this::forget);
        events.put(id, event);
        return event;
    }

    private synchronized void forget(ClientEvent event) {
        events.values().remove(event);
    }

    private @Nullable OpenFile memory(int tid, int fd) {
        int taken = host.takeFile(tid, fd);
        if (taken < 0) {
            return null;
        }
        long size = Math.max(0, host.size(taken));
        // The pages are those that the programs' mappings of the file have.
        ClientFiles.Shared shared = files.use(taken);
        return shared == null ? new Other() : new MemoryFile(memory, shared.store(), size, shared::release);
    }
}
