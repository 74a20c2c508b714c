// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract;

import dev.alcove.sys.Linux;
import dev.alcove.sys.Syscalls;
import dev.alcove.sys.UserArena;
import dev.alcove.sys.UserMappings;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;

import static dev.alcove.contract.Checks.fd;
import static dev.alcove.contract.Checks.ok;
import static org.junit.jupiter.api.Assumptions.abort;

/**
 * The group file of the edu device, and a container, driven by nothing but system calls. Struct offsets are those of
 * linux/vfio.h.
 */
final class ContainerUnderTest implements AutoCloseable {
    static final int API_VERSION = 0x3b64;
    static final int CHECK_EXTENSION = 0x3b65;
    static final int SET_IOMMU = 0x3b66;
    static final int GET_STATUS = 0x3b67;
    static final int SET_CONTAINER = 0x3b68;
    static final int UNSET_CONTAINER = 0x3b69;
    static final int GET_DEVICE_FD = 0x3b6a;
    static final int IOMMU_INFO = 0x3b70;
    static final int MAP_DMA = 0x3b71;
    static final int UNMAP_DMA = 0x3b72;
    static final int DIRTY_PAGES = 0x3b75;

    static final int TYPE1 = 1;
    static final int TYPE1_V2 = 3;
    static final int READ_WRITE = 3;

    private static final String PCI = "/sys/bus/pci/devices";

    final KernelUnderTest kernel;
    final Syscalls sys;
    final UserArena user;
    /** The device's address, as VFIO_GROUP_GET_DEVICE_FD takes it. */
    final String name;
    /** The path of its group's file. */
    final String path;
    final int container;
    private final List<Integer> files = new ArrayList<>();

    /** Opens a container; the group is not open yet. Skips the test where there is no such device. */
    ContainerUnderTest(KernelUnderTest kernel) {
        this.kernel = kernel;
        this.sys = kernel.sys();
        this.user = new UserArena(sys, 1 << 18);
        this.container = open("/dev/vfio/vfio");
        this.name = names(PCI).stream()
                .filter(each -> names(PCI + "/" + each + "/vfio-dev").contains("vfio0"))
                .findFirst()
                .orElseGet(() -> abort(kernel + " has no VFIO device"));
        this.path = groupOf(name);
    }

    /** The addresses of devices below a bridge, by their number; skips the test where there are not two. */
    List<String> bridged() {
        List<String> found = names(PCI).stream()
                .filter(each -> !each.startsWith("0000:00") && !names(PCI + "/" + each + "/vfio-dev").isEmpty())
                .sorted()
                .toList();
        return found.size() < 2 ? abort(kernel + " has no two VFIO devices below a bridge") : found;
    }

    /** The path of a device's own file. */
    String cdevOf(String device) {
        String cdev = names(PCI + "/" + device + "/vfio-dev").stream().filter(each -> each.startsWith("vfio")).findFirst().orElseThrow();
        return "/dev/vfio/devices/" + cdev;
    }

    /** The path of the file of a device's group. */
    String groupOf(String device) {
        MemorySegment buffer = user.allocate(256, 8);
        int length = fd(sys.readlink(PCI + "/" + device + "/iommu_group", buffer));
        String target = new String(buffer.asSlice(0, length).toArray(ValueLayout.JAVA_BYTE), StandardCharsets.US_ASCII);
        return "/dev/vfio" + target.substring(target.lastIndexOf('/'));
    }

    private List<String> names(String directory) {
        List<String> names = new ArrayList<>();
        int file = sys.open(directory, Linux.O_RDONLY | Linux.O_DIRECTORY | Linux.O_CLOEXEC, 0);
        if (file < 0) {
            return names;
        }
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment buffer = arena.allocate(4096, 8);
            for (int length = fd(sys.getdents64(file, buffer)); length > 0; length = fd(sys.getdents64(file, buffer))) {
                for (int at = 0; at < length; at += buffer.get(ValueLayout.JAVA_SHORT_UNALIGNED, at + 16L)) {
                    names.add(buffer.getString(at + 19L));
                }
            }
        } finally {
            ok(sys.close(file));
        }
        return names;
    }

    /** Opens a file that is closed at the end; skips the test where there is none. */
    int open(String file) {
        return own(kernel.open(file));
    }

    /** Closes a descriptor at the end. */
    int own(int file) {
        files.addFirst(fd(file));
        return file;
    }

    /** Closes a descriptor now. */
    void close(int file) {
        files.remove(Integer.valueOf(file));
        ok(sys.close(file));
    }

    int openGroup() {
        return open(path);
    }

    /** A struct of words. */
    MemorySegment words(int... values) {
        MemorySegment struct = user.allocate(4L * values.length, 8);
        for (int i = 0; i < values.length; i++) {
            struct.set(ValueLayout.JAVA_INT, 4L * i, values[i]);
        }
        return struct;
    }

    /** A struct of argsz, flags and 64-bit words; what lies behind {@code argsz} is there too. */
    MemorySegment struct(int argsz, int flags, long... values) {
        MemorySegment struct = words(new int[2 + 2 * values.length]);
        struct.set(ValueLayout.JAVA_INT, 0, argsz);
        struct.set(ValueLayout.JAVA_INT, 4, flags);
        for (int i = 0; i < values.length; i++) {
            struct.set(ValueLayout.JAVA_LONG, 8 + 8L * i, values[i]);
        }
        return struct;
    }

    /** The flags of VFIO_GROUP_GET_STATUS, or the errno. */
    long status(int group) {
        MemorySegment status = words(8, -1);
        long error = sys.ioctl(group, GET_STATUS, status);
        return error < 0 ? error : status.get(ValueLayout.JAVA_INT, 4);
    }

    long setContainer(int group, int file) {
        return sys.ioctl(group, SET_CONTAINER, words(file));
    }

    long unsetContainer(int group) {
        return sys.ioctl(group, UNSET_CONTAINER, 0L);
    }

    long setIommu(int type) {
        return sys.ioctl(container, SET_IOMMU, (long) type);
    }

    /** A device's descriptor, or the errno. */
    int deviceFd(int group, String device) {
        MemorySegment text = user.allocate(device.length() + 1L, 1);
        text.setString(0, device);
        return sys.ioctl(group, GET_DEVICE_FD, text);
    }

    int openDevice(int group) {
        return own(deviceFd(group, name));
    }

    /** Opens the group, puts it into the container, and gives that an IOMMU. */
    int ready(int type) {
        int group = openGroup();
        ok(setContainer(group, container));
        ok(setIommu(type));
        return group;
    }

    long map(int flags, long address, long length, long iova) {
        return sys.ioctl(container, MAP_DMA, struct(32, flags, address, iova, length));
    }

    /** The size that comes back, or the errno. */
    long unmap(int flags, long iova, long length) {
        MemorySegment unmap = struct(24, flags, iova, length);
        long error = sys.ioctl(container, UNMAP_DMA, unmap);
        return error < 0 ? error : unmap.get(ValueLayout.JAVA_LONG, 16);
    }

    /** Anonymous memory of the caller; lives as long as the process. */
    MemorySegment memory(long pages) {
        long length = pages * Linux.PAGE_SIZE;
        long address =
                ok(sys.mmap(0, length, Linux.PROT_READ | Linux.PROT_WRITE, Linux.MAP_PRIVATE | Linux.MAP_ANONYMOUS, -1, 0));
        return UserMappings.segment(address, length);
    }

    @Override
    public void close() {
        files.forEach(sys::close);
        user.close();
    }
}
