// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract.fuzz;

import dev.alcove.sys.Linux;
import dev.alcove.sys.MissingFeatureException;
import dev.alcove.sys.Syscalls;
import dev.alcove.sys.UserArena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** The files and the memory of a sequence of calls on a VFIO group, its device, and containers. */
final class ContainerSession implements Session {
    private static final String DEVICES = "/sys/bus/pci/devices";
    private static final String CDEV = "/dev/vfio/devices/vfio0";
    private static final int SET_CONTAINER = 0x3b68;
    private static final int GET_DEVICE_FD = 0x3b6a;
    private static final Pattern LOCKED = Pattern.compile("VmLck:\\s*(\\d+) kB");

    private final Syscalls syscalls;
    private final IommufdSession iommufd;
    private final UserArena memory;
    private final MemorySegment text;
    private final String device;
    private final String group;
    private final long lockedBefore;

    /** @throws MissingFeatureException without /dev/iommu, a container, or a device with a group */
    ContainerSession(Syscalls syscalls) {
        this.syscalls = syscalls;
        this.memory = new UserArena(syscalls, 3L * Linux.PAGE_SIZE);
        this.text = memory.allocate(2L * Linux.PAGE_SIZE, 8);
        this.iommufd = new IommufdSession(syscalls);
        iommufd.know(ContainerCalls.all());
        try {
            this.device = device();
            this.group = "/dev/vfio/" + lastOf(DEVICES + "/" + device + "/iommu_group");
            int container = syscalls.open("/dev/vfio/vfio", Linux.O_RDWR | Linux.O_CLOEXEC, 0);
            if (container < 0) {
                throw new MissingFeatureException("no /dev/vfio/vfio");
            }
            syscalls.close(container);
        } catch (MissingFeatureException missing) {
            close();
            throw missing;
        }
        this.lockedBefore = locked();
    }

    /** The address of the function that is vfio0. */
    private String device() {
        int directory = syscalls.open(DEVICES, Linux.O_RDONLY | Linux.O_DIRECTORY | Linux.O_CLOEXEC, 0);
        try {
            for (int length; (length = syscalls.getdents64(directory, text)) > 0; ) {
                // What sysfs says of a name must not end up in the list of names.
                MemorySegment names = MemorySegment.ofArray(text.asSlice(0, length).toArray(ValueLayout.JAVA_BYTE));
                for (int at = 0; at < length; at += names.get(ValueLayout.JAVA_SHORT_UNALIGNED, at + 16L)) {
                    String name = names.getString(at + 19L);
                    int found = syscalls.open(
                            DEVICES + "/" + name + "/vfio-dev/vfio0", Linux.O_RDONLY | Linux.O_DIRECTORY | Linux.O_CLOEXEC, 0);
                    if (found >= 0) {
                        syscalls.close(found);
                        return name;
                    }
                }
            }
        } finally {
            syscalls.close(directory);
        }
        throw new MissingFeatureException("no PCI function is " + CDEV);
    }

    private String lastOf(String link) {
        int length = syscalls.readlink(link, text);
        if (length < 0) {
            throw new MissingFeatureException("no " + link);
        }
        String target = new String(text.asSlice(0, length).toArray(ValueLayout.JAVA_BYTE), StandardCharsets.US_ASCII);
        return target.substring(target.lastIndexOf('/') + 1);
    }

    /** VmLck of the process, in pages; 0 where nobody tells. */
    private long locked() {
        int file = syscalls.open("/proc/self/status", Linux.O_RDONLY | Linux.O_CLOEXEC, 0);
        long length = syscalls.read(file, text);
        syscalls.close(file);
        Matcher matcher = LOCKED.matcher(new String(
                text.asSlice(0, Math.max(length, 0)).toArray(ValueLayout.JAVA_BYTE), StandardCharsets.US_ASCII));
        return matcher.find() ? Long.parseLong(matcher.group(1)) / 4 : 0;
    }

    /** Names of an op's operands. */
    static List<String> operandNames(String op) {
        return switch (op) {
            case "open_container", "open_group", "open_device" -> List.of("@file");
            case "set_container" -> List.of("@file", "@container");
            case "device_fd" -> List.of("@file", "@device", "name");
            case "ready" -> List.of("@group", "@container", "type");
            case "locked" -> List.of();
            default -> IommufdSession.operandNames(op, ContainerCalls.all());
        };
    }

    @Override
    public Answer perform(Op op) {
        long file = op.operand(0);
        return switch (op.name()) {
            case "open_container" -> open(file, "/dev/vfio/vfio");
            case "open_group" -> open(file, group);
            case "open_device" -> open(file, CDEV);
            case "set_container" -> Answer.of(setContainer(file, op.operand(1)));
            case "device_fd" -> deviceFd(op);
            case "ready" -> ready(op);
            case "locked" -> Answer.of(locked() - lockedBefore);
            default -> iommufd.perform(op);
        };
    }

    private Answer open(long file, String path) {
        iommufd.files().close(file);
        return Answer.ofFile(iommufd.files().set(file, syscalls.open(path, Linux.O_RDWR | Linux.O_CLOEXEC, 0)));
    }

    private long setContainer(long file, long container) {
        text.set(ValueLayout.JAVA_INT, 0, iommufd.files().get(container));
        return syscalls.ioctl(iommufd.files().get(file), SET_CONTAINER, text);
    }

    private Answer deviceFd(Op op) {
        String name = switch (op.intOperand(2)) {
            case 0 -> device;
            case 1 -> device + "  ";
            case 2 -> device + " vf_token=83d8f452-0e1c-44c5-a4cc-7e1ef46b1b9c";
            case 3 -> device + "0";
            default -> "";
        };
        text.setString(0, name);
        int made = syscalls.ioctl(iommufd.files().get(op.operand(0)), GET_DEVICE_FD, text);
        return Answer.ofFile(iommufd.files().set(op.operand(1), made));
    }

    /** All that comes before the first mapping: the group in the container, and an IOMMU. */
    private Answer ready(Op op) {
        long container = op.operand(1);
        Answer group = open(op.operand(0), this.group);
        return Answer.with(group.answer())
                .and("set", setContainer(op.operand(0), container))
                .and("iommu", syscalls.ioctl(iommufd.files().get(container), ContainerCalls.SET_IOMMU, op.operand(2)))
                .build();
    }

    @Override
    public void close() {
        iommufd.close();
        memory.close();
    }
}
