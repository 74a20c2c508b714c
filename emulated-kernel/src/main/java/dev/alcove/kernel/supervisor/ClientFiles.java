// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.supervisor;

import dev.alcove.kernel.mm.PageStore;
import dev.alcove.kernel.mm.PhysicalMemory;
import dev.alcove.sys.Linux;
import java.util.HashMap;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * The files of the host's that programs have mapped shared, as far as the emulated kernel has touched them: each is a
 * page store whose frames are the file's pages. Guarded by the monitor; a file goes with its last user.
 */
final class ClientFiles {
    /** A file. Users are counted under the monitor of {@link ClientFiles}. */
    final class Shared {
        private final Host.Identity identity;
        private final int fd;
        private final PageStore store;
        private int users;

        private Shared(Host.Identity identity, int fd, PageStore store) {
            this.identity = identity;
            this.fd = fd;
            this.store = store;
        }

        /** Its pages, as many as the file has now. */
        PageStore store() {
            long pages = pages(fd);
            if (pages != store.pages()) {
                synchronized (ClientFiles.this) {
                    store.resize(pages);
                }
            }
            return store;
        }

        /** Makes the file at least so long, in bytes. */
        void grow(long bytes) {
            if (host.size(fd) < bytes) {
                host.calls.ftruncate(fd, (bytes + Linux.PAGE_SIZE - 1) & -Linux.PAGE_SIZE);
            }
        }

        /** Ends a use that {@link ClientFiles#use} began. */
        void release() {
            synchronized (ClientFiles.this) {
                if (--users == 0) {
                    all.remove(identity);
                    store.close();
                    host.close(fd);
                }
            }
        }
    }

    private final Host host;
    private final PhysicalMemory memory;
    private final Map<Host.Identity, Shared> all = new HashMap<>();

    ClientFiles(Host host, PhysicalMemory memory) {
        this.host = host;
        this.memory = memory;
    }

    private long pages(int fd) {
        return (Math.max(0, host.size(fd)) + Linux.PAGE_SIZE - 1) >> Linux.PAGE_SHIFT;
    }

    /** Begins a use of a file that is in use already; null when it is not. */
    synchronized @Nullable Shared use(Host.Identity identity) {
        Shared shared = all.get(identity);
        if (shared != null) {
            shared.users++;
        }
        return shared;
    }

    /**
     * Begins a use of a file.
     *
     * @param fd a descriptor for reading and writing, taken over
     * @return null when the file cannot be mapped shared and writable
     */
    synchronized @Nullable Shared use(int fd) {
        Host.Identity identity = host.identify(fd, "");
        if (identity == null) {
            host.close(fd);
            return null;
        }
        Shared shared = all.get(identity);
        if (shared == null) {
            PageStore store = new PageStore(memory, pages(fd), true);
            // The file behind /proc is another description: a store that cannot be shown has no page yet, and shows none.
            if (store.showIn(fd) != 0) {
                host.close(fd);
                return null;
            }
            shared = new Shared(identity, fd, store);
            all.put(identity, shared);
        } else {
            host.close(fd);
        }
        shared.users++;
        return shared;
    }
}
