// SPDX-License-Identifier: Apache-2.0
package dev.alcove.sys.trace;

import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * What recorded names are in the replay: descriptors, addresses, iommufd objects, processes and threads, paths. A name
 * that the trace has not introduced becomes one that nothing has. Of one thread at a time.
 */
final class Translation {
    /** No process and no descriptor has this number. */
    private static final int NOBODY = Integer.MAX_VALUE;

    /** From here on nothing is mapped: the last pages of user space, and what the kernel refuses in any case. */
    private static final long USER_END = (1L << 47) - (1 << 20);

    private static final long LARGE_PAGE = 2 << 20;

    /** What recorded descriptors stand for; copies share it. */
    static final class OpenFile {
        private final String name;
        private final boolean recordedOnly;
        private Map<Integer, Integer> objects = new HashMap<>();
        private boolean driven;

        /** @param recordedOnly it is not opened in the replay: its calls' results are those of the record */
        OpenFile(String name, boolean recordedOnly) {
            this.name = name;
            this.recordedOnly = recordedOnly;
        }

        String name() {
            return name;
        }

        boolean recordedOnly() {
            return recordedOnly;
        }

        /** Whether a guest or a device signals it, which is not repeated. */
        boolean driven() {
            return driven;
        }
    }

    /** @param replayed the descriptor now; -1 where the replay did not get one */
    private record Descriptor(OpenFile file, int replayed) {}

    private final Map<Integer, Descriptor> descriptors = new HashMap<>();
    private final Map<Integer, Integer> tasks = new HashMap<>();
    private final Map<String, String> paths;
    private final AddressMap addresses = new AddressMap();
    private final long nowhere;
    private boolean lost;

    /**
     * @param paths replacements
     * @param nowhere an address where nothing can be accessed, for two large pages and more
     */
    Translation(Map<String, String> paths, long nowhere) {
        this.paths = paths;
        this.nowhere = (nowhere + LARGE_PAGE - 1) & -LARGE_PAGE;
    }

    AddressMap addresses() {
        return addresses;
    }

    /** Whether something was asked for that the replay should have and has not; asking resets it. */
    boolean takeLost() {
        boolean was = lost;
        lost = false;
        return was;
    }

    String path(String recorded) {
        return paths.getOrDefault(recorded, recorded);
    }

    @Nullable OpenFile file(int fd) {
        Descriptor descriptor = descriptors.get(fd);
        return descriptor == null ? null : descriptor.file;
    }

    /** A descriptor was made; both numbers may be negative. */
    void opened(long recorded, long replayed, OpenFile file) {
        if (recorded >= 0) {
            descriptors.put((int) recorded, new Descriptor(file, replayed >= 0 ? (int) replayed : -1));
        }
    }

    void closed(int recorded) {
        descriptors.remove(recorded);
    }

    int descriptor(int recorded) {
        Descriptor descriptor = descriptors.get(recorded);
        if (descriptor == null) {
            return recorded < 0 ? recorded : NOBODY;
        }
        lost |= descriptor.replayed < 0 && !descriptor.file.recordedOnly;
        return descriptor.replayed < 0 ? NOBODY : descriptor.replayed;
    }

    /** The descriptors that are open in the replay. */
    List<Integer> open() {
        return descriptors.values().stream().map(Descriptor::replayed).filter(fd -> fd >= 0).toList();
    }

    /** From now on a guest or a device may signal it. */
    void drive(int fd) {
        OpenFile file = file(fd);
        if (file != null) {
            file.driven = true;
        }
    }

    /** A device's objects are those of the iommufd that it is bound to. */
    void bind(int device, int iommufd) {
        OpenFile file = file(device);
        OpenFile context = file(iommufd);
        if (file != null && context != null) {
            file.objects = context.objects;
        }
    }

    int object(int fd, int recorded) {
        OpenFile file = file(fd);
        return file == null ? recorded : file.objects.getOrDefault(recorded, recorded);
    }

    void object(int fd, int recorded, int replayed) {
        OpenFile file = file(fd);
        if (file != null) {
            file.objects.put(recorded, replayed);
        }
    }

    int task(int recorded) {
        return recorded <= 0 ? recorded : tasks.getOrDefault(recorded, NOBODY);
    }

    void task(int recorded, int replayed) {
        tasks.put(recorded, replayed);
    }

    long address(long recorded) {
        if (recorded == 0 || recorded < 0 || recorded >= USER_END) {
            return recorded;
        }
        AddressMap.Mapping mapping = addresses.find(recorded);
        return mapping == null || mapping.absent()
                ? nowhere + (recorded & LARGE_PAGE - 1)
                : mapping.replayed() + (recorded - mapping.start());
    }
}
