// SPDX-License-Identifier: Apache-2.0
package dev.alcove.sys;

import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import org.jspecify.annotations.Nullable;

/** What {@link TracingSyscalls} knows of the open descriptors: the path that each was opened with. Thread safe. */
final class TracedFiles {
    private final Map<Integer, String> paths = new ConcurrentHashMap<>();

    void opened(int fd, String path) {
        if (fd >= 0) {
            paths.put(fd, path);
        }
    }

    void copied(int from, int to) {
        String path = paths.get(from);
        if (to >= 0 && path != null) {
            paths.put(to, path);
        }
    }

    void closed(int fd) {
        paths.remove(fd);
    }

    @Nullable String path(int fd) {
        return paths.get(fd);
    }

    /** The kind of file, for ioctl numbers that depend on it. A device's descriptor can also come from a group. */
    Ioctls.Target target(int fd) {
        String path = paths.get(fd);
        if (path == null) {
            return Ioctls.Target.VFIO_DEVICE;
        }
        return switch (path) {
            case "/dev/kvm" -> Ioctls.Target.KVM;
            case "/dev/iommu", "/dev/vfio/vfio" -> Ioctls.Target.VFIO_CONTAINER;
            default -> path.startsWith("/dev/vfio/") && !path.startsWith("/dev/vfio/devices/")
                    ? Ioctls.Target.VFIO_GROUP
                    : Ioctls.Target.VFIO_DEVICE;
        };
    }
}
